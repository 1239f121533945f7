"""What keys take in a Redis's memory, by arithmetic: allocations, and the tables that have the keys. Pure.

Two families of servers are known. In the classic one (Redis to 8.0, Valkey 7.2) a key is an entry, its name and its
value, each an allocation, and a table is a power of two of slots of 8 bytes. Valkey from 8.1 on has a key's name inside
of its value's object, and tables of buckets of 64 bytes for seven keys each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

SLOTS = 16384  # hash slots of a Redis Cluster
_SLOT_BYTES = 8
_LEAST_SLOTS = 4
_BUCKET_BYTES, _BUCKET_KEYS = 64, 7
_TABLE_BYTES = 128  # of one that is there for a slot alone, beside its slots or buckets
_OBJECT_BYTES, _ENTRY_BYTES = 16, 24
_LONGEST_EMBEDDED = 44  # bytes of a string that is inside of its object
_MOST_EMBEDDED_BYTES, _POINTER_BYTES = 128, 8  # Valkey 9.1: of an object with key and value inside
_COMPACT_FIELDS, _COMPACT_BYTES = 512, 64  # a hash that HSET makes is compact up to these
_HASH_BYTES = 56


class Family(str, Enum):
    """How a server keeps keys."""

    CLASSIC = "classic"
    BUCKETS = "buckets"


@dataclass(frozen=True)
class Value:
    """What a key has: a compact hash, or a string, of so many bytes; or a hash whose `fields` are apart, of (name's,
    value's) bytes."""

    size_bytes: int = 0
    is_string: bool = False
    fields: tuple[tuple[int, int], ...] = ()


def allocated(size_bytes: int) -> int:
    """What jemalloc gives for so many bytes: multiples of 16 up to 128, then four classes for each doubling."""
    if size_bytes <= 128:
        return max(8, -(-size_bytes // 16) * 16) if size_bytes > 8 else 8
    step = 1 << (max(size_bytes - 1, 1).bit_length() - 3)
    return -(-size_bytes // step) * step


def text_bytes(length: int) -> int:
    """A text of Redis's own kind (sds), with its head and its end."""
    return allocated(_unpadded(length))


def _unpadded(length: int) -> int:
    head = 1 if length < 32 else 3 if length < 1 << 8 else 5 if length < 1 << 16 else 9 if length < 1 << 32 else 17
    return length + head + 1


def key_bytes(family: Family, key_length: int, value: Value, *, expires: bool = False) -> int:
    """All allocations of one key, without its slots in tables."""
    if family is Family.BUCKETS:
        embedded = _OBJECT_BYTES + 8 * expires + 1 + _unpadded(key_length)
        whole = embedded - _POINTER_BYTES + value.size_bytes + 4
        if value.is_string and whole <= _MOST_EMBEDDED_BYTES:
            return allocated(whole)
        return allocated(embedded) + _content_bytes(family, value)
    entry = allocated(_ENTRY_BYTES) * (1 + expires) + text_bytes(key_length)
    if value.is_string:
        return entry + argument_bytes(family, value.size_bytes)
    return entry + _OBJECT_BYTES + _content_bytes(family, value)


def argument_bytes(family: Family, length: int) -> int:
    """A text of a command that waits in a transaction."""
    embedded = _OBJECT_BYTES + 4 + length
    if family is Family.BUCKETS and embedded - _POINTER_BYTES <= _MOST_EMBEDDED_BYTES:
        return allocated(embedded - _POINTER_BYTES)
    if length <= _LONGEST_EMBEDDED:
        return allocated(embedded)
    return _OBJECT_BYTES + text_bytes(length)


def _content_bytes(family: Family, value: Value) -> int:
    if value.is_string:
        return text_bytes(value.size_bytes)
    if not value.fields:
        return allocated(value.size_bytes)
    entry = 0 if family is Family.BUCKETS else allocated(_ENTRY_BYTES)
    apart = sum(entry + text_bytes(name) + text_bytes(text) for name, text in value.fields)
    return allocated(_HASH_BYTES) + table_bytes(family, len(value.fields)) + apart


def hash_value(fields: list[tuple[int, int]], compact_bytes: int, *, most_compact: int) -> Value:
    """A hash as the server keeps it: compact, of so many bytes, if all of its texts are at most `most_compact` long."""
    longest = max((length for field in fields for length in field), default=0)
    if longest <= most_compact and len(fields) <= _COMPACT_FIELDS:
        return Value(compact_bytes)
    return Value(fields=tuple(fields))


def table_bytes(family: Family, keys: int, tables: int = 1) -> int:
    """The memory of a table with so many keys; of `tables` that share them by chance."""
    if tables > 1:
        mean = _expected(keys / tables, lambda one: table_bytes(family, one) + _TABLE_BYTES * bool(one))
        return round(tables * mean)
    if keys <= 0:
        return 0
    if family is Family.CLASSIC:
        return _SLOT_BYTES * max(_LEAST_SLOTS, 1 << (keys - 1).bit_length())
    buckets = 1 << (-(-keys // _BUCKET_KEYS) - 1).bit_length()
    return round(buckets * _BUCKET_BYTES * (1 + _chained(keys / buckets)))


def doubles(family: Family, before: int, after: int) -> bool:
    """True if a table with `before` keys has to grow until it has `after`."""
    return before_last_doubling(family, before) != before_last_doubling(family, after)


def before_last_doubling(family: Family, keys: int) -> int:
    """How many keys a table had when it grew to the size that it has with so many."""
    if family is Family.CLASSIC:
        return 0 if keys <= _LEAST_SLOTS else 1 << (keys - 1).bit_length() - 1
    if keys <= 0:
        return 0
    buckets = 1 << (-(-keys // _BUCKET_KEYS) - 1).bit_length()
    return buckets // 2 * _BUCKET_KEYS


@lru_cache(maxsize=4096)
def _chained(load: float) -> float:
    """How many more buckets there are for each one that is full, with so many keys to a bucket."""
    return _expected(load, lambda keys: max(0, -(-(keys - _BUCKET_KEYS) // (_BUCKET_KEYS - 1))))


def _expected(load: float, cost: Callable[[int], float]) -> float:
    """The mean cost of a place to which keys come by chance, `load` of them on average (Poisson)."""
    if load <= 0:
        return float(cost(0))
    spread = 6 * math.sqrt(load) + 8
    low, high = max(0, int(load - spread)), int(load + spread)
    chances = [math.exp(keys * math.log(load) - load - math.lgamma(keys + 1)) for keys in range(low, high + 1)]
    return sum(chance * cost(keys) for keys, chance in zip(range(low, high + 1), chances, strict=True))
