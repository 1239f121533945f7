"""The interface of both encoders, and the batch that they return. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from shardload.model.counts import SetAside


@dataclass(slots=True)
class Batch:
    """The whole rows in one piece of the stream, encoded.

    - `commands` writes `keys` keys; Redis answers it with `keys * replies_per_key` lines. Release it before the next
      call of `encode`: otherwise the encoder has to allocate new memory.
    - `consumed_bytes` counts the bytes of the piece that are encoded; pass the rest again, with what follows it.
    - `rows_skipped` counts rows without a field; `set_aside` lists rows whose key cannot be made.
    - `ended` is True if the result set ended here; `error_packet` is MySQL's error, if one came instead of the end.
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
    """Encodes one result set after another. Both implementations write the same bytes for the same rows."""

    name: str
    replies_per_key: int

    def begin(self, sequence: int, /) -> None:
        """Start a result set. `sequence` (0 to 255) is the packet number of its first row."""
        ...

    def encode(self, data: bytes | bytearray | memoryview, /) -> Batch:
        """Encode every whole row in `data`. MalformedPacket if the bytes break MySQL's protocol."""
        ...
