"""Keys between two keys: only guesses, but of the right type, in the right column, and about evenly spread."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardload.model.columns import KeyColumn, Kind
from shardload.model.keys import Key, KeyValue
from shardload.source.guess import between


def guesses(low: KeyValue, high: KeyValue, kind: Kind, charset: str = "", count: int = 5) -> list[KeyValue]:
    """What is guessed between two keys of one column."""
    return [key[0] for key in between((low,), (high,), [KeyColumn("k", kind, charset)], count)]


@pytest.mark.parametrize(
    ("kind", "low", "high", "expected"),
    [
        (Kind.INTEGER, 0, 100, [20, 40, 60, 80]),
        (Kind.INTEGER, -(2**63), 2**64 - 1, [-(2**63) + (2**64 + 2**63 - 1) * n // 5 for n in range(1, 5)]),
        (Kind.INTEGER, 4, 6, [5]),
        (Kind.INTEGER, 4, 5, []),
        (Kind.BINARY, b"a", b"f", [b"b", b"c", b"d", b"e"]),
        (Kind.DATE, "2020-01-01", "2020-01-11", ["2020-01-03", "2020-01-05", "2020-01-07", "2020-01-09"]),
        (Kind.DATE, "0000-00-00", "0001-01-06", ["0001-01-02", "0001-01-03", "0001-01-04", "0001-01-05"]),
        (Kind.DECIMAL, "-1.0", "1.0", ["-0.6", "-0.2", "0.2", "0.6"]),
        (Kind.DOUBLE, "0", "5", ["1.0", "2.0", "3.0", "4.0"]),
        (Kind.TIME, "-10:00:00", "10:00:00", ["-06:00:00", "-02:00:00", "02:00:00", "06:00:00"]),
        (Kind.OTHER, "10.0.0.0", "10.0.0.5", ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]),
        (Kind.OTHER, "::", "::5", ["::1", "::2", "::3", "::4"]),
        (Kind.OTHER, "what", "ever", []),
    ],
)
def test_values_between_two(kind: Kind, low: KeyValue, high: KeyValue, expected: list[KeyValue]) -> None:
    """Evenly spread, written as MySQL reads them; nothing where nobody knows the type."""
    found = guesses(low, high, kind)
    if kind is Kind.DECIMAL:
        assert [Decimal(str(value)) for value in found] == [Decimal(str(value)) for value in expected]
    elif kind is Kind.TIME:
        assert [str(value).removesuffix(".000000") for value in found] == expected
    else:
        assert found == expected


def test_times_of_a_day() -> None:
    """With fractions, also across the years."""
    first, *_, last = guesses("2020-01-01 00:00:00", "2020-01-02 00:00:00.500000", Kind.DATETIME, count=3)
    assert first == "2020-01-01 08:00:00.166666"
    assert datetime.datetime.fromisoformat(str(last)) == datetime.datetime(2020, 1, 1, 16, 0, 0, 333333)


@pytest.mark.parametrize(
    ("low", "high", "alphabet"),
    [
        (b"user0000001", b"user9999999", "0123456789"),
        (b"0f3a-", b"ffe1-", "0123456789abcdef"),
        (b"0F3A", b"FFE1", "0123456789ABCDEF"),
        (b"aaron", b"zoe", "0123456789abcdefghijklmnopqrstuvwxyz"),
    ],
)
def test_texts_are_guessed_in_their_own_alphabet(low: bytes, high: bytes, alphabet: str) -> None:
    """What they have in common stays in front; so that a dozen guesses find as many parts."""
    found = [value for value in guesses(low, high, Kind.TEXT, "latin1", 12) if isinstance(value, bytes)]
    same = len(low) - len(low.lstrip(b"user")) if low.startswith(b"user") else 0
    assert len(found) == 11
    for value in found:
        assert value[:same] == low[:same]
        assert set(value[same:].decode()) <= set(alphabet)
    assert found == sorted(found)


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
CHARSETS = ["utf8mb4", "utf8mb3", "ucs2", "utf16", "utf32", "gbk", "latin1", "ascii", "big5", "cp1251"]
CODECS = {"ucs2": "utf-16-be", "utf16": "utf-16-be", "utf32": "utf-32-be", "utf8mb4": "utf-8", "utf8mb3": "utf-8"}


@given(TEXTS, TEXTS, st.sampled_from(CHARSETS), st.integers(2, 64))
def test_any_two_texts(one: str, other: str, charset: str, count: int) -> None:
    """A guess is a text of the column's character set, and never one of the two."""
    codec = CODECS.get(charset, charset)
    low, high = (text.encode(codec, "ignore") for text in (one, other))
    if low == high:
        return
    found = guesses(low, high, Kind.TEXT, charset, count)
    assert len(found) < count
    for value in found:
        assert isinstance(value, bytes)
        assert value not in (low, high)
        if codec not in ("cp1251", "latin1", "ascii"):  # every byte is a character
            value.decode(codec)


COLUMNS = [KeyColumn("a", Kind.INTEGER), KeyColumn("b", Kind.TEXT, "latin1"), KeyColumn("c", Kind.DATE)]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        ((1, b"x", "2020-01-01"), (5, b"a", "2020-01-01"), [(2,), (3,), (4,)]),
        ((1, b"x", "2020-01-01"), (2, b"a", "2020-01-01"), [(2,)]),  # side by side: cut where the second begins
        ((1, b"a", "2020-01-01"), (1, b"d", "2020-01-01"), [(1, b"b"), (1, b"c")]),
        ((1, b"a", "2020-01-01"), (1, b"a", "2020-01-03"), [(1, b"a", "2020-01-02")]),
        ((1, b"a", "2020-01-01"), (1, b"a", "2020-01-02"), []),
        ((1, b"a", "2020-01-01"), (1, b"a", "2020-01-01"), []),
    ],
)
def test_the_first_column_that_differs_is_cut(low: Key, high: Key, expected: list[Key]) -> None:
    """Those before it are the same in every guess, those behind it are left out."""
    found = between(low, high, COLUMNS, 5)
    assert set(expected) <= set(found)
    assert {len(key) for key in found} <= {len(key) for key in expected}
