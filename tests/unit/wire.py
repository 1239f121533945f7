"""Write MySQL's text protocol, as input for tests."""

from __future__ import annotations

from collections.abc import Sequence

CONTINUED = 0xFFFFFF
END = b"\xfe\x00\x00\x02\x00"
NULL = b"\xfb"

Row = Sequence[bytes | None]


def length(number: int) -> bytes:
    """A length-encoded integer in its shortest form."""
    if number < 0xFB:
        return bytes([number])
    if number <= 0xFFFF:
        return b"\xfc" + number.to_bytes(2, "little")
    if number <= 0xFFFFFF:
        return b"\xfd" + number.to_bytes(3, "little")
    return b"\xfe" + number.to_bytes(8, "little")


def row(values: Row) -> bytes:
    """A row's payload."""
    return b"".join(NULL if value is None else length(len(value)) + value for value in values)


def packets(payload: bytes, sequence: int) -> tuple[bytes, int]:
    """A payload as packets, and the next sequence number. A packet of exactly 0xFFFFFF bytes is followed by another."""
    pieces = []
    while True:
        piece, payload = payload[:CONTINUED], payload[CONTINUED:]
        pieces.append(len(piece).to_bytes(3, "little") + bytes([sequence]) + piece)
        sequence = (sequence + 1) & 0xFF
        if len(piece) < CONTINUED:
            return b"".join(pieces), sequence


def stream(payloads: Sequence[bytes], sequence: int = 0) -> tuple[bytes, list[int], int]:
    """Several payloads: the bytes, the offset after each payload, and the next sequence number."""
    data, ends = bytearray(), []
    for payload in payloads:
        piece, sequence = packets(payload, sequence)
        data += piece
        ends.append(len(data))
    return bytes(data), ends, sequence
