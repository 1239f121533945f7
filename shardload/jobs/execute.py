"""Loading: a job that is ready, run to its end or to an orderly stop, with its log, its summary and its outcome."""

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
from shardload.coordinator.run import run
from shardload.errors import (
    EXIT_CANNOT_START,
    EXIT_COMPLETE,
    EXIT_WITH_FAILURES,
    JobError,
    ShardloadError,
)
from shardload.ipc import IpcSet
from shardload.jobdir import log
from shardload.jobdir.directory import JobDirectory
from shardload.jobs.prepare import Job, ask_target, uses_native
from shardload.model.orders import Limits
from shardload.process import SignalInbox
from shardload.reporting.display import Display
from shardload.reporting.summary import Status, Summary, make_summary
from shardload.worker.load import Load
from shardload.worker.loop import Worker
from shardload.worker.session import Session
from shardload.worker.settings import WorkerSettings

_log = logging.getLogger("shardload.jobs.execute")


@dataclass(frozen=True)
class Frame:
    """Where a run takes place: before a person's eyes, under a service manager, or as a daemon. `signals` are heeded
    while it lasts, and go on being noted until the last word is said."""

    signals: SignalInbox
    is_daemon: bool = False
    stops_at_hangup: bool = True
    on_ready: Callable[[], None] = lambda: None
    read_limits: Callable[[], tuple[Limits | None, str]] = lambda: (None, "")


def load(job: Job, display: Display, frame: Frame) -> tuple[Summary, ShardloadError | None]:
    """Run the job to its end, or to an orderly stop. The summary, and what stopped it if something did."""
    handler = log.open_log(job.directory.log_file, job.spec.log_format)
    _log.info("job %s begins: %s to %s", job.directory.name, job.spec.mysql, job.spec.redis)
    worker_settings = WorkerSettings(
        directory=job.directory,
        mysql=job.spec.mysql,
        redis=job.spec.redis,
        table=job.subject.table.name,
        key_column=job.subject.key_column,
        layout=job.subject.layout,
        form=job.form,
        native=uses_native(job.spec),
    )

    def worker_body(slot: int, ipc: IpcSet, doorbell: int) -> int:
        log.name_process(f"worker-{slot}")
        try:
            session = Session(slot, ipc.board, ipc.acks, doorbell)
            return Worker(worker_settings, ipc.tasks, session, Load(worker_settings, session)).run()
        except Exception:
            _log.exception("worker %d crashed", slot)
            raise

    settings = Settings(
        key_name=job.subject.key_column,
        limits=Limits(job.spec.workers, job.spec.rate or 0),
        give_up_after_s=job.spec.give_up_after,
        hung_after_s=job.spec.hung_after,
        stops_at_hangup=frame.stops_at_hangup,
        ask_target=lambda: ask_target(job.spec),
        keys_stay=job.keys_stay,
        read_limits=frame.read_limits,
        on_ready=frame.on_ready,
        reopen_log=lambda: _reopen(handler, job.directory.log_file, is_daemon=frame.is_daemon),
    )
    about = {"started": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "daemon": frame.is_daemon, "encoder": job.encoder}
    stopped: ShardloadError | None = None
    ending: Ending | None = None
    workers = job.spec.workers
    try:
        ending, workers = run(
            job.directory,
            job.journal,
            settings,
            worker_body,
            job.target,
            display=display,
            signals=frame.signals,
            lock=job.lock,
            about=about,
        )
        if ending is not None:
            stopped = ending.reason()
    except (ShardloadError, OSError) as error:
        stopped = reason_to_stop(error)
    finally:
        display.close()
    summary = summarize(job, workers, stopped)
    if ending is not None:
        summary = replace(
            summary, rows_unfinished=ending.rows_unfinished, rows_unfinished_exact=ending.rows_unfinished_exact
        )
    _note_outcome(job.directory, summary, stopped)
    log.close_log(handler)
    job.journal.close()
    os.close(job.lock)
    return summary, stopped


def _note_outcome(directory: JobDirectory, summary: Summary, stopped: ShardloadError | None) -> None:
    """How it went, in the log and for `shardload status`."""
    told = f": {stopped}" if stopped else ""
    _log.info("job %s: %s%s; %s", directory.name, summary.status, told, summary.as_line())
    outcome = {
        "status": summary.status,
        "workers": summary.workers,
        "error": str(stopped) if stopped else None,
        "exit_code": exit_code_of(summary, stopped),
        "rows_unfinished": summary.rows_unfinished,
        "rows_unfinished_exact": summary.rows_unfinished_exact,
    }
    with suppress(JobError):  # the disk is full: the journal has what counts
        directory.write_run({**directory.read_run(), "outcome": outcome})


def exit_code_of(summary: Summary, stopped: ShardloadError | None) -> int:
    """What the command leaves with."""
    if stopped is not None:
        return stopped.exit_code
    return EXIT_COMPLETE if summary.status == "complete" else EXIT_WITH_FAILURES


def _reopen(handler: logging.Handler, path: Path, *, is_daemon: bool) -> None:
    """Go on in the file that now bears the log's name; a daemon's streams too."""
    with suppress(OSError, JobError):  # it cannot be made now: the next line tries again
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


def summarize(job: Job, workers: int, stopped: ShardloadError | None) -> Summary:
    """The job as its journal has it."""
    totals = job.journal.totals()
    counts = totals.counts
    is_all_done = totals.ranges_done == totals.ranges and not counts.rows_failed and not totals.rows_lost
    status: Status = "complete" if is_all_done else "incomplete"
    if stopped is not None:
        status = "failed" if stopped.exit_code == EXIT_CANNOT_START else "stopped"
    summary = make_summary(
        job.directory.name, status, counts, (totals.ranges, totals.ranges_done, totals.ranges_retried),
        totals.seconds, job.encoder, workers,
    )  # fmt: skip
    return replace(summary, rows_lost=totals.rows_lost)
