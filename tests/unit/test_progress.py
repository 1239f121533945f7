"""Share done, rate and time left, with clock readings of the test's own."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardload.model.counts import share_done
from shardload.reporting.progress import SMOOTHING_S, Meter


@pytest.mark.parametrize(
    ("estimated", "done", "in_hand", "ranges", "ranges_done", "share"),
    [
        (0, 0, [], 0, 0, 1.0),  # an empty table is done
        (1000, 0, [], 10, 0, 0.0),
        (1000, 500, [], 10, 5, 0.5),
        (1000, 500, [(50, 100)], 10, 5, 0.55),
        (1000, 500, [(5000, 100)], 10, 5, 0.6),  # no more than its estimate, however many rows came
        (1000, 500, [(50, 100), (20, 100)], 10, 5, 0.57),
        (1000, 1000, [], 10, 9, 0.9999),  # one range more than the estimates knew
        (1000, 9999, [(1, 1)], 10, 9, 0.9999),
        (1000, 1000, [], 10, 10, 1.0),
        (1000, 900, [], 10, 10, 1.0),  # done is done, whatever was estimated
        (0, 0, [], 4, 1, 0.25),  # without estimates, ranges are counted
    ],
)
def test_the_share_of_the_plan(
    estimated: int, done: int, in_hand: list[tuple[int, int]], ranges: int, ranges_done: int, share: float
) -> None:
    """By the estimates, 1 only when every range is done, never above."""
    assert share_done(
        in_hand, estimated_rows=estimated, estimated_done=done, ranges=ranges, ranges_done=ranges_done
    ) == pytest.approx(share, abs=1e-12)


counts = st.integers(0, 10**12)


@given(counts, counts, st.lists(st.tuples(counts, counts), max_size=5), st.integers(1, 1000), st.integers(0, 1000))
@settings(deadline=None)
def test_the_share_stays_between_0_and_1(
    estimated: int, done: int, in_hand: list[tuple[int, int]], ranges: int, ranges_done: int
) -> None:
    """And it is 1 if and only if every range is done."""
    ranges_done = min(ranges, ranges_done)
    share = share_done(in_hand, estimated_rows=estimated, estimated_done=done, ranges=ranges, ranges_done=ranges_done)
    assert 0 <= share <= 1
    assert (share == 1) == (ranges == ranges_done)


def test_a_constant_rate_is_shown_exactly() -> None:
    """A smoothed rate of a steady stream is that stream's rate, from the first reading on, however readings fall."""
    meter = Meter(100.0, 0, 0.0)
    for now_s in (100.25, 100.5, 103.0, 110.0, 160.0):
        shown = meter.reading(now_s, int((now_s - 100) * 1000), (now_s - 100) / 100, workers=2, retries=0)
        assert shown.rows_per_second == pytest.approx(1000)
        assert shown.eta_s == pytest.approx(200 - now_s)


def test_old_rates_are_forgotten_at_the_set_pace() -> None:
    """After a change the rate approaches the new one: the old one's weight falls to 1/e in SMOOTHING_S."""
    meter = Meter(0.0, 0, 0.0)
    meter.reading(SMOOTHING_S, 5000, 0.1, workers=1, retries=0)
    shown = meter.reading(2 * SMOOTHING_S, 5000, 0.1, workers=1, retries=0)
    kept = math.exp(-1)
    assert shown.rows_per_second == pytest.approx(5000 / SMOOTHING_S * kept / (kept + 1))


def test_an_hour_in_which_nothing_moved_is_forgotten_as_soon() -> None:
    """A long time between two readings weighs no more than what can be remembered."""
    meter = Meter(0.0, 0, 0.0)
    assert meter.reading(3600.0, 0, 0.0, workers=1, retries=0).rows_per_second == 0
    shown = meter.reading(3600.0 + 2 * SMOOTHING_S, 10_000, 0.1, workers=1, retries=0)
    assert shown.rows_per_second == pytest.approx(10_000 / (2 * SMOOTHING_S) * (1 - math.exp(-2)))


def test_a_job_that_goes_on_starts_from_what_is_done() -> None:
    """Rows and share of earlier runs are shown at once and do not count for the rate."""
    meter = Meter(0.0, 1_000_000, 0.5)
    first = meter.reading(0.0, 1_000_000, 0.5, workers=1, retries=0)
    assert (first.rows, first.share, first.rows_per_second, first.eta_s) == (1_000_000, 0.5, 0.0, None)
    second = meter.reading(1.0, 1_000_100, 0.6, workers=1, retries=3)
    assert second.rows_per_second == pytest.approx(100)
    assert second.eta_s == pytest.approx(4)
    assert (second.workers, second.retries) == (1, 3)


def test_without_a_rate_there_is_no_time_left() -> None:
    """Nothing has moved: the time left is unknown, not infinite, and no division fails."""
    meter = Meter(0.0, 0, 0.0)
    assert meter.reading(10.0, 0, 0.0, workers=1, retries=0).eta_s is None


def test_the_end() -> None:
    """All done: share 1 and no time left, even in the first moment."""
    shown = Meter(0.0, 0, 0.0).reading(0.0, 0, 1.0, workers=0, retries=0)
    assert (shown.share, shown.eta_s) == (1.0, 0.0)


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 10**9), st.floats(0, 1)), min_size=2, max_size=20))
@settings(deadline=None)
def test_what_is_shown_never_goes_back(readings: list[tuple[float, int, float]]) -> None:
    """Neither share nor rows fall when ranges are given up and counts disappear; rates are never negative."""
    meter = Meter(0.0, 0, 0.0)
    now_s, rows_before, share_before = 0.0, 0, 0.0
    for passed_s, rows, share in readings:
        now_s += passed_s
        shown = meter.reading(now_s, rows, share, workers=1, retries=0)
        assert shown.rows >= max(rows_before, rows)
        assert 1 >= shown.share >= max(share_before, share)
        assert shown.rows_per_second >= 0
        assert shown.eta_s is None or shown.eta_s >= 0
        rows_before, share_before = shown.rows, shown.share
