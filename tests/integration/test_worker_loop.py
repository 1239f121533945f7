"""A worker's loop, with the real kernel's IPC and a kind of work that only says how each range ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from shardload.errors import (
    IpcError,
    MalformedPacket,
    SourceBusy,
    SourceDoubtful,
    SourceError,
    SourceLost,
    TargetDenied,
    TargetError,
    TargetFull,
)
from shardload.ipc import BoardHeader, IpcSet, create
from shardload.jobdir.directory import JobDirectory
from shardload.jobdir.journal import Journal
from shardload.model.counts import Counts
from shardload.model.keys import PlannedRange, integer_range
from shardload.model.tasks import HALVES, Ack, Assignment, Outcome, Task
from shardload.process import fork_child
from shardload.worker.loop import Worker
from shardload.worker.outcome import Interrupted, Unconfirmed
from shardload.worker.reader import Cut
from shardload.worker.session import Session
from tests.harness import wait_until

EPOCH = 4711


class Scripted:
    """A kind of work. What is in `ends` for a range is raised, or acknowledges it at once, or leaves it in flight."""

    def __init__(self, session: Session, ends: dict[int, Any], *, is_connected: bool = True) -> None:
        self._session = session
        self._ends = ends
        self._waiting: list[Task] = []
        self.is_connected = is_connected
        self.epoch = EPOCH

    @property
    def in_flight(self) -> bool:
        """True if a range was sent that is not confirmed."""
        return bool(self._waiting)

    def do(self, task: Task) -> None:
        """As the script says; `"late"` leaves the range in flight."""
        end = self._ends[task.range_id]
        if end == "late":
            self._waiting.append(task)
        elif isinstance(end, Exception):
            raise end
        elif end is not None:  # an error that hits what is in flight
            error, blames_all = end
            raise Unconfirmed([*self._give_up(), task], error, blames_all=blames_all)
        else:
            self._session.acknowledge(task, Outcome.DONE, EPOCH)

    def finish(self) -> None:
        """Confirm what is in flight, or fail, if the script has an end for it."""
        if (end := self._ends.get(0)) and (waiting := self._give_up()):
            raise Unconfirmed(waiting, end)
        for task in self._give_up():
            self._session.acknowledge(task, Outcome.DONE, EPOCH)

    def cut(self, task: Task) -> Cut:
        """As the script says: an error, or what it gives."""
        end = self._ends[task.range_id]
        if isinstance(end, Exception):
            raise end
        assert isinstance(end, Cut)
        return end

    def close(self) -> None:
        """Give up what is in flight."""
        self._give_up()

    def _give_up(self) -> list[Task]:
        waiting, self._waiting = self._waiting, []
        return waiting


@pytest.fixture
def ipc(tmp_path: Path) -> Iterator[IpcSet]:
    """Queues and a board for one worker."""
    (tmp_path / "key").touch()
    ipc = create(tmp_path / "key", BoardHeader(1, 7, os.getpid(), 0))
    yield ipc
    ipc.remove()
    ipc.board.detach()


def acks_of(
    ipc: IpcSet, directory: JobDirectory, ends: dict[int, Any], parts: int = 0, *, is_connected: bool = True
) -> list[Ack]:
    """What a worker says of ranges 1, 2, 3 ... that end so. It leaves when it was told to."""
    ranges = [number for number in ends if number]
    bell, doorbell = os.pipe()
    settings: Any = SimpleNamespace(directory=directory, plan={})
    plan = [PlannedRange(integer_range(number, number + 1), 10) for number in range(10)]
    Journal.create(directory.journal_file, {}, plan).close()
    for number in ranges:
        ipc.tasks.send(0, Assignment(number, 1, parts))
    ipc.tasks.send_stop(0)

    def body() -> int:
        session = Session(0, ipc.board, ipc.acks, doorbell)
        return Worker(settings, ipc.tasks, session, Scripted(session, ends, is_connected=is_connected)).run()

    pid = fork_child(body, [bell])
    status = wait_until(lambda: (seen := os.waitpid(pid, os.WNOHANG))[0] and seen, "the worker's end", 30)[1]
    os.close(bell)
    os.close(doorbell)
    assert os.waitstatus_to_exitcode(status) == 0
    acks = ipc.acks.receive_all()
    assert {ack.epoch for ack in acks} <= {EPOCH}
    return acks


D, H = Outcome.DONE, Outcome.HANDED_BACK
LOST = SourceLost("gone")


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ({1: None, 2: "late", 3: None}, [(1, D), (3, D), (2, D)]),
        ({1: Interrupted(Counts(5, 5)), 2: None}, [(1, H), (2, D)]),
        ({1: "late", 2: Interrupted()}, [(1, D), (2, H)]),
        ({1: "late", 2: LOST, 3: None}, [(1, D), (2, Outcome.CONNECTION_LOST), (3, D)]),
        ({1: SourceBusy("busy")}, [(1, Outcome.UNREACHABLE)]),
        ({1: TargetFull("full")}, [(1, Outcome.TOO_MANY_CONNECTIONS)]),
        ({1: TargetDenied("no")}, [(1, Outcome.JOB_REFUSED)]),
        ({1: SourceError("odd")}, [(1, Outcome.REFUSED)]),
        ({1: MemoryError()}, [(1, Outcome.REFUSED)]),
        ({1: MalformedPacket("odd")}, [(1, Outcome.CONNECTION_LOST)]),
        # what was in flight before: its first range is to blame, the others go back
        ({1: "late", 2: "late", 3: (TargetError("no"), False)}, [(3, H), (2, H), (1, Outcome.REFUSED)]),
        ({1: (TargetError("no"), False), 2: None}, [(1, Outcome.REFUSED), (2, D)]),
        ({1: "late", 2: (SourceDoubtful("?"), True)}, [(1, Outcome.UNREACHABLE), (2, Outcome.UNREACHABLE)]),
        ({0: TargetError("no"), 1: "late", 2: "late"}, [(2, H), (1, Outcome.REFUSED)]),
        ({0: TargetError("no"), 1: "late", 2: LOST}, [(1, Outcome.REFUSED), (2, Outcome.CONNECTION_LOST)]),
    ],
)
def test_every_end_of_a_range_becomes_an_outcome(
    ipc: IpcSet, tmp_path: Path, ends: dict[int, Any], expected: list[tuple[int, Outcome]]
) -> None:
    """Each range that was sent is acknowledged once; a failed one with its reason in a report."""
    directory = JobDirectory.create(tmp_path, "job")
    acks = acks_of(ipc, directory, ends)
    assert sorted((ack.range_id, ack.outcome) for ack in acks) == sorted(expected)
    failed = {ack.range_id for ack in acks if ack.outcome not in (D, H)}
    assert {number for number in range(1, 4) if directory.reports.take(number, 1)} == failed


def test_what_goes_back_goes_back_in_order(ipc: IpcSet, tmp_path: Path) -> None:
    """What is acknowledged last is the next to be sent again: the first range."""
    directory = JobDirectory.create(tmp_path, "job")
    ends = {0: TargetError("no"), 1: "late", 2: "late", 3: "late"}
    assert [ack.range_id for ack in acks_of(ipc, directory, ends)] == [3, 2, 1]


HALVES_OF_IT = [PlannedRange(integer_range(0, 5), 3), PlannedRange(integer_range(5, 10), 4)]


@pytest.mark.parametrize(
    ("end", "outcome", "rows"),
    [
        (Cut(HALVES_OF_IT), Outcome.CUT, 0),
        (Cut([], 1, "id=5"), Outcome.WHOLE, 1),
        (Cut([], 0), Outcome.DONE, 0),
        (SourceLost("away"), Outcome.CONNECTION_LOST, 0),
        (SourceBusy("busy"), Outcome.UNREACHABLE, 0),
        (SourceError("odd"), Outcome.REFUSED, 0),
    ],
)
def test_a_range_is_cut(ipc: IpcSet, tmp_path: Path, end: Any, outcome: Outcome, rows: int) -> None:
    """Its parts are in a file; or it is whole, and told what it is; or it has no rows, and is done."""
    directory = JobDirectory.create(tmp_path, "job")
    (ack,) = acks_of(ipc, directory, {3: end}, parts=HALVES)
    assert (ack.outcome, ack.counts.rows_read) == (outcome, rows)
    assert directory.reports.take_parts(3, 1) == (HALVES_OF_IT if outcome is Outcome.CUT else [])
    told = directory.reports.take(3, 1)
    assert bool(told) == (outcome not in (Outcome.CUT, Outcome.DONE))
    if outcome is Outcome.WHOLE:
        assert told[0].key == "id=5"


@pytest.mark.parametrize("parts", [0, HALVES, 64])
def test_a_server_that_is_away_blames_no_range(ipc: IpcSet, tmp_path: Path, parts: int) -> None:
    """Whether it was to be loaded or cut: a range that is blamed too often would be set aside."""
    directory = JobDirectory.create(tmp_path, "job")
    (ack,) = acks_of(ipc, directory, {3: SourceLost("refused")}, parts=parts, is_connected=False)
    assert ack.outcome is Outcome.UNREACHABLE


def test_a_removed_queue_ends_the_worker(ipc: IpcSet, tmp_path: Path) -> None:
    """It leaves with 1; an error of the queues is no range's."""
    bell, doorbell = os.pipe()
    settings: Any = SimpleNamespace(directory=JobDirectory.create(tmp_path, "job"), plan={})
    Journal.create(settings.directory.journal_file, {}, [PlannedRange(integer_range(0, 10), 10)]).close()
    ipc.tasks.send(0, Assignment(1, 1))

    def body() -> int:
        session = Session(0, ipc.board, ipc.acks, doorbell)
        return Worker(settings, ipc.tasks, session, Scripted(session, {1: IpcError("gone")})).run()

    pid = fork_child(body, [bell])
    status = wait_until(lambda: (seen := os.waitpid(pid, os.WNOHANG))[0] and seen, "the worker's end", 30)[1]
    assert os.waitstatus_to_exitcode(status) == 1
    assert ipc.acks.receive_all() == []
    os.close(bell)
    os.close(doorbell)
