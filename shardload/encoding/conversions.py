"""Conversions of a value, between what MySQL sends and what is written. Pure.

This module defines the bytes; `native/_conversions.pxi` writes the same ones.
"""

from __future__ import annotations

import struct
from base64 import b64encode
from binascii import crc_hqx
from enum import Enum

_FLOAT_BYTES = frozenset(b"0123456789+-.eE")
_MOST_FLOAT_BYTES = 40  # of a text; MySQL's longest double has fewer
_MOST_FLOAT = struct.unpack("<f", b"\xff\xff\x7f\x7f")[0]
_LEAST_EXPONENT = 15  # MySQL, too, writes numbers from 10**15 on with one
_LEAST_PRECISION, _MOST_PRECISION = 6, 9  # nine digits tell all numbers of type FLOAT apart
UUID_BYTES = 16


class Conversion(Enum):
    """What becomes of a value's bytes. The numbers are those of the native encoder."""

    NONE = 0
    FLOAT = 1  # the text of a DOUBLE: the shortest text that gives the same FLOAT
    HEX = 2  # in lower case
    BASE64 = 3
    UUID = 4  # of 16 bytes; others as HEX
    CRC16 = 5  # the checksum of Redis Cluster's slots, before it is cut to a slot: 0 to 65535


def converted(value: bytes, conversion: Conversion) -> bytes:
    """The value as it is written."""
    if conversion is Conversion.FLOAT:
        return shortest_float(value)
    if conversion is Conversion.HEX:
        return value.hex().encode()
    if conversion is Conversion.BASE64:
        return b64encode(value)
    if conversion is Conversion.UUID:
        digits = value.hex().encode()
        if len(value) != UUID_BYTES:
            return digits
        return b"-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    if conversion is Conversion.CRC16:
        return b"%d" % crc_hqx(value, 0)
    return value


def shortest_float(text: bytes) -> bytes:
    """The shortest text that gives the same FLOAT as `text` does, written as MySQL writes one (`1e20`, `1e-5`).

    A number below 10**15 has no exponent, but zeros. A text that is no number of this type stays as it is.
    """
    if len(text) > _MOST_FLOAT_BYTES or not _FLOAT_BYTES.issuperset(text):
        return text
    try:
        value = float(text)
    except ValueError:
        return text
    if not abs(value) <= _MOST_FLOAT:
        return text
    single = _single(value)
    for precision in range(_LEAST_PRECISION, _MOST_PRECISION + 1):
        shown = b"%.*g" % (precision, single)
        if precision == _MOST_PRECISION or _single(float(shown)) == single:
            break
    mantissa, mark, exponent = shown.partition(b"e")
    if mark and 0 <= int(exponent) < _LEAST_EXPONENT:
        sign, digits = (b"-", mantissa[1:]) if single < 0 else (b"", mantissa)
        return sign + digits.replace(b".", b"").ljust(int(exponent) + 1, b"0")
    return b"%be%d" % (mantissa, int(exponent)) if mark else mantissa


def _single(value: float) -> float:
    """The FLOAT that is nearest."""
    return float(struct.unpack("<f", struct.pack("<f", value))[0])
