"""The last question to the target: when it is asked again, and what is told of its answer."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from shardload.coordinator.guards import Confirmation
from shardload.errors import TargetLost
from shardload.target import TargetFacts

BEFORE = TargetFacts("redis 7", 4711, evicted_keys=5, keys=20)


def confirmation(found: list[TargetFacts | TargetLost], *, keys_stay: bool = True) -> Confirmation:
    """One whose target gives these answers, one after the other."""

    def answer() -> TargetFacts:
        first = found.pop(0)
        if isinstance(first, TargetLost):
            raise first
        return first

    return Confirmation(answer, BEFORE, keys_stay=keys_stay)


def test_it_is_asked_again_after_a_pause() -> None:
    """As long as nobody answers, not at once; and the answer is handed on."""
    asked = confirmation([TargetLost("gone"), TargetLost("gone"), BEFORE])
    assert asked.not_before_s == 0
    for now_s in (100.0, 200.0):
        with pytest.raises(TargetLost):
            asked.ask(lambda: now_s)  # noqa: B023  # asked at once
        assert asked.not_before_s >= now_s
    assert asked.ask(lambda: 300.0) is BEFORE


@pytest.mark.parametrize(
    ("changed", "keys_stay", "told"),
    [
        ({}, True, []),
        ({"keys": 10}, True, []),
        ({"keys": 9}, True, ["Redis has 9 keys, and 10 were confirmed: others were removed"]),
        ({"keys": 9}, False, []),  # some may have expired, or rows share a key
        ({"keys": None}, True, []),  # it may not be asked
        ({"evicted_keys": 1005}, True, ["Redis evicted 1,000 keys meanwhile"]),
        ({"evicted_keys": 0}, True, []),  # a new epoch counts anew
        ({"evicted_keys": 6, "keys": 0}, True, ["Redis evicted 1 keys", "Redis has 0 keys"]),
    ],
)
def test_doubts(changed: dict[str, Any], keys_stay: bool, told: list[str]) -> None:
    """Of ten keys that were written; the target had some others before."""
    found = dataclasses.replace(BEFORE, **changed)
    said = list(confirmation([], keys_stay=keys_stay).doubts(found, 10))
    assert len(said) == len(told)
    for line, beginning in zip(said, told, strict=True):
        assert line.startswith(beginning)
