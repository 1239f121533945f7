"""What is wrong with a key, from what Redis says of it and what its row says: tables of cases."""

from __future__ import annotations

from typing import Any

import pytest

from shardload.encoding.questions import Answer
from shardload.model.differences import Fault
from shardload.target import Ages
from shardload.worker.judge import FOREVER, GONE, Judge, Verdict

NOW_MS = 1_000_000


def verdict(wanted: Answer, value: Any, expiry: Any = FOREVER, *, most_ms: int | None = 5000, **judge: Any) -> Verdict:
    """The verdict on a key that one row wants."""
    ages = Ages() if most_ms is None else Ages(most_ms)
    return Judge(ages, NOW_MS, **judge).verdict([wanted], value, expiry)


@pytest.mark.parametrize(
    ("wanted", "most_ms", "is_expired"),
    [
        (Answer(b"x"), 5000, False),
        (Answer(b"x", left_of_ms=4000), 5000, True),
        (Answer(b"x", left_of_ms=6000), 5000, False),
        (Answer(b"x", left_of_ms=4000), None, False),  # nobody knows when keys were written
        (Answer(b"x", expires_at_ms=NOW_MS - 1), None, True),
        (Answer(b"x", expires_at_ms=NOW_MS + 1), 5000, False),
    ],
)
@pytest.mark.parametrize("value", [None, []])
def test_a_key_that_is_gone(wanted: Answer, most_ms: int | None, value: Any, *, is_expired: bool) -> None:
    """It has expired only if its time is known to have passed, perhaps."""
    found = verdict(wanted, value, GONE, most_ms=most_ms)
    assert (found.is_expired, found.fault) == (is_expired, None if is_expired else Fault.MISSING)
