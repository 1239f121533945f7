"""Makes the payload of RESTORE for a hash: type byte, body, RDB version, CRC64. Pure.

An entry of an RDB file has the same type byte and body (`entries.py`).
This module defines the bytes; `native/_payloads.pxd` writes the same ones.

Layouts from Redis's own sources (BSD before 7.4): `rdb.c` (lengths, footer), `listpack.c` (elements, back-lengths),
`crc64.c` (the Jones polynomial). Tests compare every layout with what the server's DUMP gives.
"""

from __future__ import annotations

from collections.abc import Sequence

from shardload.encoding.form import Payload

Fields = Sequence[tuple[bytes, bytes]]

TYPE_STRING, TYPE_PLAIN_HASH, TYPE_LISTPACK_HASH = 0, 4, 16
VERSION_PLAIN, VERSION_LISTPACK = 9, 10  # a server accepts every version up to its own
MOST_LISTPACK_BYTES = 8192  # the server searches a longer one too slowly
MOST_LISTPACK_FIELDS = 512  # the server would convert one with more fields at once
_LISTPACK_HEAD_BYTES, _LISTPACK_END = 6, 0xFF
POLYNOMIAL = 0x95AC9329AC4BC9B5  # 0xad93d23594c935a9, reflected


def hash_payload(fields: Fields, preferred: Payload) -> bytes:
    """The payload of a hash with these fields, at least one."""
    value = hash_value(fields, preferred)
    return _with_footer(value, VERSION_LISTPACK if value[0] == TYPE_LISTPACK_HASH else VERSION_PLAIN)


def hash_value(fields: Fields, preferred: Payload) -> bytes:
    """Type byte and body of such a hash. A listpack if preferred and small enough, else plain."""
    if preferred is Payload.LISTPACK and _may_fit(fields):
        body = b"".join(_listpack_element(text) for field in fields for text in field)
        size = _LISTPACK_HEAD_BYTES + len(body) + 1
        if size <= MOST_LISTPACK_BYTES:
            head = size.to_bytes(4, "little") + (2 * len(fields)).to_bytes(2, "little")
            packed = head + body + bytes([_LISTPACK_END])
            return bytes([TYPE_LISTPACK_HASH]) + rdb_string(packed)
    strings = b"".join(rdb_string(text) for field in fields for text in field)
    return bytes([TYPE_PLAIN_HASH]) + rdb_length(len(fields)) + strings


def string_value(text: bytes) -> bytes:
    """Type byte and body of a string."""
    return bytes([TYPE_STRING]) + rdb_string(text)


def rdb_string(text: bytes) -> bytes:
    """An RDB string: its length, its bytes as they are."""
    return rdb_length(len(text)) + text


def rdb_length(length: int) -> bytes:
    """An RDB length: 6 bits, 14 bits, 32 bits, 64 bits, big-endian."""
    if length < 1 << 6:
        return bytes([length])
    if length < 1 << 14:
        return bytes([0x40 | length >> 8, length & 0xFF])
    if length < 1 << 32:
        return b"\x80" + length.to_bytes(4, "big")
    return b"\x81" + length.to_bytes(8, "big")


def _may_fit(fields: Fields) -> bool:
    """False if a listpack cannot hold them: there are too many fields, or one is too long."""
    longest = max(len(text) for field in fields for text in field)
    return len(fields) <= MOST_LISTPACK_FIELDS and longest < MOST_LISTPACK_BYTES


def canonical_integer(text: bytes) -> int | None:
    """The 64-bit signed integer that `text` spells in canonical decimal form, else None ("01", "-0", "+1": None)."""
    if not 0 < len(text) <= 20 or not text.removeprefix(b"-").isdigit():
        return None
    value = int(text)
    return value if str(value).encode() == text and -(2**63) <= value < 2**63 else None


def crc64(data: bytes | memoryview, crc: int = 0) -> int:
    """CRC-64 (Jones), reflected, start 0, no final xor; `crc` is that of the bytes before."""
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc


def _with_footer(body: bytes, version: int) -> bytes:
    """Append RDB version and checksum."""
    data = body + version.to_bytes(2, "little")
    return data + crc64(data).to_bytes(8, "little")


def _listpack_element(text: bytes) -> bytes:
    """A listpack element: an integer in its shortest encoding, or a string with its length; then the element's size."""
    value = canonical_integer(text)
    coded = _string(text) if value is None else _integer(value)
    return coded + _back_length(len(coded))


def _integer(value: int) -> bytes:
    if 0 <= value <= 127:
        return bytes([value])
    if -(1 << 12) <= value < 1 << 12:
        value &= 0x1FFF
        return bytes([0xC0 | value >> 8, value & 0xFF])
    for width, code in ((2, 0xF1), (3, 0xF2), (4, 0xF3)):
        if -(1 << (8 * width - 1)) <= value < 1 << (8 * width - 1):
            return bytes([code]) + value.to_bytes(width, "little", signed=True)
    return b"\xf4" + value.to_bytes(8, "little", signed=True)


def _string(text: bytes) -> bytes:
    length = len(text)
    if length < 64:
        return bytes([0x80 | length]) + text
    if length < 4096:
        return bytes([0xE0 | length >> 8, length & 0xFF]) + text
    return b"\xf0" + length.to_bytes(4, "little") + text


def _back_length(size: int) -> bytes:
    """The element's size, 7 bits a byte, most significant first; all but the first byte have the high bit set.

    The limits are those of listpack.c. Two bytes suffice for every element of a listpack of MOST_LISTPACK_BYTES.
    """
    if size <= 127:
        return bytes([size])
    return bytes([size >> 7, size & 127 | 128])


def _make_table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (POLYNOMIAL if crc & 1 else 0)
        table.append(crc)
    return table


_TABLE = _make_table()
