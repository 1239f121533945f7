"""The tracker: what becomes of confirmed ranges when the target is no longer the one that confirmed them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from shardload.errors import GaveUp, TargetBusy
from shardload.jobdir.journal import Journal
from shardload.model.counts import Counts
from shardload.model.keys import PlannedRange, integer_range
from shardload.model.limits import CREDITS
from shardload.model.nodes import NO_ID, NodeFacts, epoch_of
from shardload.model.tasks import NOTHING, UNKNOWN_EPOCH, Ack, Outcome, Task
from shardload.ranges.tracker import MOST_PAST_LOOKS, MOST_RETURNS, MOST_STRANGE_LOOKS, Tracker

RANGES = 20


def node(name: str, offset: int = 0, before: str = "", end: int = 0) -> NodeFacts:
    """A server with a history of this name; it came out of the history `before` at the offset `end`."""
    return NodeFacts("h:1", f"run {name}", name, offset, before or NO_ID, end)


NODES = [node(name) for name in "abcd"]
A, B, C, _ = (epoch_of([one]) for one in NODES)


class Told:
    """A tracker, what it said, and how often it had the workers replaced."""

    def __init__(self, journal: Journal, seen: NodeFacts = NODES[0], *, is_known: bool = True) -> None:
        self.said: list[str] = []
        self.renewals = 0
        self.tracker = Tracker(
            journal,
            job="job",
            range_rows=5,
            epoch=epoch_of([seen]) if is_known else UNKNOWN_EPOCH,
            nodes=(seen,),
            say=self.said.append,
            note=lambda text, range_id: None,
            renew=self._renew,
        )

    def _renew(self) -> None:
        self.renewals += 1

    def look(self, *seen: NodeFacts) -> None:
        """Somebody looks at the target."""
        self.tracker.note_target(self.tracker.begin_look(), epoch_of(seen), seen)

    def take(self, slot: int = 0) -> Task:
        """A range is sent to a slot."""
        held = len(self.tracker.held(slot))
        (task,) = self.tracker.next_tasks(slot, held + 1)
        return task

    def done(self, task: Task, epoch: int, slot: int = 0) -> None:
        """It is confirmed by this epoch."""
        ack = Ack(slot, task.range_id, task.attempt, Outcome.DONE, Counts(5, 5), epoch)
        assert self.tracker.acknowledged(ack) == task
        self.tracker.settle(ack, task, NOTHING)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """With some ranges to do."""
    plan = [PlannedRange(integer_range(n * 10, n * 10 + 10), 5) for n in range(RANGES)]
    journal = Journal.create(tmp_path / "journal.sqlite", {}, plan)
    yield journal
    journal.close()


def test_a_new_epoch_takes_back_what_an_old_one_confirmed(journal: Journal) -> None:
    """Ranges of other epochs are to do again, workers are replaced, and a person is told, once."""
    told = Told(journal)
    first = told.take()
    told.done(first, A)
    assert not told.tracker.wants_look
    told.done(told.take(), B)
    assert told.tracker.wants_look
    assert told.tracker.totals.ranges_done == 2
    told.look(NODES[1])
    assert told.tracker.totals.ranges_done == 1
    assert not told.tracker.wants_look
    assert told.renewals == 1
    assert [line for line in told.said if "the keys of 1 confirmed ranges may be gone" in line] == told.said
    told.look(NODES[1])
    assert (told.renewals, len(told.said)) == (1, 1)
    assert first.range_id in {record.range_id for record in journal.todo()}


def test_a_promoted_replica_keeps_what_it_had(journal: Journal) -> None:
    """Ranges that were settled before the last look at an offset that it reached are not loaded again."""
    told = Told(journal)
    done = []
    for offset in (100, 200, 300, 400):
        done.append(told.take())
        told.done(done[-1], A)
        told.look(node("a", offset))
    late = told.take(1)
    told.look(node("b", 250, before="a", end=251))
    assert [record.range_id for record in journal.todo() if record.range_id in {task.range_id for task in done}] == [
        done[2].range_id,
        done[3].range_id,
    ]
    assert told.renewals == 1
    told.done(late, A, 1)  # by a worker that was still connected to the old master
    assert told.tracker.totals.ranges_done == 2
    told.look(node("c", 500, before="b", end=501))  # and again: what the second master had was looked at once
    assert told.tracker.totals.ranges_done == 2


def test_the_same_data_under_another_name(journal: Journal) -> None:
    """A master that gets its first replica has a new history, and lost nothing: its old name and its new one count."""
    told = Told(journal)
    told.done(told.take(), A)
    renamed = NodeFacts("h:1", "run a", "a2", 10, NO_ID)
    told.look(renamed)
    told.done(told.take(), A)
    told.done(told.take(), epoch_of([renamed]))
    assert told.tracker.totals.ranges_done == 3
    assert (told.renewals, told.said) == (1, [])
    assert not told.tracker.wants_look


def test_a_look_that_sees_nothing_new_rewrites_nothing(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is one each second, and there may be many ranges."""
    told = Told(journal)
    told.done(told.take(), A)

    def adopt(*_: object) -> int:
        raise AssertionError("the journal's ranges were gone through")

    monkeypatch.setattr(journal, "adopt_epoch", adopt)
    told.look(node("a", 100))
    told.done(told.take(), B)
    with pytest.raises(AssertionError, match="gone through"):
        told.look(node("a", 200))


