"""What a machine of a fleet lets a head do, how large blocks are, and what a block's journal tells. Without Dask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from shardload.config.fleet import FleetSpec
from shardload.fleet import machine as machines
from shardload.fleet.blockjob import make_block_job
from shardload.fleet.machine import Machine
from shardload.jobdir.journal import Journal
from shardload.jobdir.lease import Lease, lease_clock_s
from shardload.jobdir.settled import BlockJournal
from shardload.model.blocks import BlockOrder, Word
from shardload.model.counts import Counts, SetAside
from shardload.model.keys import PlannedRange, RangeRecord, integer_range
from shardload.model.tasks import Ack, Outcome, Report
from shardload.ranges.dispatch import Dispatcher

LEASE_S = 8.0
RANGES = [PlannedRange(integer_range(at, at + 10), 10) for at in (0, 10, 20)]


class Clock:
    """The machine's clock, as a test sets it."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """In the place of the machine's own."""
    made = Clock()
    monkeypatch.setattr(machines, "lease_clock_s", made)
    return made


def word(claim: int, anchor_s: float | None = None, **more: Any) -> Word:
    """From the head of a job named like the claim."""
    return Word(claim, f"job{claim}", anchor_s, LEASE_S, **more)


def order(claim: int) -> BlockOrder:
    """A block of this claim."""
    spec = {"mysql": "mysql://u@h:1/d", "redis": "redis://h:2/0", "passwords": {"mysql": False, "redis": False}}
    return BlockOrder(claim, 1, f"job{claim}", spec, {"identity": {}, "table": {}}, tuple(RANGES))


def test_a_machine_serves_one_head(tmp_path: Path, clock: Clock) -> None:
    """Another one is told for whom it works, until the claim is released, or its lease has run out."""
    machine = Machine(2, tmp_path)
    first = machine.talk(word(1))
    assert (first.is_granted, first.workers, first.now_s) == (True, 2, 1000.0)
    machine.talk(word(1, first.now_s))
    other = machine.talk(word(2))
    assert (other.is_granted, other.holder) == (False, "job1")
    clock.now_s += LEASE_S + 0.1
    assert machine.talk(word(2)).is_granted
    assert not machine.talk(word(1, 1008.0)).is_granted
    machine.talk(word(2, releases=True))
    assert machine.talk(word(3)).is_granted


def test_a_claim_that_was_never_renewed(tmp_path: Path, clock: Clock) -> None:
    """It is kept for a moment: its head is about to renew it."""
    machine = Machine(1, tmp_path)
    machine.talk(word(1))
    clock.now_s += 1.0
    assert not machine.talk(word(2)).is_granted
    clock.now_s += 5.0
    assert machine.talk(word(2)).is_granted


@pytest.mark.parametrize(("passed_s", "begins"), [(LEASE_S - 0.1, True), (LEASE_S + 0.1, False)])
def test_a_word_that_comes_late_renews_nothing(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, passed_s: float, begins: bool
) -> None:
    """The lease counts from the machine's own last answer. Without one, no block begins."""
    begun: list[str] = []

    def note(block: BlockOrder, *_: object) -> None:
        begun.append(block.name)
        raise OSError("far enough")

    monkeypatch.setattr(machines, "make_block_job", note)
    machine = Machine(1, tmp_path)
    answer = machine.talk(word(1))
    assert machine.run(order(1)).was_stale
    clock.now_s += passed_s  # the next word is under way for so long
    machine.talk(word(1, answer.now_s))
    end = machine.run(order(1))
    assert (end.was_stale, bool(begun)) == (not begins, begins)
    assert machine.run(order(2)).was_stale


def test_a_lease(tmp_path: Path) -> None:
    """Everybody who has opened it sees a renewal; without a file nobody is limited."""
    assert Lease.of(tmp_path).holds
    assert not Lease.of(tmp_path).is_limited
    one = Lease.create(tmp_path)
    other = Lease.of(tmp_path)
    assert not one.holds
    one.renew(lease_clock_s() + 60)
    assert one.holds
    assert other.holds
    other.renew(lease_clock_s() - 1)
    assert not one.holds


