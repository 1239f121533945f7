"""Guesses keys between two keys, so that MySQL can look for real ones near them. Pure.

A guess is never compared here, and nothing depends on it but the balance of ranges: MySQL says which keys there are,
and in which order. So dates are taken as Python's, and characters as their code points, whatever the collation.
"""

from __future__ import annotations

import datetime
import ipaddress
import string
import uuid
from collections.abc import Callable, Iterator, Sequence
from decimal import Context, Decimal, InvalidOperation

from shardload.model.columns import KeyColumn, Kind
from shardload.model.keys import Key, KeyValue

_WINDOW = 8  # characters that are taken as one number
_WIDE_WINDOW = 2  # of them, if any character may come
_TRIES = 64  # characters that are tried if the character set lacks one
_EXACT = Context(prec=100)
_US = datetime.timedelta(microseconds=1)
_ALPHABETS = tuple(
    map(
        "".join,
        (
            string.digits,
            string.digits + "abcdef",
            string.digits + "ABCDEF",
            string.digits + string.ascii_lowercase,
            string.digits + string.ascii_uppercase + string.ascii_lowercase,
            [chr(code) for code in range(32, 127)],
        ),
    )
)
_CODECS = {
    "utf8mb4": "utf-8", "utf8mb3": "utf-8", "utf8": "utf-8", "": "utf-8", "ucs2": "utf-16-be", "utf16": "utf-16-be",
    "utf16le": "utf-16-le", "utf32": "utf-32-be", "gbk": "gbk", "gb2312": "gb2312", "gb18030": "gb18030",
    "big5": "big5", "sjis": "shift_jis", "cp932": "cp932", "ujis": "euc_jp", "eucjpms": "euc_jp", "euckr": "euc_kr",
    "ascii": "ascii",
}  # fmt: skip
_BYTES = "latin-1"  # a character for each byte: binary strings, and every other character set has one byte a character


def between(low: Key, high: Key, columns: Sequence[KeyColumn], count: int) -> list[Key]:
    """At most `count - 1` keys that divide what is between two whole keys about evenly, in the first column in which
    they differ. Empty if there is nothing between, or if nobody can guess what."""
    at = next((at for at, (one, other) in enumerate(zip(low, high, strict=True)) if one != other), None)
    if at is None:
        return []
    values = [value for value in dict.fromkeys(_values(low[at], high[at], columns[at], count)) if value != low[at]]
    if at == len(columns) - 1:
        values = [value for value in values if value != high[at]]
    elif not values:
        values = [high[at]]  # two groups side by side: what is between them is where the second begins
    return [(*low[:at], value) for value in values]


def _values(low: KeyValue, high: KeyValue, column: KeyColumn, count: int) -> Iterator[KeyValue]:
    if isinstance(low, int) and isinstance(high, int):
        yield from _numbers(low, high, count)
    elif isinstance(low, bytes) and isinstance(high, bytes):
        codec = _BYTES if column.kind is Kind.BINARY else _CODECS.get(column.charset, _BYTES)
        yield from _texts(low, high, codec, count)
    elif isinstance(low, str) and isinstance(high, str):
        for read, write in _READERS.get(column.kind, _OTHERS):
            try:
                least, most = read(low), read(high)
            except (ValueError, OverflowError, InvalidOperation):
                continue
            yield from (write(number) for number in _numbers(least, most, count))
            return


def _numbers(low: int, high: int, count: int) -> Iterator[int]:
    for part in range(1, count):
        yield low + (high - low) * part // count


def _texts(low: bytes, high: bytes, codec: str, count: int) -> Iterator[bytes]:
    """Texts between two, by the first characters in which they differ."""
    one, other = (text.decode(codec, "replace") for text in (low, high))
    same = next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), None)
    same = min(len(one), len(other)) if same is None else same
    prefix, one, other = one[:same], one[same:], other[same:]
    alphabet, window = _alphabet_of(one, other)
    if not alphabet:
        yield from _wide_texts(prefix, one, other, codec, count)
        return
    least, most = (_number_of(text[:window], alphabet, window, fill) for text, fill in ((one, 0), (other, -1)))
    for number in _numbers(least, most, count):
        digits = ""
        for _ in range(window):
            number, digit = divmod(number, len(alphabet))
            digits = alphabet[digit] + digits
        yield (prefix + digits).encode(codec, "replace")


