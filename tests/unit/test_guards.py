"""The last question to the target: when it is asked again, and what is told of its answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from shardload.coordinator.guards import ANSWER_WITHIN_S, TargetGuard
from shardload.errors import ShardloadError, TargetDenied, TargetFull, TargetLost
from shardload.target import TargetFacts

BEFORE = TargetFacts("redis 7", 4711, evicted_keys=5, keys=20)


def guard_of(found: list[TargetFacts | ShardloadError], *, keys_stay: bool = True) -> TargetGuard:
    """One whose target gives these answers, one after the other. Its children run in this process."""

    def answer() -> TargetFacts:
        first = found.pop(0)
        if isinstance(first, ShardloadError):
            raise first
        return first

    def run_at_once(body: Callable[[], int], _keep: int) -> int:
        assert body() == 0
        return 1

    return TargetGuard(answer, BEFORE, keys_stay=keys_stay, fork=run_at_once, end=lambda pid: None)


def test_it_is_asked_again_after_a_pause() -> None:
    """As long as the target does not answer, not at once; and the answer is handed on."""
    guard = guard_of([TargetLost("gone"), TargetFull("full", "wait"), BEFORE])
    assert guard.due_s() == 0
    for now_s, kind in ((100.0, TargetLost), (200.0, TargetFull)):
        assert guard.answer(now_s) is None
        assert guard.due_s() == now_s + ANSWER_WITHIN_S
        with pytest.raises(kind) as caught:
            guard.answer(now_s)
        assert type(caught.value) is kind
        assert guard.due_s() >= now_s
    assert guard.answer(300.0) is None
    assert guard.answer(300.0) == BEFORE
    guard.close()


def test_a_child_that_says_nothing_is_given_up() -> None:
    """It is ended, and an answer that comes after that is not taken for the next one."""
    bodies: list[Callable[[], int]] = []
    ended: list[int] = []

    def remember(body: Callable[[], int], _keep: int) -> int:
        bodies.append(body)
        return len(bodies)

    guard = TargetGuard(lambda: BEFORE, BEFORE, keys_stay=True, fork=remember, end=ended.append)
    assert guard.answer(0.0) is None
    assert guard.answer(ANSWER_WITHIN_S - 0.1) is None
    with pytest.raises(TargetLost, match="did not answer within"):
        guard.answer(ANSWER_WITHIN_S)
    assert ended == [1]
    bodies[0]()
    assert guard.answer(100.0) is None  # it asks again
    assert guard.answer(100.0) is None  # the late answer is another question's
    guard.close()
    assert ended == [1, 2]


def test_another_error_is_raised_as_it_was() -> None:
    """It ends the job, with its own message and hint."""
    guard = guard_of([TargetDenied("no", "ask")])
    assert guard.answer(0.0) is None
    with pytest.raises(TargetDenied) as caught:
        guard.answer(0.0)
    assert (caught.value.message, caught.value.hint) == ("no", "ask")
    guard.close()


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
    guard = guard_of([], keys_stay=keys_stay)
    said = list(guard.doubts(found, 10))
    guard.close()
    assert len(said) == len(told)
    for line, beginning in zip(said, told, strict=True):
        assert line.startswith(beginning)
