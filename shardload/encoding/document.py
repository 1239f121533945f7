"""Makes a row's JSON object. Pure.

This module defines the bytes; `native/_json.pxd` writes the same ones. Texts are UTF-8, and stay as they are but for
what JSON does not allow in a string.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

_SHORT = {8: b"\\b", 9: b"\\t", 10: b"\\n", 12: b"\\f", 13: b"\\r", 34: b'\\"', 92: b"\\\\"}
_ESCAPES = {bytes([byte]): b"\\u%04x" % byte for byte in range(32)} | {bytes([b]): text for b, text in _SHORT.items()}
_LARGEST_EXACT = b"9007199254740992"  # 2**53: JavaScript reads larger integers inexactly


class JsonType(Enum):
    """What a field's value is in JSON. The numbers are those of the native encoder."""

    TEXT = 0
    NUMBER = 1
    SAFE_NUMBER = 2  # an integer; beyond 2**53 a text
    RAW = 3  # JSON already


def json_object(members: Iterable[tuple[bytes, JsonType, bytes | None]]) -> bytes:
    """The object with these names, types and values; a value of None is null."""
    return b"{%b}" % b",".join(b"%b:%b" % (json_text(name), json_value(kind, value)) for name, kind, value in members)


def json_value(kind: JsonType, value: bytes | None) -> bytes:
    """One value in JSON. An empty number, or an empty text that should be JSON, is null."""
    if value is None or (not value and kind is not JsonType.TEXT):
        return b"null"
    if kind is JsonType.TEXT:
        return json_text(value)
    if kind is JsonType.RAW:
        return value
    sign, digits = (b"-", value[1:]) if value.startswith(b"-") else (b"", value)
    while digits[:1] == b"0" and digits[1:2].isdigit():  # ZEROFILL, and the year 0000
        digits = digits[1:]
    is_exact = (len(digits), digits) <= (len(_LARGEST_EXACT), _LARGEST_EXACT)
    number = sign + digits
    return b'"%b"' % number if kind is JsonType.SAFE_NUMBER and not is_exact else number


def json_text(text: bytes) -> bytes:
    """A string in JSON."""
    if text.isascii() and text.isalnum():
        return b'"%b"' % text
    return b'"%b"' % b"".join(_ESCAPES.get(text[at : at + 1], text[at : at + 1]) for at in range(len(text)))
