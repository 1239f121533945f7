"""The reference encoder: the definition, in Python, of what a row becomes in Redis.

A whole-key write with HSET is `DEL key` and then `HSET key field value ...` in one pipeline: whatever the key
was before (another type, more fields, a TTL) is gone. Between the two a reader may miss the key for the time of
one command.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from shardload.encoding.layout import Layout
from shardload.encoding.packets import split_rows
from shardload.model import SetAside


@dataclass(slots=True)
class Batch:
    """The rows in one piece of the stream, encoded.

    `commands` writes `keys` keys and is answered by `keys * replies_per_key` replies. The piece's first
    `consumed_bytes` bytes are done with. `error_packet` is MySQL's error, if it came instead of an end.
    """

    consumed_bytes: int
    rows_read: int
    rows_skipped: int
    keys: int
    commands: bytes
    set_aside: list[SetAside] = field(default_factory=list)
    ended: bool = False
    error_packet: bytes | None = None


class ReferenceEncoder:
    """Encodes one result set after another; `begin` starts each."""

    name = "reference"
    replies_per_key = 2  # DEL, HSET

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._sequence = 0
        names = [name.encode() for name in layout.columns[: layout.written]]
        self._names = [b"$%d\r\n%b\r\n$" % (len(name), name) for name in names]
        self._heads = [b"*%d\r\n$4\r\nHSET\r\n$" % (2 + 2 * count) for count in range(len(names) + 1)]

    def begin(self, sequence: int) -> None:
        """A new result set, whose first row's packet bears this number."""
        self._sequence = sequence

    def encode(self, data: bytes | bytearray | memoryview) -> Batch:
        """Every whole row in `data`, as commands. MalformedPacket if the bytes are not MySQL's protocol."""
        layout = self._layout
        found = split_rows(bytes(data), len(layout.columns), self._sequence)
        self._sequence = found.sequence
        batch = Batch(found.consumed_bytes, len(found.rows), 0, 0, b"", [], found.ended, found.error_packet)
        pieces: list[bytes] = []
        for values in found.rows:
            key = layout.key_of(values)
            if key is None:
                reason = f"column {layout.null_in_key(values)} of the key is NULL"
                batch.set_aside.append(SetAside(layout.row_name(values), reason))
            elif self._add(pieces, key, values):
                batch.keys += 1
            else:
                batch.rows_skipped += 1
        batch.commands = b"".join(pieces)
        return batch

    def _add(self, pieces: list[bytes], key: bytes, values: list[bytes | None]) -> bool:
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
        pieces += (b"*2\r\n$3\r\nDEL\r\n$", named, self._heads[len(fields)], named)
        pieces += fields
        return True
