"""The reference encoder: the definition, in Python, of what a row becomes in Redis.

A key is written whole. With RESTORE that is one command. With HSET it is `DEL key` and then `HSET key field ...` (and
`PEXPIRE key ms`, if keys expire) in one transaction: whatever the key was before (another type, more fields, a TTL) is
gone, and nobody sees it half-way. Where a server knows no MULTI, a reader may miss the key for the time of one command.
"""

from __future__ import annotations

from shardload.encoding.batch import Batch
from shardload.encoding.form import Form, Payload
from shardload.encoding.layout import Layout, Values
from shardload.encoding.packets import split_rows
from shardload.encoding.payload import Fields, hash_payload


class ReferenceEncoder:
    """Encodes one result set after another; `begin` starts each."""

    name = "reference"

    def __init__(self, layout: Layout, form: Form | None = None) -> None:
        self._layout = layout
        self._form = form or Form()
        self._sequence = 0
        self.replies_per_key = self._form.replies_per_key
        names = [name.encode() for name in layout.columns[: layout.written]]
        self._names = [b"$%d\r\n%b\r\n$" % (len(name), name) for name in names]
        self._heads = [b"*%d\r\n$4\r\nHSET\r\n$" % (2 + 2 * count) for count in range(len(names) + 1)]

    def begin(self, sequence: int) -> None:
        """A new result set, whose first row's packet bears this number."""
        self._sequence = sequence

    def encode(self, data: bytes | bytearray | memoryview) -> Batch:
        """Every whole row in `data`, as commands. MalformedPacket if it is not MySQL's protocol."""
        layout, add = self._layout, self._add_hset if self._form.payload is None else self._add_restore
        found = split_rows(bytes(data), len(layout.columns), self._sequence)
        self._sequence = found.sequence
        batch = Batch(found.consumed_bytes, len(found.rows), 0, 0, b"", [], found.ended, found.error_packet)
        pieces: list[bytes] = []
        for values in found.rows:
            key = layout.key_of(values)
            if key is None:
                batch.set_aside.append(layout.set_aside(values))
            elif add(pieces, key, values):
                batch.keys += 1
            else:
                batch.rows_skipped += 1
        batch.commands = b"".join(pieces)
        return batch

    def _add_hset(self, pieces: list[bytes], key: bytes, values: Values) -> bool:
        """Append one key's commands; False, and nothing appended, if the row has no field."""
        fields: list[bytes] = []
        null_as_empty = self._layout.null_as_empty
        for name, value in zip(self._names, values, strict=False):
            if value is None:
                if not null_as_empty:
                    continue
                value = b""
            fields.append(b"%b%d\r\n%b\r\n" % (name, len(value), value))
        if not fields:
            return False
        named = b"%d\r\n%b\r\n" % (len(key), key)
        if self._form.whole:
            pieces.append(b"*1\r\n$5\r\nMULTI\r\n")
        pieces += (b"*2\r\n$3\r\nDEL\r\n$", named, self._heads[len(fields)], named)
        pieces += fields
        if self._form.ttl_ms:
            ttl = b"%d" % self._form.ttl_of(key)
            pieces.append(b"*3\r\n$7\r\nPEXPIRE\r\n$%b$%d\r\n%b\r\n" % (named, len(ttl), ttl))
        if self._form.whole:
            pieces.append(b"*1\r\n$4\r\nEXEC\r\n")
        return True

    def _add_restore(self, pieces: list[bytes], key: bytes, values: Values) -> bool:
        """Append one key's command; False, and nothing appended, if the row has no field."""
        fields = self._layout.fields_of(values)
        if not fields or self._form.payload is None:
            return False
        pieces.append(restore_command(key, fields, self._form.payload, self._form.ttl_of(key)))
        return True


def restore_command(key: bytes, fields: Fields, wish: Payload, ttl_ms: int) -> bytes:
    """One `RESTORE key ttl payload REPLACE`."""
    ttl, payload = b"%d" % ttl_ms, hash_payload(fields, wish)
    return b"*5\r\n$7\r\nRESTORE\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n$7\r\nREPLACE\r\n" % (
        len(key), key, len(ttl), ttl, len(payload), payload,
    )  # fmt: skip
