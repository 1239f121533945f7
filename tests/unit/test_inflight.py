"""Batches in flight: which are waited for, which are confirmed, and whose range fails."""

from __future__ import annotations

import pytest

from shardload.model.counts import Counts
from shardload.model.keys import integer_range
from shardload.model.tasks import Task
from shardload.worker.inflight import MOST_BYTES, SLOW_S, Inflight, Sent


def sent(number: int, size_bytes: int = 1000, replies: int = 10, sent_s: float = 0.0, *, ended: bool = True) -> Sent:
    """A batch of the range with this number."""
    return on_nodes(number, {0: replies}, size_bytes, sent_s, ended=ended)


def on_nodes(
    number: int, replies: dict[int, int], size_bytes: int = 1000, sent_s: float = 0.0, *, ended: bool = True
) -> Sent:
    """A batch of the range with this number, for several nodes."""
    return Sent(Task(number, 1, integer_range(number, number + 1)), Counts(), ended, replies, size_bytes, sent_s, 1)


def inflight(*batches: Sent) -> Inflight:
    """These, oldest first."""
    one = Inflight()
    for batch in batches:
        one.add(batch)
    return one


@pytest.mark.parametrize(
    ("sizes", "due"),
    [
        ([1000], 0),
        ([1000] * 9, 0),
        ([MOST_BYTES], 0),
        ([3 * MOST_BYTES], 0),  # the newest: Redis has nothing else to do
        ([MOST_BYTES, 1], 1),
        ([1, MOST_BYTES], 1),
        ([MOST_BYTES // 4] * 4, 0),
        ([MOST_BYTES // 4] * 5, 3),  # half of the most is left
        ([MOST_BYTES // 4] * 5 + [3 * MOST_BYTES], 5),
    ],
)
def test_much_is_waited_for(sizes: list[int], due: int) -> None:
    """Down to half, never for the newest."""
    assert inflight(*[sent(number, size) for number, size in enumerate(sizes)]).due(0.0) == due


def test_slow_batches_are_waited_for() -> None:
    """Those that were sent too long ago, and no newer ones."""
    one = inflight(*[sent(number, sent_s=number * SLOW_S / 4) for number in range(8)])
    assert one.due(SLOW_S * 0.99) == 0
    assert one.due(SLOW_S) == 1
    assert one.due(SLOW_S * 1.5) == 3
    assert one.due(SLOW_S * 100) == 7


def test_landing() -> None:
    """The oldest go; what is behind them is counted."""
    one = inflight(sent(1, replies=3), sent(2, replies=0), sent(3, replies=5))
    assert [one.replies_behind(count) for count in range(4)] == [{0: 8}, {0: 5}, {0: 5}, {}]
    assert [batch.task.range_id for batch in one.take(2)] == [1, 2]
    assert (len(one), one.replies_behind(0)) == (1, {0: 5})
    assert one.take(1)[0].task.range_id == 3
    assert not one


@pytest.mark.parametrize(
    ("unconfirmed", "landed"), [(9, []), (8, []), (6, []), (5, [1, 2]), (1, [1, 2]), (0, [1, 2, 3])]
)
def test_what_is_confirmed(unconfirmed: int, landed: list[int]) -> None:
    """Whole batches only; one without a key is confirmed with the one before."""
    one = inflight(sent(1, replies=3), sent(2, replies=0), sent(3, replies=5))
    assert [batch.task.range_id for batch in one.take_confirmed({0: unconfirmed})] == landed
    assert len(one) == 3 - len(landed)


@pytest.mark.parametrize(
    ("unconfirmed", "landed", "blamed"),
    [
        ({0: 4, 1: 3}, [], {0: 1, 1: 1}),
        ({0: 3, 1: 3}, [], {0: 2, 1: 1}),  # node 0 has confirmed its part of the first
        ({0: 0, 1: 3}, [], {0: 1, 1: 1}),
        ({0: 3, 1: 2}, [1], {0: 2, 1: 3}),
        ({0: 3, 1: 0}, [1], {0: 2, 1: 2}),
        ({0: 0, 1: 2}, [1, 2], {0: 3, 1: 3}),
        ({}, [1, 2, 3], {}),
    ],
)
def test_what_is_confirmed_by_several_nodes(
    unconfirmed: dict[int, int], landed: list[int], blamed: dict[int, int]
) -> None:
    """A batch counts when every node has confirmed its part; a node's error is about its own first open part."""
    batches = [on_nodes(1, {0: 1, 1: 1}), on_nodes(2, {0: 3}), on_nodes(3, {1: 2})]
    one = inflight(*batches)
    assert one.replies_behind(1) == {0: 3, 1: 2}
    assert [batch.task.range_id for batch in one.take_confirmed(unconfirmed)] == landed
    for node, number in blamed.items():
        task = one.first_unconfirmed(unconfirmed, node)
        assert task is not None
        assert task.range_id == number
    if len(landed) == 3:
        assert one.first_unconfirmed(unconfirmed, 0) is None


def test_ranges_that_are_given_up() -> None:
    """Each once, the oldest first, and nothing is left to weigh upon what comes."""
    one = inflight(sent(1, MOST_BYTES, ended=False), sent(1, MOST_BYTES), sent(2, MOST_BYTES))
    assert [task.range_id for task in one.give_up()] == [1, 2]
    assert not one
    one.add(sent(3, 1))
    one.add(sent(4, 1))
    assert one.due(0.0) == 0