def test_a_resumed_job_knows_the_looks_of_before(journal: Journal) -> None:
    """Numbers go on, so that no range seems older than it is."""
    told = Told(journal)
    told.done(told.take(), A)
    told.look(node("a", 100))
    told.look(node("a", 100))  # nothing new
    assert len(journal.checkpoints()) == 2
    again = Told(journal, node("a", 100))
    again.done(again.take(), A)
    again.look(node("a", 200))
    looks = [checkpoint.number for checkpoint in journal.checkpoints()]
    assert looks == sorted(set(looks))


def test_a_node_that_came_and_died_takes_its_keys_with_it(journal: Journal) -> None:
    """Without it the target is as it was before it came, but not what it has."""
    told = Told(journal)
    first = told.take()
    told.done(first, A)
    a, d = replace(NODES[0], slots=((0, 9000),)), replace(NODES[3], slots=((9001, 16383),))
    told.look(a, d)
    told.done(told.take(), epoch_of([a, d]))
    out = told.take(1)
    assert told.tracker.totals.ranges_done == 2
    told.look(NODES[0])  # somebody gave its slots to the other one
    assert told.tracker.totals.ranges_done == 0
    told.done(out, A, 1)  # it may have written to the node that is gone
    assert told.tracker.totals.ranges_done == 0
    told.done(told.take(), A)
    told.look(NODES[0])
    assert told.tracker.totals.ranges_done == 1


def test_older_workers_may_be_late(journal: Journal) -> None:
    """What was out when the epoch changed comes back with the old one's name: it is done again, and nobody gives up."""
    told = Told(journal)
    late = [told.take(slot) for slot in range(1, 2 + MOST_RETURNS)]
    told.look(NODES[1])
    told.look(NODES[2])
    for slot, task in enumerate(late, 1):
        told.done(task, (A, B)[slot % 2], slot)
    assert told.tracker.totals.ranges_done == 0
    assert told.tracker.open_ranges == RANGES


def test_epochs_that_alternate_end_the_job(journal: Journal) -> None:
    """A epoch that is over is met by newer workers: not at once, but soon."""
    told = Told(journal)
    told.tracker.use_slots(1)
    told.look(NODES[1])
    for _ in range(MOST_RETURNS + 2 * CREDITS - 1):
        told.done(told.take(), A)
        told.done(told.take(), B)
    with pytest.raises(GaveUp, match="several servers"):
        told.done(told.take(), A)


def test_servers_that_no_look_sees_end_the_job(journal: Journal) -> None:
    """Workers confirm ranges by a server that is never there when somebody looks: these do not count."""
    told = Told(journal)
    for _ in range(MOST_STRANGE_LOOKS - 1):
        told.done(told.take(), B)
        told.look(NODES[0])
        assert told.tracker.totals.ranges_done == 0
    told.done(told.take(), B)
    with pytest.raises(GaveUp, match="several servers"):
        told.look(NODES[0])


def test_a_past_epoch_may_be_seen_for_a_moment(journal: Journal) -> None:
    """An old master may be named until all know of the new one. That look says nothing; if it lasts, the job ends."""
    told = Told(journal)
    told.look(NODES[1])
    for _ in range(3):
        for _ in range(MOST_PAST_LOOKS - 1):
            with pytest.raises(TargetBusy, match="another one has replaced"):
                told.look(NODES[0])
        told.look(NODES[1])
    assert len(journal.checkpoints()) == 2
    for _ in range(MOST_PAST_LOOKS - 1):
        with suppress(TargetBusy):
            told.look(NODES[0])
    with pytest.raises(GaveUp, match=r"several servers.*lead to one server, then resume"):
        told.look(NODES[0])


def test_what_the_servers_confirmed_that_a_look_sees_counts(journal: Journal) -> None:
    """Whether a worker or the look met them first: a master got its first replica, and has a new history."""
    told = Told(journal)
    renamed = NodeFacts("h:1", "run a", "a2", 10, NO_ID)
    told.done(told.take(), epoch_of([renamed]))
    assert told.tracker.wants_look
    told.look(renamed)
    assert told.tracker.totals.ranges_done == 1
    assert told.said == []
    assert told.renewals == 1  # workers that connected before would meet no servers that a look knows


def test_an_unknown_epoch_is_nobodys_end(journal: Journal) -> None:
    """Before it is known, and where it is not told."""
    told = Told(journal, is_known=False)
    told.done(told.take(), UNKNOWN_EPOCH)
    told.look(NODES[0])
    for epoch in (UNKNOWN_EPOCH, A, UNKNOWN_EPOCH):
        told.done(told.take(), epoch)
    assert told.tracker.totals.ranges_done == 4
