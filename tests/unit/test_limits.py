"""The token bucket: exact waits, and the rate held over any sequence of batches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardload.model.limits import BURST_S, DEFAULT_RANGE_ROWS, range_rows_under, take_from_bucket


@pytest.mark.parametrize(
    ("rate", "tokens", "passed_s", "rows", "left", "wait_s"),
    [
        (100.0, 0.0, 0.0, 0, 0.0, 0.0),
        (100.0, 0.0, 0.0, 50, -50.0, 0.5),
        (100.0, 10.0, 0.0, 10, 0.0, 0.0),
        (100.0, -50.0, 0.5, 0, 0.0, 0.0),
        (100.0, -50.0, 0.25, 100, -125.0, 1.25),  # a debt is waited for together with what is taken on top
        (100.0, 0.0, 3600.0, 25, 0.0, 0.0),  # an idle hour fills the bucket, and no more than that
        (100.0, 0.0, 3600.0, 26, -1.0, 0.01),
        (100.0, 0.0, -5.0, 1, -1.0, 0.01),  # a clock that went back gives nothing
    ],
)
def test_taking(rate: float, tokens: float, passed_s: float, rows: int, left: float, wait_s: float) -> None:
    """The tokens that are left, and how long to wait."""
    found = take_from_bucket(rate, tokens, passed_s, rows)
    assert list(found) == pytest.approx([left, wait_s])


@given(
    st.floats(1, 1e6),
    st.lists(st.tuples(st.integers(0, 5000), st.floats(0, 2)), min_size=1, max_size=50),
)
def test_the_rate_holds(rate: float, takings: list[tuple[int, float]]) -> None:
    """Callers that wait as told never send more than the rate allows plus one burst."""
    now_s = filled_s = tokens = sent = 0.0
    for rows, pause_s in takings:
        now_s += pause_s
        tokens, wait_s = take_from_bucket(rate, tokens, now_s - filled_s, rows)
        filled_s = now_s
        sent += rows
        now_s += wait_s
        assert sent <= rate * (now_s + BURST_S) * (1 + 1e-9) + 1e-6


@pytest.mark.parametrize(
    ("rate_rows", "workers", "range_rows"),
    [(1000, 4, 10_000), (1000, 1, 40_000), (100, 8, 500), (1, 64, 100), (10**6, 4, DEFAULT_RANGE_ROWS)],
)
def test_ranges_are_small_enough_under_a_rate(rate_rows: int, workers: int, range_rows: int) -> None:
    """A stop loses half a range for each worker: 20 s of work together."""
    assert range_rows_under(rate_rows, workers) == range_rows
