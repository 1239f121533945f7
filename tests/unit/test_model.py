"""Ranges, counts and outcomes."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardload.model.counts import Counts
from shardload.model.keys import Key, KeyRange, PlannedRange, integer_range, key_in_json, key_of_json
from shardload.model.tasks import Outcome

keys = st.integers(-(2**63), 2**64)


@pytest.mark.parametrize(("low", "high"), [(0, 0), (1, 0), (2**64, 2**64), (5, -5)])
def test_an_empty_range_cannot_be_made(low: int, high: int) -> None:
    """A range holds at least one key; the error shows both ends."""
    with pytest.raises(ValueError, match="empty key range") as caught:
        integer_range(low, high)
    assert str(caught.value) == f"empty key range [{low}, {high})"


@pytest.mark.parametrize(
    ("keys", "shown", "span"),
    [
        (integer_range(1, 1001), "[1, 1001)", 1000),
        (integer_range(-5, 0), "[-5, 0)", 5),
        (integer_range(0, 2**64), "[0, 18446744073709551616)", 2**64),
        (KeyRange(), "[..., ...)", None),
        (KeyRange(None, (7,)), "[..., 7)", None),
        (KeyRange((7, b"a\xff"), (8,)), "[(7, a\\xff), 8)", None),
        (KeyRange(("2020-01-01",), (b"\n",)), "[2020-01-01, \\n)", None),
        (KeyRange(nulls=True), "[NULL]", None),
    ],
)
def test_a_range_is_written_half_open(keys: KeyRange, shown: str, span: int | None) -> None:
    """Its text shows that the upper end is not part of it."""
    assert str(keys) == shown
    assert keys.span_keys == span


def test_counts_add_field_by_field() -> None:
    """Each number is added, in the order of the fields."""
    one, two = Counts(1, 2, 3, 4, 5, 6, 7, 8), Counts(10, 20, 30, 40, 50, 60, 70, 80)
    assert (one + two).as_tuple() == (11, 22, 33, 44, 55, 66, 77, 88, 0, 0, 0)
    assert one.with_kept(2, 3) == Counts(1, 0, 3, 4, 5, 6, 9, 5)
    assert [field.name for field in dataclasses.fields(Counts)] == [
        "rows_read", "keys_written", "rows_skipped", "rows_failed", "source_bytes", "target_bytes",
        "keys_kept", "lookups_written", "keys_equal", "keys_differing", "keys_expired",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("counts", "adds_up"),
    [
        (Counts(), True),
        (Counts(10, 7, 2, 1), True),
        (Counts(10, 10, 0, 0, 1, 2), True),
        (Counts(10, 9, 0, 0), False),
        (Counts(10, 10, 1, 0), False),
        (Counts(10, 10, 0, 1), False),
        (Counts(10, 4, 2, 1, keys_kept=3, lookups_written=99), True),
        (Counts(10, 10, keys_kept=1), False),
    ],
)
def test_rows_are_written_skipped_or_failed(counts: Counts, adds_up: bool) -> None:
    """Every row read is counted exactly once; bytes do not matter."""
    assert counts.adds_up() is adds_up


def test_the_numbers_of_outcomes_are_fixed() -> None:
    """They are sent between processes: to renumber them, change the magic of the messages."""
    assert {outcome.name: int(outcome) for outcome in Outcome} == {
        "DONE": 1, "HANDED_BACK": 2, "UNREACHABLE": 3, "CONNECTION_LOST": 4, "REFUSED": 5,
        "JOB_REFUSED": 6, "TOO_MANY_CONNECTIONS": 7, "CUT": 8, "WHOLE": 9,
    }  # fmt: skip


def test_nouns_are_frozen() -> None:
    """Objects that pass between folders cannot be changed."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        PlannedRange(integer_range(0, 1), 1).estimated_rows = 2  # type: ignore[misc]  # the assignment is the subject


@pytest.mark.parametrize("keys", [((1, 2), (1, 2)), ((b"a",), (b"a",))])
def test_a_range_between_equal_keys_cannot_be_made(keys: tuple[Key, Key]) -> None:
    """MySQL alone knows more of their order."""
    with pytest.raises(ValueError, match="empty key range"):
        KeyRange(*keys)


def test_nulls_have_no_bounds() -> None:
    """They are a range of their own."""
    with pytest.raises(ValueError, match="no bounds"):
        KeyRange((1,), None, nulls=True)


@given(st.lists(st.one_of(st.integers(), st.text(), st.binary()), min_size=1).map(tuple) | st.none())
def test_a_key_survives_json(key: Key | None) -> None:
    """Whatever is in it: numbers of any size, text, bytes."""
    assert key_of_json(json.loads(json.dumps(key_in_json(key)))) == key


@pytest.mark.parametrize("found", [[], {}, 5, "a", [None], [True], [1.5], [[1]], [{"hex": 1}], [{"hex": "zz"}], [{}]])
def test_what_is_no_key(found: object) -> None:
    """ValueError: the journal is damaged."""
    with pytest.raises(ValueError, match=r"."):
        key_of_json(found)
