"""Credits, returns and blame."""

from __future__ import annotations

import pytest

from shardload.model.counts import Counts
from shardload.model.keys import KeyRange, RangeRecord, integer_range
from shardload.model.limits import CREDITS, MOST_WORKERS
from shardload.model.tasks import HALVES, Ack, Assignment, Outcome, Task
from shardload.ranges.dispatch import MOST_BLAME, Dispatcher


def record(range_id: int, low: int = 0, high: int = 100, attempts: int = 0) -> RangeRecord:
    """A range of the journal."""
    return RangeRecord(range_id, integer_range(low, high), high - low, attempts)


def dispatcher(ranges: int, slots: int) -> Dispatcher:
    """Ranges 1, 2, 3 ... and so many slots."""
    records = [record(number, number * 100, number * 100 + 100) for number in range(1, ranges + 1)]
    return Dispatcher(records, slots, 100)


def take(one: Dispatcher, slot: int) -> Task:
    """The next task for a slot, which there must be."""
    task = one.next_task(slot)
    assert task is not None
    return task


def ack(slot: int, task: Task) -> Ack:
    """The slot's answer."""
    return Ack(slot, task.range_id, task.attempt, Outcome.DONE, Counts(), 0)


def test_two_ranges_a_slot_and_no_more() -> None:
    """One in hand and one waiting, in the order of the keys."""
    one = dispatcher(10, 2)
    assert [take(one, 0).range_id for _ in range(CREDITS)] == [1, 2]
    assert one.next_task(0) is None
    assert [take(one, 1).range_id for _ in range(CREDITS)] == [3, 4]
    assert [task.range_id for task in one.held(0)] == [1, 2]
    assert one.open_ranges == 10


@pytest.mark.parametrize(("most", "sent"), [(0, 0), (1, 1), (2, 2)])
def test_a_slot_gets_all_that_it_may_hold(most: int, sent: int) -> None:
    """One range, while its worker has lost a server, else two; nothing more until one of them is acknowledged."""
    one = dispatcher(10, 2)
    assert len(one.next_tasks(0, most)) == len(one.held(0)) == sent
    assert one.next_tasks(0, most) == []


@pytest.mark.parametrize(("at", "blamed", "begun"), [(1, 1, 1), (2, 2, 2), (0, 1, 2), (77, 1, 2)])
def test_of_what_a_dead_worker_held(at: int, blamed: int, begun: int) -> None:
    """The range that it was at is told from the one before, which Redis had, and the one behind is as if never sent. If
    it is not known, both count as begun, and the first is to blame."""
    one = dispatcher(10, 1)
    sent = one.next_tasks(0)
    lost = one.return_from_dead_worker(0, at)
    assert [(task.range_id, was_in_hand) for task, was_in_hand in reversed(lost)] == [
        (number, number == blamed) for number in range(1, begun + 1)
    ]
    assert one.held(0) == []
    for task, _ in lost:
        one.put_back(task)
    again = one.next_tasks(0)
    assert [task.range_id for task in again] == [task.range_id for task in sent]
    assert [task.attempt for task in again] == [2] * begun + [1] * (len(sent) - begun)


def test_all_slots_together_hold_what_the_queues_have_room_for() -> None:
    """However many slots there are, and whenever they come into use."""
    one = dispatcher(1000, MOST_WORKERS)
    one.slots_in_use = 4
    for slot in range(MOST_WORKERS):
        one.next_tasks(slot)
    one.slots_in_use = MOST_WORKERS
    for slot in range(MOST_WORKERS):
        one.next_tasks(slot)
    assert one.ranges_out == CREDITS * MOST_WORKERS


def test_an_ack_gives_a_credit_back() -> None:
    """The range is no longer out, and the next may be sent."""
    one = dispatcher(10, 2)
    first, second = take(one, 0), take(one, 0)
    assert one.acknowledged(ack(0, first)) == first
    assert one.held(0) == [second]
    assert take(one, 0).range_id == 3
    assert one.open_ranges == 9


@pytest.mark.parametrize("slot", [0, 1])
def test_an_ack_out_of_date_is_none(slot: int) -> None:
    """Of another slot, of another attempt, or said twice: it changes nothing."""
    one = dispatcher(3, 2)
    task = take(one, 0)
    stale = Ack(slot, task.range_id, task.attempt + (slot == 0), Outcome.DONE, Counts(), 0)
    assert one.acknowledged(stale) is None
    assert one.held(0) == [task]
    assert one.acknowledged(ack(0, task)) == task
    assert one.acknowledged(ack(0, task)) is None


def test_at_the_end_no_range_waits_behind_another() -> None:
    """With fewer ranges left than slots, a slot gets none to wait while another could begin it."""
    one = dispatcher(4, 3)
    assert take(one, 0).range_id == 1
    assert take(one, 0).range_id == 2  # three were left, for three slots
    assert one.next_task(0) is None
    assert take(one, 1).range_id == 3
    assert one.next_task(1) is None
    assert take(one, 2).range_id == 4


def test_attempts_count_up_from_the_journals() -> None:
    """Each sending is an attempt with a number of its own; earlier runs' attempts count."""
    one = Dispatcher([record(5, attempts=3)], 1, 100)
    task = take(one, 0)
    assert task.attempt == 4
    one.release(0, task)
    one.put_back(task)
    assert take(one, 0).attempt == 5


