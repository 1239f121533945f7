"""One run of a job: everything that exists only while it runs is made here, and removed here, whatever happens.

That is: SysV objects, the control FIFO, the doorbell, the children, and `run.json`, which tells others about them and,
at the end, how the run went.
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

from shardload.coordinator.context import Context, Ending, Settings
from shardload.coordinator.gauges import Gauges
from shardload.coordinator.loop import STOP_GRACE_S, Coordinator
from shardload.coordinator.pool import Pool, WorkerBody
from shardload.coordinator.targetwatch import TargetGuard
from shardload.errors import DirectoryLost, IpcError, JobError
from shardload.ipc import BoardHeader, IpcSet, announce, create
from shardload.jobdir.directory import JobDirectory
from shardload.jobdir.journal import Journal
from shardload.jobdir.machines import remove_machines
from shardload.jobdir.runfile import RunRecord
from shardload.model.limits import MOST_WORKERS
from shardload.model.orders import Limits
from shardload.process import ControlInbox, SignalInbox, children_usage, ipc_namespace, set_title, start_time
from shardload.ranges.tracker import Tracker
from shardload.reporting.display import Display
from shardload.target import TargetFacts

_TROUBLES_KEPT = 5

_log = logging.getLogger("shardload.run")


def run(
    directory: JobDirectory,
    journal: Journal,
    settings: Settings,
    worker_body: WorkerBody,
    target: TargetFacts,
    *,
    display: Display,
    signals: SignalInbox,
    lock: int,
    about: RunRecord,
) -> tuple[Ending | None, Limits]:
    """Do every range that is to do; the journal has the result. Returns why the run ended early, or None, and the last
    limits.

    `target` is what the target was when the job began, `signals` the signals that the run handles, `lock` the
    descriptor that holds the job, which no child may keep, and `about` what others may want to know of this run.
    IpcError, JobError or JournalError if the run could not begin. Whatever happens, no process and no SysV object of it
    is left.
    """
    started_s = time.monotonic()
    run_number = journal.begin_run(time.strftime("%Y-%m-%dT%H:%M:%S%z"))
    directory.reports.remove()
    remove_machines(directory.path)
    me = _Record(directory, about)
    with ExitStack() as made:
        control = _control(directory)
        made.callback(control.close)
        ipc = _make_objects(made, directory, me)
        set_title(f"shardload: coordinator {directory.name}")
        pool, guard, gauges, bell = _make_children(
            made, settings, target, ipc, worker_body, journal,
            job=directory.name, private=(lock, *signals.descriptors(), control.fileno()),
        )  # fmt: skip
        tracker = Tracker(
            journal,
            job=directory.name,
            range_rows=settings.range_rows,
            epoch=target.epoch,
            nodes=target.nodes,
            say=lambda text: _say(text, display),
            note=_note_range,
            renew=pool.renew,
            credits_=settings.credits_,
        )
        context = Context(
            directory=directory,
            tracker=tracker,
            ipc=ipc,
            pool=pool,
            guard=guard,
            gauges=gauges,
            signals=signals,
            control=control,
            bell=bell,
            display=display,
            note_clock=lambda seconds: journal.end_run(run_number, seconds),
            note_trouble=me.note_trouble,
            note_event=lambda text: _note_event(text, me, journal),
            started_s=started_s,
        )
        coordinator = Coordinator(settings, context)
        _loop_and_end(coordinator, context)
    _write_end(directory, journal, run_number, started_s, me)
    return coordinator.ending, coordinator.controls.limits


def _make_children(
    made: ExitStack,
    settings: Settings,
    target: TargetFacts,
    ipc: IpcSet,
    worker_body: WorkerBody,
    journal: Journal,
    *,
    job: str,
    private: tuple[int, ...],
) -> tuple[Pool, TargetGuard, Gauges, int]:
    """The pool, what watches the target and what measures, and the end of the doorbell that the coordinator listens
    to."""
    bell, doorbell = os.pipe()
    for end in (bell, doorbell):
        os.set_blocking(end, False)
        made.callback(os.close, end)
    guard = TargetGuard(
        settings.ask_target,
        target,
        keys_stay=settings.keys_stay,
        fork=lambda body, keep: pool.fork("guard", body, [keep]),
        end=lambda pid: pool.end_other(pid),
    )
    made.callback(guard.close)
    gauges = Gauges(
        settings.measured,
        fork=lambda body, keep: pool.fork("gauges", body, [keep]),
        end=lambda pid: pool.end_other(pid),
    )
    made.callback(gauges.close)
    kept_back = (*private, bell, *guard.descriptors(), *gauges.descriptors())
    pool = Pool(job, ipc, worker_body, doorbell=doorbell, private=kept_back, before_fork=journal.close)
    return pool, guard, gauges, bell


def _note_event(text: str, me: _Record, journal: Journal) -> None:
    """Keep what a guard did: for `shardload status`, and in the journal."""
    _log.warning("guard: %s", text)
    me.note_trouble(text)
    journal.note_event(time.strftime("%Y-%m-%dT%H:%M:%S%z"), text)


class _Record:
    """This run in `run.json`."""

    def __init__(self, directory: JobDirectory, about: RunRecord) -> None:
        self._directory = directory
        self.pid, self.start = os.getpid(), start_time(os.getpid())
        self.run_id = int.from_bytes(os.urandom(8), "little") >> 1
        self._run = replace(about, pid=self.pid, start=self.start, run_id=self.run_id, ipc_namespace=ipc_namespace())

    def write(self, *, ipc: dict[str, Any] | None) -> None:
        """Write the record, with these SysV objects. JobError if it cannot be written."""
        self._run = replace(self._run, ipc=ipc)
        self._directory.write_run(self._run)

    def note_trouble(self, text: str) -> None:
        """Keep the last few troubles of the run, for `shardload status`."""
        troubles = (*self._run.troubles, f"{time.strftime('%H:%M:%S')} {text}")[-_TROUBLES_KEPT:]
        self._run = replace(self._run, troubles=troubles)
        with suppress(JobError):  # the disk is full: the log and a person's screen have it
            self._directory.write_run(self._run)


def _make_objects(made: ExitStack, directory: JobDirectory, me: _Record) -> IpcSet:
    """The run's SysV objects. They are announced in `run.json` first, so that what a kill in the middle leaves is
    found."""
    me.write(ipc=announce())
    try:
        ipc = create(directory.key_file, BoardHeader(MOST_WORKERS, me.run_id, me.pid, me.start))
    except IpcError:
        with suppress(JobError):
            me.write(ipc=None)
        raise
    made.callback(ipc.board.detach)
    made.callback(ipc.remove)
    me.write(ipc=ipc.record)
    return ipc


def _loop_and_end(coordinator: Coordinator, context: Context) -> None:
    """Loop, then end the children and remove the queues and the semaphore."""
    pool = context.pool
    try:
        coordinator.loop()
        pool.stop()
    finally:
        pool.end(STOP_GRACE_S if coordinator.ending is None else 0.0)
        context.ipc.remove()
        pool.dismiss_janitor()
        _log.info("the workers used %.2f s of CPU, %d MiB of memory at most", *children_usage())


def _write_end(directory: JobDirectory, journal: Journal, number: int, started_s: float, me: _Record) -> None:
    """Note the end in `run.json`, if the disk allows it, and in the journal."""
    with suppress(JobError, OSError):
        directory.reports.remove()
        me.write(ipc=None)
    journal.end_run(number, time.monotonic() - started_s)


def _control(directory: JobDirectory) -> ControlInbox:
    try:
        return ControlInbox(directory.path)
    except OSError as error:
        raise DirectoryLost(
            f"cannot make a FIFO in {directory.path}: {error.strerror}", "choose another --state-dir"
        ) from None


def _note_range(text: str, range_id: int) -> None:
    _log.warning("%s", text, extra={"range_id": range_id})


def _say(text: str, display: Display) -> None:
    _log.warning("%s", text)
    display.note(text)
