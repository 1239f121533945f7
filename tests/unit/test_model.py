"""Ranges, counts and outcomes."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardload.model.counts import Counts
from shardload.model.keys import KeyRange, PlannedRange
from shardload.model.tasks import Outcome

keys = st.integers(-(2**63), 2**64)


@pytest.mark.parametrize(("low", "high"), [(0, 0), (1, 0), (2**64, 2**64), (5, -5)])
def test_an_empty_range_cannot_be_made(low: int, high: int) -> None:
    """A range holds at least one key; the error shows both ends."""
    with pytest.raises(ValueError, match="empty key range") as caught:
        KeyRange(low, high)
    assert str(caught.value) == f"empty key range [{low}, {high})"


@given(keys, keys)
@settings(deadline=None, max_examples=50)
def test_halves_cover_the_range_exactly(one: int, other: int) -> None:
    """Two parts without gap or overlap, as equal as integers can be."""
    low, high = min(one, other), max(one, other) + 2
    first, second = KeyRange(low, high).halves()
    assert (first.low, first.high, second.high) == (low, second.low, high)
    assert 0 <= second.span_keys - first.span_keys <= 1


def test_a_single_key_has_no_halves() -> None:
    """ValueError, so that halving always ends."""
    with pytest.raises(ValueError, match="empty key range"):
        KeyRange(7, 8).halves()


@pytest.mark.parametrize(
    ("keys", "shown", "span"),
    [
        (KeyRange(1, 1001), "[1, 1001)", 1000),
        (KeyRange(-5, 0), "[-5, 0)", 5),
        (KeyRange(0, 2**64), "[0, 18446744073709551616)", 2**64),
    ],
)
def test_a_range_is_written_half_open(keys: KeyRange, shown: str, span: int) -> None:
    """Its text shows that the upper end is not part of it."""
    assert str(keys) == shown
    assert keys.span_keys == span


def test_counts_add_field_by_field() -> None:
    """Each number is added, in the order of the fields."""
    one, two = Counts(1, 2, 3, 4, 5, 6, 7, 8), Counts(10, 20, 30, 40, 50, 60, 70, 80)
    assert (one + two).as_tuple() == (11, 22, 33, 44, 55, 66, 77, 88)
    assert one.with_kept(2, 3) == Counts(1, 0, 3, 4, 5, 6, 9, 5)
    assert [field.name for field in dataclasses.fields(Counts)] == [
        "rows_read", "keys_written", "rows_skipped", "rows_failed", "source_bytes", "target_bytes",
        "keys_kept", "lookups_written",
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
        "JOB_REFUSED": 6, "TOO_MANY_CONNECTIONS": 7,
    }  # fmt: skip


def test_nouns_are_frozen() -> None:
    """Objects that pass between folders cannot be changed."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        PlannedRange(KeyRange(0, 1), 1).estimated_rows = 2  # type: ignore[misc]  # the assignment is the subject


@pytest.mark.parametrize(
    ("bounds", "outside"),
    [
        (None, True),
        (KeyRange(0, 10), True),
        (KeyRange(0, 11), False),
        (KeyRange(19, 30), False),
        (KeyRange(20, 30), True),
        (KeyRange(0, 99), False),
    ],
)
def test_a_range_outside_of_bounds(bounds: KeyRange | None, outside: bool) -> None:
    """Range and bounds are half-open."""
    assert KeyRange(10, 20).is_outside(bounds) == outside
