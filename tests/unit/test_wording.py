"""Durations and jobs' names in words."""

from __future__ import annotations

import pytest

from shardload.model.wording import a_few_jobs, duration


@pytest.mark.parametrize(
    ("seconds", "exactly", "roughly"),
    [
        (0.0, "0.0 s", "0 s"),
        (5.34, "5.3 s", "5 s"),
        (59.6, "59.6 s", "1 min 00 s"),
        (75.0, "1 min 15 s", "1 min 15 s"),
        (3725.0, "1 h 02 min", "1 h 02 min"),
        (86399.9, "23 h 59 min", "1 day 0 h"),
        (34_586_438.0, "more than a year", "more than a year"),
        (9606 * 3600.0, "more than a year", "more than a year"),
        (4 * 86400 + 3 * 3600.0, "4 days 3 h", "4 days 3 h"),
        (1e300, "more than a year", "more than a year"),
    ],
)
def test_durations(seconds: float, exactly: str, roughly: str) -> None:
    """Two units at most; estimates have no tenths."""
    assert (duration(seconds), duration(seconds, roughly=True)) == (exactly, roughly)


def test_a_few_names() -> None:
    """A few names are all shown; of many, the similar ones and the number of the others."""
    many = [f"job-{number:04}" for number in range(2000)] + ["users"]
    assert a_few_jobs(["a", "b"], "c") == "a, b"
    assert a_few_jobs(many, "usres").startswith("users, job-0000, ")
    assert a_few_jobs(many, "usres").endswith(" and 1,996 more (run: shardload jobs)")
    assert a_few_jobs(many).startswith("job-0000, job-0001, ")
