"""The interface of both encoders, and the batch that they return. Pure."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Protocol

from shardload.model.counts import SetAside


@dataclass(slots=True)
class Part:
    """The commands for one node: they write `keys` keys, and the node answers `replies` lines. The keys are either the
    rows' own or, with `is_lookup`, those beside them. With a form that reads, the commands ask for the keys, and
    `answers` are what comes back if each is right (`questions.py`). With a form for an RDB file, they are its entries
    (`entries.py`), nobody replies, and `expiring` of the keys expire.

    The memory behind `commands` and `answers` is the encoder's, which uses it again when nobody holds it any more.
    """

    node: int
    keys: int
    commands: bytes | memoryview
    replies: int
    is_lookup: bool = False
    answers: bytes | memoryview = b""
    expiring: int = 0


@dataclass(slots=True)
class Batch:
    """The whole rows in one piece of the stream, encoded.

    - `parts` has a part for each node that gets rows' own keys, in the order of the nodes, then one for each that gets
      lookups; `keys` and `lookups` count the keys of all.
    - `consumed_bytes` counts the bytes of the piece that are encoded; pass the rest again, with what follows it.
    - `rows_skipped` counts rows of which nothing is written; `set_aside` lists rows whose key cannot be made.
    - `fingerprints` has those of all keys and lookups (`fingerprints.py`), if the form says so.
    - `ended` is True if the result set ended here; `error_packet` is MySQL's error, if one came instead of the end.
    """

    consumed_bytes: int
    rows_read: int
    rows_skipped: int
    keys: int
    parts: list[Part] = field(default_factory=list)
    set_aside: list[SetAside] = field(default_factory=list)
    ended: bool = False
    error_packet: bytes | None = None
    lookups: int = 0
    fingerprints: bytes = b""

    @property
    def commands(self) -> bytes | memoryview:
        """The commands for a target with one node. ValueError if there are several parts."""
        if not self.parts:
            return b""
        (part,) = self.parts
        return part.commands

    @property
    def target_bytes(self) -> int:
        """The size of all commands in bytes."""
        return sum([len(part.commands) for part in self.parts])


class Encoder(Protocol):
    """Encodes one result set after another. Both implementations write the same bytes for the same rows."""

    name: str
    replies_per_key: int

    def route(self, routes: array[int] | None, /) -> None:
        """Write the commands of later batches into a part for each node, by the slots of the keys (`make_routes`);
        None: into one part for node 0."""
        ...

    def begin(self, sequence: int, now_ms: int = 0, /) -> None:
        """Start a result set. `sequence` (0 to 255) is the packet number of its first row, `now_ms` the Unix time in
        ms: rows that expire until then are skipped, and in an RDB file TTLs count from then."""
        ...

    def encode(self, data: bytes | bytearray | memoryview, /) -> Batch:
        """Encode every whole row in `data`. MalformedPacket if the bytes break MySQL's protocol."""
        ...
