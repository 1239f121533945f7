"""What a value of each type becomes, written down: the table in docs/usage.md, with the values at the edges beside it.

Nothing here is computed by what is tested. Values are the bytes of MySQL's text protocol in UTF-8 and UTC, but for BIT,
which is a number, and FLOAT, which has as many digits as are needed to read the same FLOAT again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MYSQL, MARIADB = "MySQL", "MariaDB"


@dataclass(frozen=True)
class Type:
    """A column's type; each value as a literal of SQL, with the bytes that it becomes (None: the field is left out)."""

    name: str
    values: list[tuple[str, bytes | None]]
    make: str = ""
    """MySQL or MariaDB, if the other has no such type, or writes its values in another way."""
    since: tuple[int, int] = field(default=(0, 0))
    """The first version that has it."""


def _hex(*parts: str) -> bytes:
    return bytes.fromhex("".join(parts))


_SRID_0, _SRID_3857 = "00000000", "110f0000"
_0, _1, _2 = "0000000000000000", "000000000000f03f", "0000000000000040"  # as doubles, the lowest byte first
_POINT_1_2 = f"0101000000{_1}{_2}"
_POLYGON = f"01030000000100000004000000{_0}{_0}{_1}{_0}{_1}{_1}{_0}{_0}"
_LINE = f"010200000002000000{_0}{_0}{_1}{_1}"

