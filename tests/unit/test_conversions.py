"""What becomes of a value's bytes, exactly; the native encoder is compared with this in test_native.py."""

from __future__ import annotations

import pytest

from shardload.encoding.conversions import Conversion, converted, shortest_float
from shardload.encoding.document import JsonType, json_value


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"1.100000023841858", b"1.1"),
        (b"0", b"0"),
        (b"-0", b"-0"),
        (b"16777216", b"16777216"),
        (b"-123456792", b"-123456790"),
        (b"299999995297792", b"300000000000000"),
        (b"1e15", b"1e15"),
        (b"1e20", b"1e20"),
        (b"3.4028234663852886e38", b"3.4028235e38"),
        (b"1.401298464324817e-45", b"1.4013e-45"),
        (b"0.00011490920587675646", b"0.000114909206"),  # nine digits
        (b"1.1674979581036527e-11", b"1.16749796e-11"),
        (b"0.00001", b"1e-5"),
        (b"1e39", b"1e39"),  # no FLOAT
        (b"nan", b"nan"),
        (b"", b""),
        (b"1_0", b"1_0"),
        (b"--1", b"--1"),
        (b"0" * 41, b"0" * 41),
    ],
)
def test_the_shortest_float(text: bytes, shown: bytes) -> None:
    """Nine digits at most, an exponent as MySQL writes it; what is no FLOAT stays."""
    assert shortest_float(text) == shown


@pytest.mark.parametrize(
    ("conversion", "value", "shown"),
    [
        (Conversion.NONE, b"\xff\0", b"\xff\0"),
        (Conversion.HEX, b"\xff\0", b"ff00"),
        (Conversion.BASE64, b"\xff\0", b"/wA="),
        (Conversion.BASE64, b"", b""),
        (Conversion.UUID, bytes(range(16)), b"00010203-0405-0607-0809-0a0b0c0d0e0f"),
        (Conversion.UUID, b"\x01\x02", b"0102"),
        (Conversion.CRC16, b"123456789", b"12739"),  # the check value of CRC16/XMODEM, 0x31C3
    ],
)
def test_conversions(conversion: Conversion, value: bytes, shown: bytes) -> None:
    """Digits are in lower case; only 16 bytes are a UUID."""
    assert converted(value, conversion) == shown


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        (JsonType.TEXT, b'a"\\\x08\x09\x0a\x0c\x0d', b'"a\\"\\\\\\b\\t\\n\\f\\r"'),
        (JsonType.TEXT, b"\x0b\x00\x1f\x7f\xc3\xa9", b'"\\u000b\\u0000\\u001f\x7f\xc3\xa9"'),
        (JsonType.TEXT, b"", b'""'),
        (JsonType.NUMBER, b"007", b"7"),
        (JsonType.NUMBER, b"-00.50", b"-0.50"),
        (JsonType.NUMBER, b"0000", b"0"),
        (JsonType.NUMBER, b"", b"null"),
        (JsonType.SAFE_NUMBER, b"9007199254740992", b"9007199254740992"),
        (JsonType.SAFE_NUMBER, b"9007199254740993", b'"9007199254740993"'),
        (JsonType.SAFE_NUMBER, b"-9007199254740993", b'"-9007199254740993"'),
        (JsonType.SAFE_NUMBER, b"000000000000000000042", b"42"),
        (JsonType.RAW, b'{"a": 1}', b'{"a": 1}'),
        (JsonType.RAW, b"", b"null"),
        (JsonType.TEXT, None, b"null"),
    ],
)  # fmt: skip
def test_values_in_json(kind: JsonType, value: bytes | None, shown: bytes) -> None:
    """Zeros in front, control characters, large integers, JSON as it is."""
    assert json_value(kind, value) == shown
