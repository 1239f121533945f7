"""The tracker: what becomes of confirmed ranges when the target is no longer the one that confirmed them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shardload.errors import GaveUp
from shardload.jobdir.journal import Journal
from shardload.model.counts import Counts
from shardload.model.keys import KeyRange, PlannedRange
from shardload.model.tasks import UNKNOWN_EPOCH, Ack, Outcome, Task
from shardload.ranges.tracker import MOST_RETURNS, Tracker

A, B, C = 1, 2, 3
RANGES = 20


class Told:
    """A tracker, what it said, and how often it had the workers replaced."""

    def __init__(self, journal: Journal, epoch: int) -> None:
        self.said: list[str] = []
        self.renewals = 0
        self.tracker = Tracker(
            journal,
            job="job",
            key_name="id",
            epoch=epoch,
            say=self.said.append,
            note=lambda text, range_id: None,
            renew=self._renew,
        )

    def _renew(self) -> None:
        self.renewals += 1

    def take(self, slot: int = 0) -> Task:
        """A range is sent to a slot."""
        held = len(self.tracker.held(slot))
        (task,) = self.tracker.next_tasks(slot, held + 1)
        return task

    def done(self, task: Task, epoch: int, slot: int = 0) -> None:
        """It is confirmed by this epoch."""
        ack = Ack(slot, task.range_id, task.attempt, Outcome.DONE, Counts(5, 5), epoch)
        assert self.tracker.acknowledged(ack) == task
        self.tracker.settle(ack, task, [])


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """With some ranges to do."""
    plan = [PlannedRange(KeyRange(n * 10, n * 10 + 10), 5) for n in range(RANGES)]
    journal = Journal.create(tmp_path / "journal.sqlite", {}, plan)
    yield journal
    journal.close()


def test_a_new_epoch_takes_back_what_an_old_one_confirmed(journal: Journal) -> None:
    """Ranges of other epochs are to do again, workers are replaced, and a person is told, once."""
    told = Told(journal, A)
    first = told.take()
    told.done(first, A)
    told.done(told.take(), B)
    assert told.tracker.totals.ranges_done == 1
    assert told.renewals == 1
    assert [line for line in told.said if "Redis was restarted, or was a replica" in line] == told.said
    told.tracker.note_epoch(B)
    assert (told.renewals, len(told.said)) == (1, 1)
    assert first.range_id in {record.range_id for record in journal.todo()}


def test_older_workers_may_be_late(journal: Journal) -> None:
    """What was out when the epoch changed comes back with the old one's name: it is done again, and nobody gives up."""
    told = Told(journal, A)
    late = [told.take(slot) for slot in range(1, 2 + MOST_RETURNS)]
    told.tracker.note_epoch(B)
    told.tracker.note_epoch(C)
    for slot, task in enumerate(late, 1):
        told.done(task, (A, B)[slot % 2], slot)
    assert told.tracker.totals.ranges_done == 0
    assert told.tracker.open_ranges == RANGES


def test_epochs_that_alternate_end_the_job(journal: Journal) -> None:
    """A epoch that is over is met by newer workers: not at once, but soon."""
    told = Told(journal, A)
    told.done(told.take(), B)
    for _ in range(MOST_RETURNS - 1):
        told.done(told.take(), A)
        told.done(told.take(), B)
    with pytest.raises(GaveUp, match="several servers"):
        told.done(told.take(), A)


def test_a_past_epoch_cannot_be_the_present_one(journal: Journal) -> None:
    """The last question is answered by another server than the one that confirmed everything."""
    told = Told(journal, A)
    told.tracker.note_epoch(B)
    with pytest.raises(GaveUp, match=r"several servers.*lead to one server, then resume"):
        told.tracker.note_epoch(A)


def test_an_unknown_epoch_is_nobodys_end(journal: Journal) -> None:
    """Before it is known, and where it is not told."""
    told = Told(journal, UNKNOWN_EPOCH)
    told.done(told.take(), UNKNOWN_EPOCH)
    told.tracker.note_epoch(A)
    for epoch in (UNKNOWN_EPOCH, A, UNKNOWN_EPOCH):
        told.done(told.take(), epoch)
    assert told.tracker.totals.ranges_done == 4
