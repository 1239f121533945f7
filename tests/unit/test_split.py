"""The planner, on synthetic sets of keys: ranges cover all keys once, are about even, and take few estimates."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardload.model.keys import KeyRange, PlannedRange, integer_range
from shardload.ranges.split import covers, cut_integers, refine, split


def ends(keys: KeyRange) -> tuple[int, int]:
    """The bounds of a range of integers."""
    assert keys.low is not None
    assert keys.high is not None
    low, high = keys.low[0], keys.high[0]
    assert isinstance(low, int)
    assert isinstance(high, int)
    return low, high


class Keys:
    """The keys of a table. `estimate` turns the true number of rows of a range into what the server estimates."""

    def __init__(self, keys: Sequence[int], estimate: Callable[[int], int] = lambda rows: rows) -> None:
        self.keys = keys if isinstance(keys, range) else sorted(keys)
        self._estimate = estimate
        self.calls = 0
        self.asked: list[KeyRange] = []

    def roots(self) -> list[KeyRange]:
        """The range from the smallest to the largest key."""
        return [integer_range(self.keys[0], self.keys[-1] + 1)] if self.keys else []

    def rows(self, keys: KeyRange) -> int:
        """The true number of rows."""
        low, high = ends(keys)
        return bisect.bisect_left(self.keys, high) - bisect.bisect_left(self.keys, low)

    def most_rows(self, keys: KeyRange) -> int | None:
        """As many as there are integers."""
        return keys.span_keys

    def cut(self, planned: PlannedRange, count: int) -> list[KeyRange]:
        """Into equal spans."""
        return cut_integers(planned.keys, count)

    def estimated_rows(self, ranges: Sequence[KeyRange]) -> list[int]:
        """The number that the server estimates."""
        self.calls += 1
        self.asked += ranges
        return [self._estimate(self.rows(keys)) for keys in ranges]


def assert_covers(plan: list[PlannedRange], keys: Sequence[int]) -> None:
    """Assert that the ranges go from the first key to the last, in order, without gap or overlap."""
    assert plan[0].keys.low == (keys[0],)
    assert plan[-1].keys.high == (keys[-1] + 1,)
    for one, next_one in pairwise(plan):
        assert one.keys.high == next_one.keys.low


def test_an_empty_table_has_no_ranges() -> None:
    """No estimate is asked for either."""
    space = Keys([])
    assert split(space, 100) == []
    assert space.calls == 0


def test_one_row() -> None:
    """One range of one key."""
    assert split(Keys([7]), 100) == [PlannedRange(integer_range(7, 8), 1)]


@pytest.mark.parametrize(
    ("keys", "range_rows", "edges"),
    [
        (range(100), 100, [0, 100]),
        (range(125), 100, [0, 125]),  # a quarter above the wish is not cut
        (range(126), 100, [0, 63, 126]),
        (range(100), 25, [0, 25, 50, 75, 100]),
        (range(-50, 50), 25, [-50, -25, 0, 25, 50]),
        (range(10), 1, list(range(11))),
        ([0, 99], 1, [0, 50, 100]),
    ],
)
def test_exact_plans(keys: Sequence[int], range_rows: int, edges: list[int]) -> None:
    """Dense keys are cut into equal parts."""
    assert [ends(p.keys) for p in split(Keys(keys), range_rows)] == list(pairwise(edges))


key_sets = st.one_of(
    st.lists(st.integers(-200, 200), min_size=1, max_size=150, unique=True),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=60, unique=True),
    st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=60, unique=True),
    st.lists(  # islands far from each other
        st.tuples(st.integers(0, 2**63), st.integers(1, 80)), min_size=1, max_size=4
    ).map(lambda islands: sorted({start + n for start, count in islands for n in range(count)})),
)


@given(key_sets, st.integers(1, 40))
@settings(deadline=None, max_examples=150)
def test_exact_estimates_make_even_ranges(keys: list[int], range_rows: int) -> None:
    """Every key is covered once, no range has twice the wanted rows, and no two neighbours are both small."""
    space = Keys(keys)
    plan = split(space, range_rows)
    assert_covers(plan, space.keys)
    rows = [space.rows(planned.keys) for planned in plan]
    assert rows == [planned.estimated_rows for planned in plan]
    assert sum(rows) == len(keys)
    assert max(rows) <= 2 * range_rows
    assert all(one + next_one > range_rows for one, next_one in pairwise(rows))


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=100, unique=True), st.integers(1, 50), st.data())
@settings(deadline=None, max_examples=100)
def test_estimates_that_lie_lose_no_row(keys: list[int], range_rows: int, data: st.DataObject) -> None:
    """With estimates of zero for full ranges and millions for empty ones, every key is still in exactly one range."""
    lies = data.draw(st.lists(st.integers(0, 10**12), min_size=1, max_size=20))
    turn = iter(range(10**9))
    space = Keys(keys, lambda _: lies[next(turn) % len(lies)])
    plan = split(space, range_rows)
    assert_covers(plan, space.keys)
    assert all(planned.estimated_rows <= (planned.keys.span_keys or 0) for planned in plan)


@pytest.mark.parametrize(
    "estimate", [lambda rows: 0, lambda rows: 10**9, lambda rows: rows // 2, lambda rows: rows * 3]
)
def test_one_lie_for_everything(estimate: Callable[[int], int]) -> None:
    """All keys are covered if every estimate is zero, a milliard, half or three times the truth."""
    assert_covers(split(Keys(range(5, 5005), estimate), 100), range(5, 5005))


FAR = 9 * 10**18


@pytest.mark.parametrize(("range_rows", "most"), [(50_000, 1), (1000, 2), (500, 6), (100, 25)])
def test_one_stray_key_far_away(range_rows: int, most: int) -> None:
    """Ids 1 to 1000 and one at 9 * 10**18 take a handful of ranges and estimates, although most of the space is empty.
    An empty range is estimated as one row, as InnoDB does."""
    keys = [*range(1, 1001), FAR]
    space = Keys(keys, lambda rows: max(1, rows))
    plan = split(space, range_rows)
    assert_covers(plan, keys)
    assert len(plan) <= most
    assert len(space.asked) <= 600
    assert max(space.rows(planned.keys) for planned in plan) <= 2 * range_rows


def test_twenty_million_rows_take_few_questions() -> None:
    """400 ranges of 50,000 dense rows take 65 estimates in two queries."""
    space = Keys(range(1, 20_000_001))
    plan = split(space, 50_000)
    assert_covers(plan, space.keys)
    assert 400 <= len(plan) <= 500
    assert len(space.asked) <= 65
    assert space.calls <= 2


def test_no_round_trip_asks_for_much() -> None:
    """One query never has more than 64 estimates, however large the table is."""
    space = Keys(range(1, 2_000_000))
    most = 0
    for_each_call = space.estimated_rows

    def watched(ranges: Sequence[KeyRange]) -> list[int]:
        nonlocal most
        most = max(most, len(ranges))
        return for_each_call(ranges)

    space.estimated_rows = watched  # type: ignore[method-assign]  # the test looks over the planner's shoulder
    split(space, 1000)
    assert 1 < most <= 64


@pytest.mark.parametrize(
    ("low", "high"), [(0, 2**64 - 1), (-(2**63), 2**63 - 1), (-1, 0), (2**64 - 2, 2**64 - 1), (-(2**63), -(2**63) + 1)]
)
def test_the_ends_of_the_key_space(low: int, high: int) -> None:
    """The largest unsigned and the smallest signed key are in a range; its upper end may be 2**64."""
    space = Keys([low, high])
    plan = split(space, 1)
    assert [space.rows(planned.keys) for planned in plan] == [1, 1]
    assert_covers(plan, [low, high])


@pytest.mark.parametrize(("low", "high"), [(0, 2**64), (-(2**63), 2**63)])
def test_a_full_key_space(low: int, high: int) -> None:
    """If all 2**64 keys exist, the ranges are equal; the integer arithmetic loses nothing."""
    space = Keys(range(0))
    space.roots = lambda: [integer_range(low, high)]  # type: ignore[method-assign]  # len() of such a range overflows
    space.rows = lambda keys: keys.span_keys  # type: ignore[method-assign, return-value, assignment]
    plan = split(space, 2**58)
    assert [planned.keys.span_keys for planned in plan] == [2**58] * 64
    assert (plan[0].keys.low, plan[-1].keys.high) == ((low,), (high,))


class TooManyQuestions(Exception):
    """The planner does not end."""


@pytest.mark.parametrize("range_rows", [1, 2])
def test_an_estimate_that_does_not_fall_ends_as_well(range_rows: int) -> None:
    """Every part of a wide space with three rows is estimated as three rows: the planner gives up cutting."""
    asked = 0

    def estimate(_: int) -> int:
        nonlocal asked
        asked += 1
        if asked > 20_000:
            raise TooManyQuestions
        return 3

    keys = [1, 2**62, 2**63 - 1]
    assert_covers(split(Keys(keys, estimate), range_rows), keys)


def test_short_ranges_are_estimated_rightly_and_long_ones_twice() -> None:
    """As in InnoDB: the small ranges get the wanted number of rows, whatever the estimates of long ones were."""
    keys = [island * 10_000_000 + 2 * n for island in range(10) for n in range(20_000)]
    space = Keys(keys, lambda rows: rows if rows <= 1000 or rows == len(keys) else 2 * rows)
    plan = split(space, 1000)
    assert_covers(plan, keys)
    rows = [space.rows(planned.keys) for planned in plan]
    assert max(rows) <= 1600
    assert 200 <= len([count for count in rows if count]) <= 260


def test_dense_keys_take_hardly_a_question() -> None:
    """Where every key is a row, equal spans need no estimate, even if half of the first parts are empty."""
    space = Keys([*range(1_000_000), *range(10_000_000, 11_000_000)])
    plan = split(space, 1000)
    assert_covers(plan, space.keys)
    rows = [space.rows(planned.keys) for planned in plan]
    assert max(rows) <= 1250
    assert len(plan) <= 2200
    assert len(space.asked) <= 1000


def test_estimates_of_twice_the_truth_do_not_halve_the_ranges() -> None:
    """InnoDB doubles the rows of long ranges, but not of the table: the ranges still get the wanted size."""
    space = Keys(range(1_000_000), lambda rows: 2 * rows if rows < 900_000 else rows)
    plan = split(space, 50_000)
    assert 18 <= len(plan) <= 28
    assert max(space.rows(planned.keys) for planned in plan) <= 65_000


def test_who_is_late_cuts_nothing_more() -> None:
    """What was not cut yet stays large, and can be refined later: to what it would have been."""
    turns = iter([False] * 5 + [True] * 10_000)
    space = Keys(range(0, 300_000, 3))
    coarse = split(space, 1000, is_late=lambda: next(turns))
    assert_covers(coarse, space.keys)
    assert len(coarse) < 80
    fine = [part for planned in coarse for part in refine(space, planned, 1000)]
    assert_covers(fine, space.keys)
    assert max(space.rows(part.keys) for part in fine) <= 1250


class Words(Keys):
    """Keys that cannot be counted, and of which every other one can be cut."""

    def most_rows(self, keys: KeyRange) -> int | None:
        """Nobody knows."""
        return None

    def roots(self) -> list[KeyRange]:
        """NULLs first."""
        return [KeyRange(nulls=True), *super().roots()]

    def rows(self, keys: KeyRange) -> int:
        """There are many NULLs."""
        return 10**6 if keys.nulls else super().rows(keys)

    def cut(self, planned: PlannedRange, count: int) -> list[KeyRange]:
        """NULLs cannot be cut, nor can ranges that begin at an odd number."""
        if planned.keys.nulls or ends(planned.keys)[0] % 2:
            return [planned.keys]
        return super().cut(planned, count)


def test_what_cannot_be_cut_stays_whole() -> None:
    """NULLs are a range of their own, and never joined with others."""
    space = Words(range(100_000))
    first, *rest = split(space, 1000)
    assert first == PlannedRange(KeyRange(nulls=True), 10**6)
    assert_covers(rest, space.keys)
    assert covers(rest, integer_range(0, 100_000))


def test_parts_that_are_not_the_range() -> None:
    """A gap, an overlap, another end, nothing at all."""
    a, b, c = (PlannedRange(integer_range(low, low + 10), 1) for low in (0, 10, 20))
    assert covers([a, b, c], integer_range(0, 30))
    for parts in ([], [a, c], [b, a, c], [a, b], [b, c]):
        assert not covers(parts, integer_range(0, 30))
    assert not covers([PlannedRange(KeyRange(None, None), 1)] * 2, KeyRange())


def test_estimates_that_say_nothing_end_the_cutting() -> None:
    """A query that MySQL computes as a whole has one estimate for every part of it: it is read in one piece."""
    space = Keys(range(0, 10**7, 100), lambda _: 90_000)
    (only,) = split(space, 1000)
    assert only.keys == space.roots()[0]
    assert len(space.asked) <= 70
