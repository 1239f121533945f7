"""Delays and giving up, in exact numbers."""

from __future__ import annotations

import pytest

from shardload.model.backoff import delay_s, should_give_up


@pytest.mark.parametrize(
    ("failures", "ceiling_s"),
    [(1, 0.1), (2, 0.2), (3, 0.4), (4, 0.8), (5, 1.6), (6, 3.2), (7, 6.4), (8, 10.0), (33, 10.0), (100_000, 10.0)],
)
@pytest.mark.parametrize("random_number", [0.0, 0.25, 0.5, 0.999])
def test_delays_double_up_to_ten_seconds(failures: int, ceiling_s: float, random_number: float) -> None:
    """Full jitter: the random number's share of a ceiling that doubles from 0.1 s and ends at 10 s."""
    assert delay_s(failures, random_number) == random_number * ceiling_s


@pytest.mark.parametrize("failures", [0, -1])
def test_no_failure_no_delay(failures: int) -> None:
    """A delay after no failure is a programming error."""
    with pytest.raises(ValueError, match=f"a delay after {failures} failures"):
        delay_s(failures, 0.5)


@pytest.mark.parametrize(
    ("now_s", "last_success_s", "give_up_after_s", "hopeless"),
    [(100.0, 70.0, 30.0, True), (99.999, 70.0, 30.0, False), (70.0, 70.0, 0.0, True), (70.0, 70.0, 0.001, False)],
)
def test_hope_ends_when_the_time_is_over(
    now_s: float, last_success_s: float, give_up_after_s: float, hopeless: bool
) -> None:
    """The job gives up exactly when nothing has succeeded for the allowed time; at once if that is zero."""
    assert should_give_up(now_s, last_success_s, give_up_after_s) is hopeless