def _alphabet_of(one: str, other: str) -> tuple[str, int]:
    """The smallest alphabet that has the next characters of both, and how many; an empty one if none has the first."""
    for alphabet in _ALPHABETS:
        most = min(_WINDOW, max(len(one), len(other)))
        length = 0
        while length < most and all(text[length : length + 1] in alphabet for text in (one, other)):
            length += 1
        if length >= min(2, most) and length:
            return alphabet, length
    return "", 0


def _number_of(text: str, alphabet: str, window: int, fill: int) -> int:
    number = 0
    for at in range(window):
        digit = alphabet.index(text[at]) if at < len(text) else range(len(alphabet))[fill]
        number = number * len(alphabet) + digit
    return number


def _wide_texts(prefix: str, one: str, other: str, codec: str, count: int) -> Iterator[bytes]:
    """Texts between two whose characters are of no small alphabet. What the character set lacks is left out."""
    most = 0x10FFFF if codec.startswith(("utf-8", "utf-32", "gb18030")) else 0xFF if codec == _BYTES else 0xFFFF
    codes = [[min(ord(c), most) for c in text[:_WIDE_WINDOW]] for text in (one or " ", other or " ")]
    seen = [code for text in codes for code in text]
    base, least = (256, 0) if codec == _BYTES else (max(seen) - min(seen) + 2, min(seen))
    ends = []
    for text, fill in zip(codes, (0, base - 1), strict=True):
        digits = [code - least for code in text] + [fill] * (_WIDE_WINDOW - len(text))
        ends.append(digits[0] * base + digits[1])
    for number in _numbers(ends[0], ends[1], count):
        found = "".join(_encodable(least + digit, codec) for digit in divmod(number, base))
        if found:
            yield (prefix + found).encode(codec, "replace")


def _encodable(code: int, codec: str) -> str:
    """This character, or the next one that the character set has; empty if there is none near."""
    for near in range(code, min(code + _TRIES, 0x110000)):
        try:
            chr(near).encode(codec)
        except UnicodeEncodeError:
            continue
        return chr(near)
    return ""


def _day_us(text: str) -> int:
    """A date, with a time or without, in microseconds since the year 1. Zeros in a date count as ones."""
    date, _, time = text.partition(" ")
    year, month, day = (max(1, int(number)) for number in date.split("-"))
    return (datetime.datetime(year, month, day) - datetime.datetime.min) // _US + (_time_us(time) if time else 0)


def _time_us(text: str) -> int:
    sign = -1 if text.startswith("-") else 1
    hours, minutes, seconds = text.lstrip("-").split(":")
    whole, _, fraction = seconds.partition(".")
    us = int(fraction[:6].ljust(6, "0")) if fraction else 0
    return sign * (((int(hours) * 60 + int(minutes)) * 60 + int(whole)) * 10**6 + us)


def _as_datetime(us: int) -> str:
    return (datetime.datetime.min + us * _US).strftime("%Y-%m-%d %H:%M:%S.%f").rjust(26, "0")


def _as_date(us: int) -> str:
    return _as_datetime(us)[:10]


def _as_time(us: int) -> str:
    seconds, fraction = divmod(abs(us), 10**6)
    minutes, hours = seconds // 60, seconds // 3600
    return f"{'-' if us < 0 else ''}{hours:02}:{minutes % 60:02}:{seconds % 60:02}.{fraction:06}"


_DECIMALS = 30  # places behind the point, the most that MySQL has
_Reader = tuple[Callable[[str], int], Callable[[int], str]]  # a value as a number, and back
_READERS: dict[Kind, tuple[_Reader, ...]] = {
    Kind.DATE: ((_day_us, _as_date),),
    Kind.DATETIME: ((_day_us, _as_datetime),),
    Kind.TIMESTAMP: ((_day_us, _as_datetime),),
    Kind.TIME: ((_time_us, _as_time),),
    Kind.DECIMAL: (
        (
            lambda text: int(Decimal(text).scaleb(_DECIMALS, _EXACT)),
            lambda n: f"{Decimal(n).scaleb(-_DECIMALS, _EXACT):f}",
        ),
    ),
    Kind.FLOAT: ((lambda text: int(float(text) * 2**40), lambda number: repr(number / 2**40)),),
    Kind.DOUBLE: ((lambda text: int(float(text) * 2**40), lambda number: repr(number / 2**40)),),
}
_OTHERS: tuple[_Reader, ...] = (
    (lambda text: uuid.UUID(text).int, lambda number: str(uuid.UUID(int=number))),
    (lambda text: int(ipaddress.IPv4Address(text)), lambda number: str(ipaddress.IPv4Address(number))),
    (lambda text: int(ipaddress.IPv6Address(text)), lambda number: str(ipaddress.IPv6Address(number))),
)
