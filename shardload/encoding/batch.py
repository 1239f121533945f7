"""What an encoder makes of a piece of the stream, and what both encoders are. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from shardload.model.counts import SetAside


@dataclass(slots=True)
class Batch:
    """The rows in one piece of the stream, encoded.

    `commands` writes `keys` keys and is answered by `keys * replies_per_key` replies; who lets go of it before the
    encoder is used again spares the encoder new memory. The piece's first `consumed_bytes` bytes are done with.
    `error_packet` is MySQL's error, if it came instead of an end.
    """

    consumed_bytes: int
    rows_read: int
    rows_skipped: int
    keys: int
    commands: bytes | memoryview
    set_aside: list[SetAside] = field(default_factory=list)
    ended: bool = False
    error_packet: bytes | None = None


class Encoder(Protocol):
    """Both encoders: the same bytes for the same rows."""

    name: str
    replies_per_key: int

    def begin(self, sequence: int, /) -> None:
        """A new result set, whose first row's packet bears this number."""
        ...

    def encode(self, data: bytes | bytearray | memoryview, /) -> Batch:
        """Every whole row in `data`, as commands. MalformedPacket if the bytes are not MySQL's protocol."""
        ...