INTEGERS = [
    Type("TINYINT", [("-128", b"-128"), ("127", b"127"), ("0", b"0"), ("NULL", None)]),
    Type("TINYINT UNSIGNED", [("0", b"0"), ("255", b"255")]),
    Type("BOOLEAN", [("TRUE", b"1"), ("FALSE", b"0")]),
    Type("SMALLINT", [("-32768", b"-32768"), ("32767", b"32767")]),
    Type("SMALLINT UNSIGNED", [("65535", b"65535")]),
    Type("MEDIUMINT", [("-8388608", b"-8388608"), ("8388607", b"8388607")]),
    Type("MEDIUMINT UNSIGNED", [("16777215", b"16777215")]),
    Type("INT", [("-2147483648", b"-2147483648"), ("2147483647", b"2147483647"), ("NULL", None)]),
    Type("INT UNSIGNED", [("4294967295", b"4294967295")]),
    Type("INT(8) ZEROFILL", [("42", b"00000042"), ("0", b"00000000"), ("4294967295", b"4294967295")]),
    Type(
        "BIGINT", [("-9223372036854775808", b"-9223372036854775808"), ("9223372036854775807", b"9223372036854775807")]
    ),
    Type("BIGINT UNSIGNED", [("18446744073709551615", b"18446744073709551615"), ("0", b"0")]),
    Type("BIT(1)", [("b'1'", b"1"), ("b'0'", b"0"), ("NULL", None)]),
    Type("BIT(8)", [("b'10000001'", b"129"), ("255", b"255"), ("0", b"0")]),
    Type("BIT(64)", [("~0", b"18446744073709551615"), ("1", b"1"), ("0", b"0")]),
]
NUMBERS = [
    Type("DECIMAL(65,30)", [
        ("99999999999999999999999999999999999.999999999999999999999999999999",
         b"99999999999999999999999999999999999.999999999999999999999999999999"),
        ("-99999999999999999999999999999999999.999999999999999999999999999999",
         b"-99999999999999999999999999999999999.999999999999999999999999999999"),
        ("0", b"0.000000000000000000000000000000"),
        ("-0.000000000000000000000000000001", b"-0.000000000000000000000000000001"),
    ]),
    Type("DECIMAL(12,2)", [("-0.5", b"-0.50"), ("7", b"7.00"), ("NULL", None)]),
    Type("DECIMAL(6,2) ZEROFILL", [("7.5", b"0007.50")]),
    Type("FLOAT", [
        ("1.1", b"1.1"), ("16777216", b"16777216"), ("16777217", b"16777216"), ("0.1 + 0.2", b"0.3"),
        ("123456.789", b"123456.79"), ("1e0 / 3", b"0.33333334"), ("0", b"0"), ("-2.5", b"-2.5"),
        ("3.4028234663852886e38", b"3.4028235e38"), ("1.1754943508222875e-38", b"1.1754944e-38"), ("NULL", None),
    ]),
    Type("FLOAT(7,2)", [("12345.67", b"12345.67"), ("0", b"0.00"), ("-0.5", b"-0.50")]),
    Type("DOUBLE", [
        ("0.1", b"0.1"), ("0.1e0 + 0.2e0", b"0.30000000000000004"), ("9007199254740993", b"9.007199254740992e15"),
        ("1.7976931348623157e308", b"1.7976931348623157e308"), ("-1.7976931348623157e308", b"-1.7976931348623157e308"),
        ("2.2250738585072014e-308", b"2.2250738585072014e-308"), ("0", b"0"), ("1e15", b"1e15"), ("NULL", None),
    ]),
    Type("DOUBLE(10,3)", [("1234567.8912", b"1234567.891")]),
]  # fmt: skip
TIMES = [
    Type("DATE", [
        ("'2024-02-29'", b"2024-02-29"), ("'1000-01-01'", b"1000-01-01"), ("'9999-12-31'", b"9999-12-31"),
        ("'0000-00-00'", b"0000-00-00"), ("'2024-00-00'", b"2024-00-00"), ("NULL", None),
    ]),
    Type("DATETIME", [
        ("'2024-02-29 23:59:59'", b"2024-02-29 23:59:59"), ("'0000-00-00 00:00:00'", b"0000-00-00 00:00:00"),
        ("'1000-01-01 00:00:00'", b"1000-01-01 00:00:00"), ("'9999-12-31 23:59:59'", b"9999-12-31 23:59:59"),
    ]),
    *(
        Type(f"DATETIME({digits})", [
            (f"'2024-02-29 23:59:59.{'123456'[:digits]}'", b"2024-02-29 23:59:59." + b"123456"[:digits]),
            ("'2024-02-29'", b"2024-02-29 00:00:00." + b"0" * digits),
        ])
        for digits in range(1, 7)
    ),
    Type("TIMESTAMP NULL", [
        ("'2024-03-31 02:30:00'", b"2024-03-31 02:30:00"), ("'1970-01-01 00:00:01'", b"1970-01-01 00:00:01"),
        ("'2038-01-19 03:14:07'", b"2038-01-19 03:14:07"), ("'0000-00-00 00:00:00'", b"0000-00-00 00:00:00"),
        ("NULL", None),
    ]),
    Type("TIMESTAMP(6) NULL", [("'2024-03-31 02:30:00.000001'", b"2024-03-31 02:30:00.000001")]),
    Type("TIME", [
        ("'-838:59:59'", b"-838:59:59"), ("'838:59:59'", b"838:59:59"), ("'00:00:00'", b"00:00:00"),
        ("'-00:00:01'", b"-00:00:01"), ("NULL", None),
    ]),
    *(
        Type(f"TIME({digits})", [(f"'-100:00:00.{'654321'[:digits]}'", b"-100:00:00." + b"654321"[:digits])])
        for digits in range(1, 7)
    ),
    Type("YEAR", [("1999", b"1999"), ("1901", b"1901"), ("2155", b"2155"), ("0", b"0000"), ("NULL", None)]),
]  # fmt: skip
TEXTS = [
    Type("CHAR(5)", [("'ab'", b"ab"), ("'ab   '", b"ab"), ("''", b""), ("NULL", None)]),
    Type("VARCHAR(40)", [
        ("'ab  '", b"ab  "), ("''", b""), ("NULL", None), ("'NULL'", b"NULL"), ("x'610d0a00621a'", b"a\r\n\0b\x1a"),
        ("x'2720222060205c202573207b627d'", b"' \" ` \\ %s {b}"),
    ]),
    Type("VARCHAR(20) CHARACTER SET latin1", [("'Größe €'", "Größe €".encode()), ("x'80ff'", "€ÿ".encode())]),
    Type("VARCHAR(20) CHARACTER SET gbk", [("'中文'", "中文".encode()), ("x'd6d0'", "中".encode())]),
    Type("VARCHAR(20) CHARACTER SET utf8mb3", [("'é中'", "é中".encode())]),
    Type("VARCHAR(20) CHARACTER SET utf8mb4", [("'Zoë 🦉'", "Zoë 🦉".encode())]),
    Type("VARCHAR(20) CHARACTER SET ucs2", [("'é中'", "é中".encode())]),
    Type("VARCHAR(20) CHARACTER SET utf16", [("'é🦉'", "é🦉".encode())]),
    Type("VARCHAR(20) CHARACTER SET utf32", [("'é🦉'", "é🦉".encode())]),
    Type("CHAR(4) CHARACTER SET ascii", [("'abcd'", b"abcd")]),
    Type("CHAR(4) CHARACTER SET binary", [("'ab'", b"ab\0\0")]),
    Type("TINYTEXT", [("'tiny'", b"tiny")]),
    Type("TEXT", [("'山田'", "山田".encode()), ("''", b""), ("NULL", None)]),
    Type("MEDIUMTEXT", [("REPEAT('é', 40000)", "é".encode() * 40000)]),
    Type("LONGTEXT", [("REPEAT('x', 70000)", b"x" * 70000)]),
    Type("ENUM('','a,b','it''s','é')", [
        ("'it''s'", b"it's"), ("'a,b'", b"a,b"), ("'é'", "é".encode()), ("''", b""), ("'none of them'", b""),
        ("NULL", None),
    ]),
    Type("SET('a','b','x y','é')", [
        ("'a,x y'", b"a,x y"), ("'é,b'", "b,é".encode()), ("''", b""), ("15", "a,b,x y,é".encode()), ("NULL", None),
    ]),
    Type("JSON", [("""'{"b":1, "a" : [1.50, null, "ü"]}'""", '{"b":1, "a" : [1.50, null, "ü"]}'.encode())], MARIADB),
    Type("JSON", [
        ("""'{"b":1, "a" : [1.50, null, "ü"]}'""", '{"a": [1.5, null, "ü"], "b": 1}'.encode()), ("'null'", b"null"),
        ("NULL", None),
    ], MYSQL),
]  # fmt: skip
BINARIES = [
    Type("BINARY(4)", [("'ab'", b"ab\0\0"), ("x'ff00'", b"\xff\0\0\0"), ("NULL", None)]),
    Type("BINARY(16)", [("x'00112233445566778899aabbccddeeff'", _hex("00112233445566778899aabbccddeeff"))]),
    Type("VARBINARY(8)", [("x'00ff0d0a'", b"\x00\xff\r\n"), ("x''", b""), ("NULL", None)]),
    Type("TINYBLOB", [("x'fe'", b"\xfe")]),
    Type("BLOB", [("x'00ff0d0afe2a24'", b"\x00\xff\r\n\xfe*$"), ("x''", b""), ("NULL", None)]),
    Type("MEDIUMBLOB", [("REPEAT(x'00', 70000)", bytes(70000))]),
    Type("LONGBLOB", [("x'c328'", b"\xc3\x28")]),
    Type("GEOMETRY", [
        ("ST_GeomFromText('POINT(1 2)')", _hex(_SRID_0, _POINT_1_2)),
        ("ST_GeomFromText('POINT(1 2)', 3857)", _hex(_SRID_3857, _POINT_1_2)), ("NULL", None),
    ]),
    Type("POINT", [("ST_GeomFromText('POINT(1 2)')", _hex(_SRID_0, _POINT_1_2)), ("NULL", None)]),
    Type("LINESTRING", [("ST_GeomFromText('LINESTRING(0 0,1 1)')", _hex(_SRID_0, _LINE))]),
    Type("POLYGON", [("ST_GeomFromText('POLYGON((0 0,1 0,1 1,0 0))')", _hex(_SRID_0, _POLYGON))]),
    Type("MULTIPOINT", [("ST_GeomFromText('MULTIPOINT(1 2)')", _hex(_SRID_0, "010400000001000000", _POINT_1_2))]),
    Type("MULTILINESTRING", [
        ("ST_GeomFromText('MULTILINESTRING((0 0,1 1))')", _hex(_SRID_0, "010500000001000000", _LINE)),
    ]),
    Type("MULTIPOLYGON", [
        ("ST_GeomFromText('MULTIPOLYGON(((0 0,1 0,1 1,0 0)))')", _hex(_SRID_0, "010600000001000000", _POLYGON)),
    ]),
    Type("GEOMETRYCOLLECTION", [
        ("ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 2))')", _hex(_SRID_0, "010700000001000000", _POINT_1_2)),
    ]),
    Type("VECTOR(2)", [("STRING_TO_VECTOR('[1,-2.5]')", _hex("0000803f", "000020c0")), ("NULL", None)], MYSQL, (9, 0)),
    Type("VECTOR(2) NULL", [("VEC_FromText('[1,-2.5]')", _hex("0000803f", "000020c0"))], MARIADB, (11, 7)),
]  # fmt: skip
OTHERS = [
    Type("UUID", [
        ("'123e4567-e89b-12d3-a456-426655440000'", b"123e4567-e89b-12d3-a456-426655440000"), ("NULL", None),
        ("'00000000-0000-0000-0000-000000000000'", b"00000000-0000-0000-0000-000000000000"),
    ], MARIADB, (10, 7)),
    Type("INET4", [("'192.0.2.1'", b"192.0.2.1"), ("'0.0.0.0'", b"0.0.0.0"), ("NULL", None)], MARIADB, (10, 10)),
    Type("INET6", [("'2001:DB8::1'", b"2001:db8::1"), ("'::'", b"::"), ("NULL", None)], MARIADB, (10, 5)),
]  # fmt: skip
REFERENCE = [*INTEGERS, *NUMBERS, *TIMES, *TEXTS, *BINARIES, *OTHERS]


def shown(value: bytes | None) -> str:
    """A value as the table in the documentation has it: text, or bytes in hexadecimal digits."""
    if value is None:
        return "left out"
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = "\0"
    return f"`{text}`" if text.isprintable() else f"bytes `{value.hex(' ')}`"
