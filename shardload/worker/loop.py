"""A worker's loop: receive a range, do it, acknowledge it; again, until it is told to leave.

What is done with a range is a `Kind` (`load.py`). Whatever goes wrong becomes an outcome for the coordinator, which
alone decides what happens next.
"""

from __future__ import annotations

import logging
import signal
from typing import Protocol

from shardload.errors import IpcError, ShardloadError, why_hopeless
from shardload.ipc import Phase, Stop, TaskQueue
from shardload.jobdir.journal import Journal
from shardload.model.counts import Counts, SetAside
from shardload.model.tasks import Assignment, Outcome, Task
from shardload.process import die_with_parent, set_title
from shardload.worker.outcome import Interrupted, Unconfirmed, outcome_of
from shardload.worker.reader import Cut
from shardload.worker.session import Session
from shardload.worker.settings import WorkerSettings

_log = logging.getLogger("shardload.worker")


class Kind(Protocol):
    """What a worker does with ranges. It keeps its connections from range to range and acknowledges what it did."""

    @property
    def in_flight(self) -> bool:
        """True if something was sent that is not confirmed yet."""
        ...

    @property
    def is_connected(self) -> bool:
        """True if every server was reached."""
        ...

    @property
    def epoch(self) -> int:
        """The target's, as the newest connection saw it."""
        ...

    def do(self, task: Task) -> None:
        """Do one range. Its ack may follow later, when it is confirmed. Interrupted, Unconfirmed or ShardloadError if
        it cannot be done."""
        ...

    def finish(self) -> None:
        """Wait until everything in flight is confirmed, and acknowledge it. Unconfirmed if that fails."""
        ...

    def cut(self, task: Task) -> Cut:
        """Cut one range as its task asks. SourceError if that cannot be done. Nothing may be in flight."""
        ...

    def close(self) -> None:
        """Close every connection, whatever its state."""
        ...


class Worker:
    """One worker process. Create it after the fork."""

    def __init__(self, settings: WorkerSettings, tasks: TaskQueue, session: Session, kind: Kind) -> None:
        self._settings = settings
        self._tasks = tasks
        self._session = session
        self._kind = kind
        self._journal = Journal(settings.directory.journal_file)  # it has the keys of ranges; only read here

    def run(self) -> int:
        """Work until STOP, or until the coordinator or the queue is gone. The result is the exit code."""
        session = self._session
        set_title(f"shardload: worker {self._settings.directory.name} #{session.slot}")
        signal.signal(signal.SIGTERM, session.leave)
        if not die_with_parent(session.coordinator):
            return 1
        session.beat(Phase.IDLE)
        try:
            session.ring()  # the coordinator may wait for this worker to have started
            while not session.must_leave():
                if not self._kind.in_flight:
                    session.take_up(None)
                    session.beat(Phase.IDLE)
                message = self._tasks.receive(session.slot, wait=not self._kind.in_flight)
                if isinstance(message, Stop):
                    break
                if message is not None:
                    self._begin(message)
                else:
                    self._finish(None)
            self._finish(None)
        except (IpcError, BrokenPipeError):
            return 1  # the coordinator is gone, or says so by removing the queue
        finally:
            self._kind.close()
            self._journal.close()
        return 0

    def _begin(self, assignment: Assignment) -> None:
        """Look up a range, and load or cut it."""
        record = self._settings.plan.get(assignment.range_id) or self._journal.record(assignment.range_id)
        task = Task(record.range_id, assignment.attempt, record.keys, record.estimated_rows, assignment.parts)
        self._session.take_up(task)
        if task.parts:
            self._cut(task)
        else:
            self._do(task)

    def _cut(self, task: Task) -> None:
        """Cut one range, and tell the coordinator its parts. One without rows is done."""
        self._finish(None)
        try:
            found = self._kind.cut(task)
        except (ShardloadError, MemoryError) as error:
            self._fail(task, error, is_connected=self._kind.is_connected)
            return
        reports = self._settings.directory.reports
        if found.parts:
            reports.write_parts(task.range_id, task.attempt, found.parts)
            self._acknowledge(task, Outcome.CUT)
        elif found.rows:
            if found.what:
                reports.write(task.range_id, task.attempt, [SetAside(found.what, "")])
            self._acknowledge(task, Outcome.WHOLE, Counts(rows_read=found.rows))
        else:
            self._acknowledge(task, Outcome.DONE)

    def _do(self, task: Task) -> None:
        """Do one range; turn any failure into an outcome."""
        try:
            self._kind.do(task)
        except Interrupted as interrupted:
            self._finish(task)
            self._acknowledge(task, Outcome.HANDED_BACK, interrupted.counts)
            self._kind.close()
        except Unconfirmed as failure:
            self._settle(failure, task)
            if failure.tasks and not failure.blames(task):
                self._acknowledge(task, Outcome.HANDED_BACK)
            else:
                self._fail(task, failure.error, is_connected=True)
        except (ShardloadError, MemoryError) as error:
            if isinstance(error, IpcError):
                raise
            is_connected = self._kind.is_connected
            self._finish(task)  # the ranges before this one may be whole
            self._fail(task, error, is_connected=is_connected)

    def _finish(self, current: Task | None) -> None:
        """Have what is in flight confirmed; what fails is told in its ack, except the current range."""
        try:
            self._kind.finish()
        except Unconfirmed as failure:
            self._settle(failure, current)

    def _settle(self, failure: Unconfirmed, current: Task | None) -> None:
        """Tell what became of unconfirmed ranges, except the current one: the blamed failed, the others go back."""
        self._kind.close()
        for task in reversed(failure.tasks):  # what comes back first is the last to be given out again
            if task == current:
                continue
            if failure.blames(task):
                self._fail(task, failure.error, is_connected=True)
            else:
                self._acknowledge(task, Outcome.HANDED_BACK)

    def _fail(self, task: Task, error: BaseException, *, is_connected: bool) -> None:
        """Acknowledge a failure, with its reason in a report. The next range begins on new connections."""
        outcome = outcome_of(error, is_connected=is_connected)
        reason = why_hopeless(error) if outcome is Outcome.JOB_REFUSED else str(error) or type(error).__name__
        _log.info("%s, attempt %d: %s", task.keys, task.attempt, reason, extra={"range_id": task.range_id})
        self._kind.close()  # the state of the connections is unknown now
        self._settings.directory.reports.write(task.range_id, task.attempt, [SetAside("", reason)])
        self._acknowledge(task, outcome)

    def _acknowledge(self, task: Task, outcome: Outcome, counts: Counts | None = None) -> None:
        self._session.acknowledge(task, outcome, self._kind.epoch, counts)
