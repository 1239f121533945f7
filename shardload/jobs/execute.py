"""Runs a job that is ready to its end, or to an orderly stop, with its log, its facts at the end, and its outcome."""

from __future__ import annotations

import logging
import logging.handlers
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from shardload.coordinator.context import Ending, Settings, reason_to_stop
from shardload.coordinator.pool import WorkerBody
from shardload.coordinator.run import run
from shardload.errors import (
    EXIT_CANNOT_START,
    EXIT_COMPLETE,
    EXIT_DIFFERENCES,
    EXIT_WITH_FAILURES,
    JobError,
    ShardloadError,
)
from shardload.ipc import IpcSet
from shardload.jobdir import log
from shardload.jobdir.directory import JobDirectory
from shardload.jobdir.lease import Lease
from shardload.jobdir.runfile import RunOutcome, RunRecord
from shardload.jobs import extra, outlook, sharing
from shardload.jobs.afterwards import Afterwards
from shardload.jobs.guarded import measured
from shardload.jobs.prepare import Job
from shardload.jobs.status import with_checks
from shardload.jobs.targets import ask_target, uses_native
from shardload.model.limits import CREDITS, FLEET_CREDITS, FLEET_FENCE_S
from shardload.model.orders import STOP_SIGNALS, Limits
from shardload.model.shared import Shared
from shardload.process import SignalInbox
from shardload.reporting.display import Display
from shardload.reporting.facts import DIFFERENT, JobFacts, settled_facts
from shardload.reporting.text import summary_line
from shardload.worker.load import Load
from shardload.worker.loop import Worker
from shardload.worker.session import Session
from shardload.worker.settings import Checks, WorkerSettings
from shardload.worker.verify import Verify

_log = logging.getLogger("shardload.job")


@dataclass(frozen=True)
class Frame:
    """Where a run takes place: on a terminal, under a service manager, or as a daemon.

    `signals` are handled while the run lasts, and noted until the end of the process.
    """

    signals: SignalInbox
    is_daemon: bool = False
    stops_at_hangup: bool = True
    on_ready: Callable[[], None] = lambda: None
    read_limits: Callable[[], tuple[Limits | None, str]] = lambda: (None, "")


def load(job: Job, display: Display, frame: Frame) -> tuple[JobFacts, ShardloadError | None]:
    """Run the job to its end, or to an orderly stop. The facts at the end, and what stopped it if something did."""
    handler = log.open_log(job.directory.log_file, job.spec.log_format)
    _log.info("job %s begins: %s to %s", job.directory.name, job.spec.mysql, job.spec.redis)
    for note in outlook.notes(job.fit, force=job.spec.force):
        _log.info("%s", note)
    about = RunRecord(
        started=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        daemon=frame.is_daemon,
        encoder=job.encoder,
        target=job.target.described,
    )
    stopped: ShardloadError | None = None
    ending: Ending | None = None
    shared = Shared()
    limits = Limits(job.machines or job.spec.workers, job.spec.rate or 0)
    try:
        ending, limits = run(
            job.directory,
            job.journal,
            _settings(job, frame, handler),
            _body(job),
            job.target,
            display=display,
            signals=frame.signals,
            lock=job.lock,
            about=about,
        )
        if ending is not None:
            stopped = ending.reason()
        elif job.checks.get("finds_extra"):
            _find_extra(job, display, frame, handler, limits)
        elif job.form.fingerprints and not job.spec.is_verify:
            shared = sharing.shared_keys(job, lambda: not set(STOP_SIGNALS).isdisjoint(frame.signals.drain()))
    except (ShardloadError, OSError) as error:
        stopped = reason_to_stop(error)
    finally:
        display.close()
    facts = _facts_at_end(job, limits.workers, stopped)
    if ending is not None:
        facts = replace(
            facts, rows_unfinished=ending.rows_unfinished, rows_unfinished_exact=ending.rows_unfinished_exact
        )
    if job.form.fingerprints and stopped is None:
        shared = sharing.doubt(job, facts.differences.left) if job.spec.is_verify else shared
        facts = _with_shared(job, facts, shared)
    _note_outcome(job.directory, facts, stopped)
    log.close_log(handler)
    job.journal.close()
    os.close(job.lock)
    return facts, stopped


def _find_extra(job: Job, display: Display, frame: Frame, handler: logging.Handler, limits: Limits) -> None:
    """Look for keys that no row stands for. Raises as `extra.find`."""
    after = Afterwards(
        job.directory.path,
        frame.signals,
        limits.rate_rows,
        stops_at_hangup=frame.stops_at_hangup,
        reopen_log=lambda: _reopen(handler, job.directory.log_file, is_daemon=frame.is_daemon),
    )
    try:
        extra.find(job, after, display.note)
    finally:
        after.close()


