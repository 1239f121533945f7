"""The reference encoder, in Python. It defines which bytes a row becomes; the native encoder writes the same ones.

Every write replaces the whole key, whatever it was before (another type, more fields, a TTL). RESTORE does so in one
command. HSET needs several: `DEL key`, `HSET key field ...`, and `PEXPIRE key ms` if keys expire. They run in one
transaction, so nobody reads a half-written key. On a server without MULTI, a reader may find no key between DEL and
HSET.
"""

from __future__ import annotations

from array import array

from shardload.encoding.batch import Batch, Part
from shardload.encoding.form import Form, Payload
from shardload.encoding.layout import Layout, Values
from shardload.encoding.packets import split_rows
from shardload.encoding.payload import Fields, hash_payload
from shardload.encoding.slots import slot_of


class ReferenceEncoder:
    """Encodes one result set after another; call `begin` before each. See `Encoder`."""

    name = "reference"

    def __init__(self, layout: Layout, form: Form | None = None) -> None:
        self._layout = layout
        self._form = form or Form()
        self._sequence = 0
        self._routes: array[int] | None = None
        self.replies_per_key = self._form.replies_per_key
        names = [name.encode() for name in layout.columns[: layout.written]]
        self._names = [b"$%d\r\n%b\r\n$" % (len(name), name) for name in names]
        self._heads = [b"*%d\r\n$4\r\nHSET\r\n$" % (2 + 2 * count) for count in range(len(names) + 1)]

    def route(self, routes: array[int] | None) -> None:
        """Write the commands of later batches into a part for each node; None: into one part for node 0."""
        self._routes = routes

    def begin(self, sequence: int) -> None:
        """Start a result set. `sequence` (0 to 255) is the packet number of its first row."""
        self._sequence = sequence

    def encode(self, data: bytes | bytearray | memoryview) -> Batch:
        """Encode every whole row in `data`. MalformedPacket if the bytes break MySQL's protocol."""
        layout, add = self._layout, self._add_hset if self._form.payload is None else self._add_restore
        found = split_rows(bytes(data), len(layout.columns), self._sequence)
        self._sequence = found.sequence
        batch = Batch(
            consumed_bytes=found.consumed_bytes,
            rows_read=len(found.rows),
            rows_skipped=0,
            keys=0,
            ended=found.ended,
            error_packet=found.error_packet,
        )
        pieces: dict[int, list[bytes]] = {}
        keys: dict[int, int] = {}
        for values in found.rows:
            key = layout.key_of(values)
            if key is None:
                batch.set_aside.append(layout.set_aside(values))
                continue
            node = self._routes[slot_of(key)] if self._routes else 0
            if add(pieces.setdefault(node, []), key, values):
                keys[node] = keys.get(node, 0) + 1
            else:
                batch.rows_skipped += 1
        batch.keys = sum(keys.values())
        batch.parts = [Part(node, keys[node], b"".join(pieces[node])) for node in sorted(keys)]
        return batch

    def _add_hset(self, pieces: list[bytes], key: bytes, values: Values) -> bool:
        """Append the commands of one key. If the row has no field, append nothing and return False."""
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
        """Append the RESTORE of one key. If the row has no field, append nothing and return False."""
        fields = self._layout.fields_of(values)
        if not fields or self._form.payload is None:
            return False
        pieces.append(restore_command(key, fields, self._form.payload, self._form.ttl_of(key)))
        return True


def restore_command(key: bytes, fields: Fields, preferred: Payload, ttl_ms: int) -> bytes:
    """`RESTORE key ttl_ms payload REPLACE`, as Redis reads it. `ttl_ms` 0: the key does not expire."""
    ttl, payload = b"%d" % ttl_ms, hash_payload(fields, preferred)
    return b"*5\r\n$7\r\nRESTORE\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n$7\r\nREPLACE\r\n" % (
        len(key), key, len(ttl), ttl, len(payload), payload,
    )  # fmt: skip