def test_a_task_that_was_never_received_is_as_if_never_sent() -> None:
    """It goes back to the front without an attempt."""
    one = dispatcher(5, 1)
    first, second = take(one, 0), take(one, 0)
    one.take_back(0, second)
    assert one.held(0) == [first]
    assert take(one, 0) == second


def test_what_is_put_back_comes_next() -> None:
    """Before everything that was not begun."""
    one = dispatcher(5, 1)
    task = take(one, 0)
    one.release(0, task)
    assert one.held(0) == []
    one.put_back(task)
    assert take(one, 0).range_id == task.range_id


def test_blame_ends_patience_at_the_third_failure() -> None:
    """Twice a range is tried again; the third failure of its own is once too often."""
    one = dispatcher(1, 1)
    verdicts = []
    for _ in range(MOST_BLAME):
        task = take(one, 0)
        one.release(0, task)
        verdicts.append(one.blame(task))
        one.put_back(task)
    assert verdicts == [False, False, True]


def test_halves_come_next_in_order_and_fail_faster() -> None:
    """A worker has to cut the range; the halves take their parent's place, and one failure more halves them again."""
    one = dispatcher(3, 1)
    task = take(one, 0)
    assert task.parts == 0
    one.release(0, task)
    one.halve(task)
    asked = take(one, 0)
    assert (asked.range_id, asked.attempt, asked.parts) == (task.range_id, 2, HALVES)
    one.release(0, asked)
    one.replace(asked, [record(11, 100, 150), record(12, 150, 151)])
    assert one.open_ranges == 4
    first, second = take(one, 0), take(one, 0)
    assert [(half.range_id, half.attempt, half.parts) for half in (first, second)] == [(11, 1, 0), (12, 1, 0)]
    assert one.blame(first)


def test_what_cannot_be_cut_is_loaded_with_all_its_attempts() -> None:
    """To have found that out was no attempt, and took its blame away."""
    one = dispatcher(1, 1)
    task = take(one, 0)
    one.blame(task)
    one.release(0, task)
    one.halve(task)
    asked = take(one, 0)
    assert asked.parts == HALVES
    one.release(0, asked)
    one.note_whole(asked)
    again = take(one, 0)
    assert (again.attempt, again.parts) == (2, 0)
    assert one.is_whole(again)
    assert [one.blame(again) for _ in range(MOST_BLAME)] == [False, False, True]


@pytest.mark.parametrize(("rows", "parts"), [(100, 0), (400, 0), (401, 4), (1000, 10), (10**9, 64)])
def test_a_far_too_large_range_is_cut_first(rows: int, parts: int) -> None:
    """One of up to four times the wanted rows is loaded as it is; the parts of a larger one have no blame."""
    one = Dispatcher([RangeRecord(1, KeyRange(), rows, 0)], 1, 100)
    task = take(one, 0)
    assert task.parts == parts
    one.release(0, task)
    one.replace(task, [record(2), record(3)])
    assert not one.blame(take(one, 0))


def test_an_assignment_is_found_again() -> None:
    """What comes back out of the queue is the slot's task with that range and attempt."""
    one = dispatcher(3, 1)
    first, second = take(one, 0), take(one, 0)
    one.taken_back(0, second.assignment)
    one.taken_back(0, Assignment(99, 1))
    assert one.held(0) == [first]


def test_a_range_that_comes_again_is_forgiven() -> None:
    """A range that is added once more (Redis was restarted) has its own tries anew."""
    one = dispatcher(1, 1)
    task = take(one, 0)
    assert one.acknowledged(ack(0, task)) == task
    one.blame(task)
    one.blame(task)
    one.add([record(task.range_id, attempts=2)])
    again = take(one, 0)
    assert again.attempt == 3
    assert not one.blame(again)


def test_every_range_is_acknowledged_once_whatever_happens() -> None:
    """Workers that die at any point: in the end each range was acknowledged exactly once, and nothing is open."""
    one = dispatcher(50, 3)
    done: list[int] = []
    for turn in range(2000):
        slot = turn % 3
        while one.next_task(slot):
            pass
        if held := one.held(slot):
            if turn % 7 == 0:  # it dies: the waiting one was not received, the one in hand was
                for waiting in held[1:]:
                    one.take_back(slot, waiting)
                one.release(slot, held[0])
                one.put_back(held[0])
            elif one.acknowledged(ack(slot, held[0])):
                done.append(held[0].range_id)
    assert sorted(done) == list(range(1, 51))
    assert one.open_ranges == 0


def test_what_estimates_do_not_cut_may_still_be_halved() -> None:
    """It is loaded as it is, however large; if it fails, it is another question where its middle is."""
    one = Dispatcher([RangeRecord(1, KeyRange(), 10**6, 0)], 1, 100)
    task = take(one, 0)
    assert task.parts == 64
    one.release(0, task)
    one.note_whole(task)
    whole = take(one, 0)
    assert (whole.parts, one.is_whole(whole)) == (0, False)
    one.release(0, whole)
    one.halve(whole)
    assert take(one, 0).parts == HALVES