def test_a_block_is_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the head's ranges and the machine's workers; and with a password of the machine's own, if one is needed."""
    monkeypatch.setenv("SHARDLOAD_MYSQL_URL", "mysql://u:secret@elsewhere/x")
    made = order(7)
    made.spec["passwords"]["mysql"] = True
    block = make_block_job(made, tmp_path, 3, 500)
    stored = block.directory.read_spec()
    assert (stored["workers"], stored["rate"], stored["job"]) == (3, 500, made.name)
    assert block.environment["SHARDLOAD_MYSQL_URL"] == "mysql://u:secret@h:1/d"
    assert "SHARDLOAD_REDIS_URL" not in block.environment
    assert [record.keys for record in Journal(block.directory.journal_file).todo()] == [one.keys for one in RANGES]
    assert "secret" not in repr(made) + str(stored)
    block.remove()
    assert not list(tmp_path.iterdir())


def test_what_a_block_has_settled(tmp_path: Path) -> None:
    """A range that was cut is settled when its parts are, with the sum of their counts and what they tell."""
    journal = Journal.create(tmp_path / "journal.sqlite", {}, RANGES)
    reading = BlockJournal(journal.path)
    assert reading.settled() == ()
    parts = journal.replace(2, [PlannedRange(integer_range(10, 15), 5), PlannedRange(integer_range(15, 20), 5)])
    journal.finish(1, Counts(rows_read=10, keys_written=10), 5, 1)
    journal.finish(parts[0].range_id, Counts(rows_read=5, keys_written=5), 5, 1)
    journal.commit()
    assert [one.place for one in reading.settled()] == [0]
    bad = SetAside("user 15", "refused")
    journal.finish(parts[1].range_id, Counts(rows_read=5, keys_written=4, rows_failed=1), 5, 1, Report(told=[bad]))
    journal.commit()
    first, second = reading.settled()
    assert (first.counts, first.epoch) == (Counts(rows_read=10, keys_written=10), 5)
    assert (second.place, second.told) == (1, (bad,))
    assert second.counts == Counts(rows_read=10, keys_written=9, rows_failed=1)
    journal.close()


def test_blocks_shrink() -> None:
    """A machine holds at most its credits; near the end it gets less, so that none waits long for another."""
    records = [RangeRecord(number, integer_range(number, number + 1), 1, 0) for number in range(1, 101)]
    dispatcher = Dispatcher(records, 2, 100, 32)
    assert [len(dispatcher.next_tasks(slot, 32)) for slot in (0, 1)] == [27, 20]
    sizes = []
    while dispatcher.open_ranges:
        for slot in (0, 1):
            held = dispatcher.held(slot)
            sizes.append(len(held))
            for task in held:
                ack = Ack(slot, task.range_id, task.attempt, Outcome.DONE, Counts(), 0)
                assert dispatcher.acknowledged(ack) == task
            dispatcher.next_tasks(slot, 32)
    assert sum(sizes) == 100
    assert max(sizes[-3:]) <= 6


@pytest.mark.parametrize(
    "wrong", ["scheduler:8786", "http://s:8786", "tcp://s", "tcp://s:0", "tcp://s:99999", "tls://"]
)
def test_a_wrong_scheduler(wrong: str) -> None:
    """It is named, with an example."""
    with pytest.raises(ValidationError, match="tcp://scheduler:8786"):
        FleetSpec(fleet=wrong)


def test_what_a_fleet_may_be_told() -> None:
    """Passwords only where nobody else can read them."""
    assert FleetSpec(fleet="tls://s:1").is_private
    assert not FleetSpec(fleet="tcp://[::1]:8786/").is_private
    assert FleetSpec(fleet="off").fleet is None
