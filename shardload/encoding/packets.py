"""Splits MySQL's text protocol: packets into rows of values. Pure; checks every length.

Source of the format: MySQL's protocol documentation, "Text Resultset Row" and "MySQL Packets". A packet is a
3-byte little-endian length, a 1-byte sequence number and the payload; a payload of exactly 0xFFFFFF bytes
continues in the next packet. A row is one length-encoded string a column; 0xFB is NULL.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from shardload.errors import MalformedPacket

HEADER_BYTES = 4
CONTINUED = 0xFFFFFF
_NULL, _TWO_BYTES, _THREE_BYTES, _EIGHT_BYTES = 0xFB, 0xFC, 0xFD, 0xFE
_END, _ERROR = 0xFE, 0xFF
_MORE_RESULTS = 0x08  # SERVER_MORE_RESULTS_EXISTS in the end's status
_END_SHORTER_THAN = 9  # bytes; a longer packet that starts with 0xFE is a row whose first value has 16 MiB or more


@dataclass(slots=True)
class Rows:
    """The whole rows in a piece of the stream.

    `consumed_bytes` and `sequence` say where the next piece starts. `ended` and `error_packet` say whether and how the
    result set ended here.
    """

    rows: list[list[bytes | None]] = field(default_factory=list)
    consumed_bytes: int = 0
    sequence: int = 0
    ended: bool = False
    error_packet: bytes | None = None


def split_rows(data: bytes, columns: int, sequence: int) -> Rows:
    """Split `data` into rows of `columns` values. An incomplete packet at the end stays unconsumed.

    `sequence` (0 to 255) is the number that the first packet must have. MalformedPacket, with the offset, if the
    bytes break the protocol.
    """
    found = Rows(sequence=sequence)
    while not found.ended and found.error_packet is None:
        payload, consumed, sequence = _next_payload(data, found.consumed_bytes, found.sequence)
        if payload is None:
            break
        at = found.consumed_bytes + HEADER_BYTES
        if not payload:
            raise MalformedPacket(f"an empty packet at offset {at}")
        if payload[0] == _ERROR:
            found.error_packet = payload
        elif payload[0] == _END and len(payload) < _END_SHORTER_THAN:
            if payload[3:4] and payload[3] & _MORE_RESULTS:
                raise MalformedPacket(f"the end at offset {at} announces another result set")
            found.ended = True
        else:
            found.rows.append(_split_values(payload, columns, at))
        found.consumed_bytes, found.sequence = consumed, sequence
    if found.ended and found.consumed_bytes != len(data):
        raise MalformedPacket(f"{len(data) - found.consumed_bytes} bytes after the end of the result set")
    return found


def has_packet(data: bytes | memoryview) -> bool:
    """Whether `data` begins with a whole payload. Who asks before he splits does not copy a large row again and again,
    once for each piece that comes."""
    at, length = 0, CONTINUED
    while length == CONTINUED:
        if at + HEADER_BYTES > len(data):
            return False
        length = int.from_bytes(data[at : at + 3], "little")
        at += HEADER_BYTES + length
    return at <= len(data)


def _next_payload(data: bytes, at: int, sequence: int) -> tuple[bytes | None, int, int]:
    """The payload of the packet at `at`, the offset after it, the next number. None if it is incomplete."""
    pieces = []
    while True:
        if at + HEADER_BYTES > len(data):
            return None, at, sequence
        length = int.from_bytes(data[at : at + 3], "little")
        if data[at + 3] != sequence:
            raise MalformedPacket(f"packet number {data[at + 3]} at offset {at}, expected {sequence}")
        start = at + HEADER_BYTES
        at = start + length
        if at > len(data):
            return None, at, sequence
        sequence = (sequence + 1) & 0xFF
        pieces.append(data[start:at])
        if length != CONTINUED:
            return (pieces[0] if len(pieces) == 1 else b"".join(pieces)), at, sequence


def _split_values(payload: bytes, columns: int, offset: int) -> list[bytes | None]:
    """The values of a row. `offset` is where the payload starts in the stream's buffer; errors show it."""
    values: list[bytes | None] = []
    at, end = 0, len(payload)
    for _ in range(columns):
        if at >= end:
            raise MalformedPacket(f"a row of {len(values)} values at offset {offset}, expected {columns}")
        length = payload[at]
        at += 1
        if length == _NULL:
            values.append(None)
            continue
        if length > _NULL:
            width = {_TWO_BYTES: 2, _THREE_BYTES: 3, _EIGHT_BYTES: 8}.get(length)
            if width is None or at + width > end:
                raise MalformedPacket(f"an incomplete length at offset {offset + at - 1}")
            length = int.from_bytes(payload[at : at + width], "little")
            at += width
        if at + length > end:
            raise MalformedPacket(f"a value of {length} bytes at offset {offset + at} is longer than its packet")
        values.append(payload[at : at + length])
        at += length
    if at != end:
        raise MalformedPacket(f"{end - at} bytes too many in the row at offset {offset}")
    return values