def _settings(job: Job, frame: Frame, handler: logging.Handler) -> Settings:
    return Settings(
        range_rows=job.spec.planned_range_rows,
        limits=Limits(job.machines or job.spec.workers, job.spec.rate or 0),
        give_up_after_s=job.spec.give_up_after,
        hung_after_s=job.spec.hung_after,
        stops_at_hangup=frame.stops_at_hangup,
        ask_target=lambda known: ask_target(job.spec, known, job.target.addresses),
        keys_stay=job.keys_stay,
        read_limits=frame.read_limits,
        on_ready=frame.on_ready,
        measured=measured(job.spec),
        credits_=FLEET_CREDITS if job.machines else CREDITS,
        fence_s=FLEET_FENCE_S if job.machines else 0.0,
        reopen_log=lambda: _reopen(handler, job.directory.log_file, is_daemon=frame.is_daemon),
    )


def _body(job: Job) -> WorkerBody:
    """What the coordinator's children in slots run: workers, or with a fleet the head's sides of machines."""
    if not job.machines:
        return _worker_body(job)
    from shardload.jobs.fleet import head_body  # here: other jobs need none of it

    return head_body(job)


def _worker_body(job: Job) -> WorkerBody:
    """What a forked worker runs."""
    settings = WorkerSettings(
        directory=job.directory,
        mysql=job.spec.mysql,
        redis=job.spec.redis,
        selection=job.subject.selection,
        range_rows=job.spec.planned_range_rows,
        plan={record.range_id: record for record in job.journal.todo()},
        layout=job.subject.layout,
        form=job.form,
        native=uses_native(job.spec),
        known_nodes=job.target.addresses,
        checks=Checks(**job.checks),
        lease=Lease.of(job.directory.path),
    )
    kind = Verify if job.spec.is_verify else Load

    def body(slot: int, ipc: IpcSet, doorbell: int) -> int:
        log.set_process_role(f"worker-{slot}")
        try:
            session = Session(slot, ipc.board, ipc.acks, doorbell)
            return Worker(settings, ipc.tasks, session, kind(settings, session)).run()
        except Exception:
            _log.exception("worker %d crashed", slot)
            raise

    return body


def _with_shared(job: Job, facts: JobFacts, shared: Shared) -> JobFacts:
    """The facts with the keys that were made more than once, which are noted in the log and the journal."""
    if shared.told:
        _log.warning("%s", shared.told)
    with suppress(ShardloadError, OSError):  # the disk is full: a resume looks again
        sharing.keep(job, shared, is_final=facts.status == "complete" and not shared.is_unsure)
    return replace(facts, keys_shared=shared.keys, shared=shared.told)


def _note_outcome(directory: JobDirectory, facts: JobFacts, stopped: ShardloadError | None) -> None:
    """Note how the run ended, in the log and for `shardload status`."""
    told = f": {stopped}" if stopped else ""
    _log.info("job %s: %s%s; %s", directory.name, facts.status, told, summary_line(facts))
    outcome = RunOutcome(
        status=facts.status,
        workers=facts.workers,
        error=str(stopped) if stopped else None,
        exit_code=exit_code_of(facts, stopped),
        rows_unfinished=facts.rows_unfinished,
        rows_unfinished_exact=facts.rows_unfinished_exact,
    )
    with suppress(JobError):  # the disk is full: the journal has what counts
        directory.write_run(replace(directory.read_run(), outcome=outcome))


def exit_code_of(facts: JobFacts, stopped: ShardloadError | None) -> int:
    """The exit code of a command that ran the job."""
    if stopped is not None:
        return stopped.exit_code
    if facts.status == DIFFERENT:
        return EXIT_DIFFERENCES
    return EXIT_COMPLETE if facts.status == "complete" else EXIT_WITH_FAILURES


def _reopen(handler: logging.Handler, path: Path, *, is_daemon: bool) -> None:
    """Go on in the file that has the log's name now; a daemon's standard output and error, too."""
    with suppress(OSError, JobError):  # the file cannot be made now: the next line tries again
        if is_daemon:
            descriptor = log.open_log_file(path)
            for stream in (1, 2):
                os.dup2(descriptor, stream)
            os.close(descriptor)
        handler.acquire()
        try:
            if isinstance(handler, logging.handlers.WatchedFileHandler):
                handler.reopenIfNeeded()
        finally:
            handler.release()
    _log.info("log reopened")


def _facts_at_end(job: Job, workers: int, stopped: ShardloadError | None) -> JobFacts:
    totals = job.journal.totals()
    is_all_done = totals.ranges_done == totals.ranges and not totals.counts.rows_failed and not totals.rows_lost
    state = "complete" if is_all_done else "incomplete"
    if is_all_done and job.journal.difference_totals().left:
        state = DIFFERENT
    if stopped is not None:
        state = "failed" if stopped.exit_code == EXIT_CANNOT_START else "stopped"
    facts = settled_facts(
        job.directory.name, state, totals, encoder=job.encoder, target=job.target.described, workers=workers
    )
    return with_checks(facts, job.journal)
