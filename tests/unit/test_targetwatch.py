"""Looks at the target: when it is asked, and what is told of its answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from shardload.coordinator.targetwatch import ANSWER_WITHIN_S, LOOK_EVERY_S, TargetGuard
from shardload.errors import ShardloadError, TargetDenied, TargetFull, TargetLost
from shardload.model.nodes import NodeFacts
from shardload.target import TargetFacts

BEFORE = TargetFacts("redis 7", 4711, evicted_keys=5, keys=20)


def guard_of(found: list[TargetFacts | ShardloadError], *, keys_stay: bool = True) -> TargetGuard:
    """One whose target gives these answers, one after the other. Its children run in this process."""

    def answer(_known: Sequence[NodeFacts]) -> TargetFacts:
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
        assert guard.ask(now_s, at_once=True)
        assert not guard.ask(now_s, at_once=True)
        assert guard.due_s() == now_s + ANSWER_WITHIN_S
        with pytest.raises(kind) as caught:
            guard.answer(now_s)
        assert type(caught.value) is kind
        assert guard.due_s() >= now_s
    assert guard.ask(300.0, at_once=True)
    assert guard.answer(300.0) == BEFORE
    guard.close()


def test_a_child_that_says_nothing_is_given_up() -> None:
    """It is ended, and an answer that comes after that is not taken for the next one."""
    bodies: list[Callable[[], int]] = []
    ended: list[int] = []

    def remember(body: Callable[[], int], _keep: int) -> int:
        bodies.append(body)
        return len(bodies)

    guard = TargetGuard(lambda _known: BEFORE, BEFORE, keys_stay=True, fork=remember, end=ended.append)
    assert guard.ask(0.0, at_once=True)
    assert guard.answer(ANSWER_WITHIN_S - 0.1) is None
    with pytest.raises(TargetLost, match="did not answer within"):
        guard.answer(ANSWER_WITHIN_S)
    assert ended == [1]
    bodies[0]()
    assert guard.ask(100.0, at_once=True)
    assert guard.answer(100.0) is None  # the late answer is another question's
    guard.close()
    assert ended == [1, 2]


def test_another_error_is_raised_as_it_was() -> None:
    """It ends the job, with its own message and hint."""
    guard = guard_of([TargetDenied("no", "ask")])
    assert guard.ask(0.0, at_once=True)
    with pytest.raises(TargetDenied) as caught:
        guard.answer(0.0)
    assert (caught.value.message, caught.value.hint) == ("no", "ask")
    guard.close()


def test_a_target_with_replicas_is_looked_at_again_and_again() -> None:
    """Not more often than once in LOOK_EVERY_S, unless somebody wants it at once; and it is told the nodes before."""
    nodes = (NodeFacts("h:1", "run", "history", 7, slots=((0, 5), (7, 9))),)
    watched = dataclasses.replace(BEFORE, replicas=1, nodes=nodes)
    asked = []

    def answer(known: Sequence[NodeFacts]) -> TargetFacts:
        asked.append(known)
        return watched

    def run_at_once(body: Callable[[], int], _keep: int) -> int:
        return body() + 1

    guard = TargetGuard(answer, BEFORE, keys_stay=True, fork=run_at_once, end=lambda pid: None)
    assert not guard.is_watching
    assert guard.ask(10.0, at_once=False)
    assert guard.is_asking
    assert guard.answer(10.0) == watched
    assert guard.is_watching
    assert not guard.ask(10.0 + LOOK_EVERY_S / 2, at_once=False)
    assert guard.due_s() == 10.0 + LOOK_EVERY_S
    assert guard.ask(10.0 + LOOK_EVERY_S / 2, at_once=True)
    assert guard.answer(11.0) == watched
    assert asked == [(), nodes]
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
