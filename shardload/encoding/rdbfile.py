"""What stands around the entries of an RDB file, and the checksum of the whole. Pure.

A file has a head (magic and version, two fields that Redis reads past, the database, how many keys come and how many of
them expire), the entries in any order (`entries.py`), and a tail: the end byte, and the CRC64 of all before it.

- A head has the same size whatever it counts: leave room for it, and write it when the counts are known.
- Checksums of pieces add up, so what was encoded side by side need not be read again.
- Redis ends where a database has a key twice (7.0 does): `Form.fingerprints` tells such keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from shardload.encoding.payload import POLYNOMIAL, crc64, rdb_length, rdb_string

VERSIONS = (9, 10, 11)
"""Redis reads every version up to its own: 6.2 has 9, 7.0 has 10 (with listpacks), 7.2 has 11."""
_AUX, _RESIZE_DB, _SELECT_DB, _END = b"\xfa", b"\xfb", b"\xfe", b"\xff"


@dataclass(frozen=True, slots=True)
class Checksum:
    """The CRC64 of `size_bytes` bytes. Checksums of bytes that follow each other add up: `first + second`."""

    crc: int = 0
    size_bytes: int = 0

    def __add__(self, behind: Checksum) -> Checksum:
        """Each byte behind them moves the first ones' CRC by x^8."""
        moved, size, exponent = self.crc, behind.size_bytes, 0
        while size:
            if size & 1:
                moved = _product(moved, _past(exponent))
            size, exponent = size >> 1, exponent + 1
        return Checksum(moved ^ behind.crc, self.size_bytes + behind.size_bytes)


def reference_checksum(data: bytes | memoryview, before: Checksum = Checksum()) -> Checksum:
    """The checksum of what `before` is of, and this data behind it. `choice.checksum_of` is the fast one."""
    return Checksum(crc64(data, before.crc), before.size_bytes + len(data))


def head(version: int, database: int, keys: int, expiring: int, made_s: int) -> bytes:
    """What stands before the entries of so many keys, made at a Unix time. ValueError if there is no such version."""
    if version not in VERSIONS:
        raise ValueError(f"RDB version {version}")
    fields = ((b"redis-bits", b"64"), (b"ctime", b"%d" % made_s))
    told = b"".join(_AUX + rdb_string(name) + rdb_string(value) for name, value in fields)
    counts = b"".join(b"\x81" + count.to_bytes(8, "big") for count in (keys, expiring))  # lengths of 64 bits
    return b"REDIS%04d" % version + told + _SELECT_DB + rdb_length(database) + _RESIZE_DB + counts


def tail(checksum: Checksum) -> bytes:
    """What stands behind head and entries, which have this checksum."""
    return _END + reference_checksum(_END, checksum).crc.to_bytes(8, "little")


def _product(first: int, second: int) -> int:
    """The product of two polynomials, reflected (the highest bit is x^0), modulo the CRC's."""
    product = 0
    for bit in range(63, -1, -1):
        if second >> bit & 1:
            product ^= first
        first = first >> 1 ^ (POLYNOMIAL if first & 1 else 0)
    return product


@cache
def _past(exponent: int) -> int:
    """What moves a CRC past 2^exponent bytes: x^(8 * 2^exponent)."""
    return _product(_past(exponent - 1), _past(exponent - 1)) if exponent else 1 << 63 - 8
