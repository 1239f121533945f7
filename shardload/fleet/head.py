"""The head's side of a machine: a process for each, in a slot of the head's coordinator, as a worker is in one.

It takes ranges as a worker does, has a machine run them in blocks, and acknowledges each when the machine says that it
is settled. A machine that is lost may still write until its lease runs out: until then its ranges stay here.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from shardload.config.urls import SourceUrl, TargetUrl
from shardload.errors import FleetLost, IpcError, ShardloadError
from shardload.fleet.claim import Claim
from shardload.fleet.growth import Growth
from shardload.fleet.reads import Reads
from shardload.fleet.scheduler import Scheduler
from shardload.ipc import Phase, Stop, TaskQueue
from shardload.jobdir.directory import JobDirectory
from shardload.jobdir.journal import Journal
from shardload.jobdir.machines import write_machine
from shardload.model.blocks import BlockEnd, BlockOrder, SettledRange
from shardload.model.counts import SetAside
from shardload.model.keys import PlannedRange, RangeRecord
from shardload.model.tasks import Assignment, Outcome, Task
from shardload.process import die_with_parent, set_title
from shardload.target import end_connections
from shardload.worker.session import Session

_TALK_S = 0.25  # between two words to a machine at work
_IDLE_S = 0.02
_KEEP_S = 2.0  # between two words to one that waits
_BAD_SPEC = 2  # the exit code of a block whose machine cannot take the job at all

_log = logging.getLogger("shardload.fleet")


@dataclass(frozen=True)
class FleetSettings:
    """What all slots of the head share. `facts` are the journal's, `spec` what `spec.json` has; `urls` have passwords,
    or there are none; `reads` are the sources that machines read from in turn, each at most
    `most_lag_ms` behind. There were `machines` when the run began."""

    url: str
    directory: JobDirectory
    redis: TargetUrl
    spec: Mapping[str, Any]
    facts: Mapping[str, Any]
    identities: Mapping[str, Mapping[str, Any]]
    urls: Mapping[str, str]
    reads: tuple[SourceUrl, ...]
    most_lag_ms: int
    machines: int
    plan: Mapping[int, RangeRecord]


class Head:
    """One slot's process. Create it after the fork."""

    def __init__(self, settings: FleetSettings, tasks: TaskQueue, session: Session) -> None:
        self._settings = settings
        self._tasks = tasks
        self._session = session
        self._journal = Journal(settings.directory.journal_file)
        self._scheduler = Scheduler(settings.url)
        self._growth = Growth(self._scheduler, settings.directory.path, settings.machines)
        self._reads = Reads(settings.reads, settings.most_lag_ms, session.slot)
        self._waiting: list[Task] = []
        self._must_leave = False
        self._claim: Claim | None = None

    def run(self) -> int:
        """Work until STOP, or until the coordinator or the queue is gone. The result is the exit code."""
        session = self._session
        set_title(f"shardload: machine {self._settings.directory.name} #{session.slot}")
        signal.signal(signal.SIGTERM, session.leave)
        if not die_with_parent(session.coordinator):
            return 1
        session.beat(Phase.IDLE)
        try:
            session.ring()
            asyncio.run(self._live())
        except (IpcError, BrokenPipeError):
            return 1
        finally:
            self._journal.close()
        return 0

    async def _live(self) -> None:
        kept_s = 0.0
        try:
            while True:
                self._receive()
                if self._must_leave and not self._waiting:
                    break
                if self._session.must_hand_back():
                    self._hand_back(self._take())
                    if self._session.must_leave():
                        break
                if self._waiting:
                    await self._work(self._take())
                elif self._claim is not None and time.monotonic() > kept_s:
                    kept_s = time.monotonic() + _KEEP_S
                    await self._keep()
                else:
                    self._session.beat(Phase.IDLE)
                    await asyncio.sleep(_IDLE_S)
                await self._look_around()
        finally:
            await self._leave()

    async def _look_around(self) -> None:
        """One slot is enough to notice machines that join."""
        if self._session.slot == 0:
            await self._growth.look()

    def _receive(self) -> None:
        """Take what the coordinator has sent."""
        while (message := self._tasks.receive(self._session.slot, wait=False)) is not None:
            if isinstance(message, Stop):
                self._must_leave = True
            else:
                self._take_up(message)

    def _take_up(self, assignment: Assignment) -> None:
        record = self._settings.plan.get(assignment.range_id) or self._journal.record(assignment.range_id)
        task = Task(record.range_id, assignment.attempt, record.keys, record.estimated_rows, assignment.parts)
        if task.parts:  # a machine cuts its ranges itself
            self._session.acknowledge(task, Outcome.WHOLE, 0)
        else:
            self._waiting.append(task)

    def _take(self) -> list[Task]:
        taken, self._waiting = self._waiting, []
        return taken

    async def _work(self, tasks: list[Task]) -> None:
        """Have a block done: everything that waits. What is not done goes back, with the reason."""
        left = {task.range_id: task for task in tasks}
        self._session.take_up(tasks[0])
        self._session.beat(Phase.CONNECTING)
        try:
            if self._claim is None:
                self._claim = await Claim.make(self._scheduler, self._settings.directory.name, self._session.slot)
                self._note(self._claim)
            end = await self._run(self._claim, tasks, left)
        except FleetLost as error:
            await self._fence()
            self._give_back(list(left.values()), Outcome.UNREACHABLE, str(error))
        except ShardloadError as error:
            self._give_back(list(left.values()), Outcome.UNREACHABLE, str(error))
        else:
            self._note_end(end, list(left.values()))
        finally:
            self._session.take_up(None)

    def _share_of_rate(self) -> int:
        """This machine's share of the rate that all keep together; 0: any."""
        rate_rows = self._session.board.rate()
        shown = self._session.board.snapshot() if rate_rows else None
        return max(1, int(rate_rows / max(1, shown.run_state.workers if shown else 1))) if rate_rows else 0

    async def _run(self, claim: Claim, tasks: list[Task], left: dict[int, Task]) -> BlockEnd:
        """Have these ranges done as a block, and take them out of `left` as they end."""
        claim.blocks += 1
        order = await self._order(claim, tasks)
        _log.info("machine %s: block %d, %d ranges", claim.machine.name, order.number, len(tasks))
        running = await self._scheduler.begin(claim.machine, order)
        try:
            while True:
                self._receive()
                self._session.beat(Phase.READING)
                lost: FleetLost | None = None
                try:
                    reply = await claim.talk(self._share_of_rate(), stops=self._session.must_hand_back())
                    settled = reply.settled if reply.number == order.number else ()
                    self._settle(claim, settled, tasks, left)
                except FleetLost as error:
                    lost = error
                if (end := running.end()) is not None:
                    self._settle(claim, end.settled, tasks, left)
                    _log.info("machine %s: block %d ended, %d ranges left", claim.machine.name, order.number, len(left))
                    return end
                if lost is not None and (claim.has_run_out or self._session.must_leave()):
                    raise lost
                await self._look_around()
                await running.wait(_TALK_S)
        finally:
            await running.forget()

    async def _order(self, claim: Claim, tasks: list[Task]) -> BlockOrder:
        settings = self._settings
        name, url = await asyncio.to_thread(self._reads.next)
        spec = {**settings.spec, "mysql": name} if name else settings.spec
        facts = {**settings.facts, "identity": settings.identities[name]}
        urls = {**settings.urls, "mysql": url} if name and settings.urls else settings.urls
        ranges = tuple(PlannedRange(task.keys, task.estimated_rows) for task in tasks)
        return BlockOrder(claim.number, claim.blocks, settings.directory.name, spec, facts, ranges, urls)

    def _settle(
        self, claim: Claim, settled: tuple[SettledRange, ...], tasks: list[Task], left: dict[int, Task]
    ) -> None:
        for one in settled:
            task = tasks[one.place]
            if left.pop(task.range_id, None) is None:
                continue
            reports = self._settings.directory.reports
            if one.told:
                reports.write(task.range_id, task.attempt, one.told)
            if one.differences:
                reports.write_differences(task.range_id, task.attempt, one.differences)
            self._session.acknowledge(task, Outcome.DONE, one.epoch, one.counts)
            record = claim.record
            claim.record = replace(record, rows=record.rows + one.counts.rows_read, ranges=record.ranges + 1)
            self._note(claim)

    def _note(self, claim: Claim, *, is_over: bool = False) -> None:
        """Keep what a machine has done; with `is_over` it can write no more."""
        claim.record = replace(claim.record, is_claimed=not is_over)
        write_machine(self._settings.directory.path, claim.number, claim.record)

    def _note_end(self, end: BlockEnd, left: list[Task]) -> None:
        """What a block leaves goes back."""
        if end.was_stale or self._session.must_hand_back():
            self._hand_back(left)
            return
        assert self._claim is not None
        name = self._claim.machine.name
        words = f"it was killed by signal {-end.exit_code}" if end.exit_code < 0 else end.reason or "it ended early"
        outcome = Outcome.JOB_REFUSED if end.exit_code == _BAD_SPEC else Outcome.UNREACHABLE
        self._give_back(left, outcome, f"machine {name}: {words}")

    def _give_back(self, left: list[Task], outcome: Outcome, reason: str) -> None:
        """The first of these ranges is told as lost, with the reason; the others just go back."""
        self._hand_back(left[1:])
        if left:
            _log.info("%s", reason)
            task = left[0]
            self._settings.directory.reports.write(task.range_id, task.attempt, [SetAside("", reason)])
            self._session.acknowledge(task, outcome, 0)

    def _hand_back(self, tasks: list[Task]) -> None:
        for task in reversed(tasks):  # what comes back first is the last to be given out again
            self._session.acknowledge(task, Outcome.HANDED_BACK, 0)

    async def _keep(self) -> None:
        """Keep the machine while there is nothing to do."""
        assert self._claim is not None
        try:
            await self._claim.talk(self._share_of_rate())
        except FleetLost as error:
            _log.info("%s", error)
            await self._fence()

    async def _fence(self) -> None:
        """Wait until the machine that was lost cannot write any more, and end what it has at Redis."""
        claim, self._claim = self._claim, None
        if claim is None:
            return
        while claim.blocks and claim.may_write and not self._session.must_leave():
            self._session.beat(Phase.HELD_BACK)
            self._receive()
            await asyncio.sleep(_TALK_S)
        with suppress(ShardloadError):  # not allowed, or not reachable: the lease has run out all the same
            await asyncio.to_thread(end_connections, self._settings.redis, f"shardload:{claim.prefix}")
        if not (claim.blocks and claim.may_write):
            self._note(claim, is_over=True)

    async def _leave(self) -> None:
        if self._claim is not None:
            with suppress(FleetLost):
                await self._claim.talk(releases=True)
                self._note(self._claim, is_over=True)
        await self._scheduler.close()
