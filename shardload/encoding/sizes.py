"""How long a hash's compact form (a listpack) is, without making it. Pure. `payload.py` has the bytes."""

from __future__ import annotations

from collections.abc import Iterable

from shardload.encoding.payload import Fields, canonical_integer

_HEAD_AND_END_BYTES = 7


def compact_bytes(fields: Fields) -> int:
    """The size of the listpack with these fields."""
    return _HEAD_AND_END_BYTES + sum(map(_element_bytes, _texts(fields)))


def _texts(fields: Fields) -> Iterable[bytes]:
    return (text for field in fields for text in field)


def _element_bytes(text: bytes) -> int:
    length = len(text)
    if length <= 20 and (value := canonical_integer(text)) is not None:
        if 0 <= value <= 127:
            return 2
        if -(1 << 12) <= value < 1 << 12:
            return 3
        return next(2 + width for width in (2, 3, 4, 8) if -(1 << (8 * width - 1)) <= value < 1 << (8 * width - 1))
    coded = length + (1 if length < 64 else 2 if length < 4096 else 5)
    return coded + (1 if coded <= 127 else 2 if coded < 16384 else 3)
