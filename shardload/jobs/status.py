"""What can be said of a job from outside: from its directory, its journal, its lock and its board. Changes nothing.

A job runs if, and only if, somebody holds its lock. Its figures then come from the board, all of one moment; else
from the journal.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shardload.errors import JobError
from shardload.ipc import Board, Phase, Snapshot
from shardload.jobdir.directory import JobDirectory
from shardload.jobdir.journal import Journal
from shardload.jobs.owner import acting_for, become_owner
from shardload.model.counts import Counts, share_done
from shardload.model.wording import a_few_jobs
from shardload.process import ipc_namespace, is_alive, is_stopped
from shardload.reporting.progress import Meter, Progress
from shardload.reporting.summary import Summary, make_summary

RUNNING = ("starting", "running", "paused", "stopping")  # the states of a job that somebody runs
RESUMABLE = ("incomplete", "stopped", "failed", "died")


@dataclass(frozen=True)
class SlotStatus:
    """A slot, and the worker in it. `range` is the one in hand; `silent_s` is how old its last sign of life is."""

    slot: int
    pid: int
    doing: str
    range: int | None
    rows: int
    share: float
    silent_s: float


@dataclass(frozen=True)
class JobStatus:
    """One job, at one moment. `pid` is None unless the coordinator is a process here, `exit_code` unless it is told."""

    state: str
    pid: int | None
    started: str | None
    summary: Summary
    share: float
    eta_s: float | None = None
    rate: int | None = None
    workers: int = 0
    error: str | None = None
    troubles: list[str] = field(default_factory=list)
    slots: list[SlotStatus] = field(default_factory=list)
    retries: int = 0
    exit_code: int | None = None

    @property
    def is_running(self) -> bool:
        """True if somebody holds the job."""
        return self.state in RUNNING

    def as_json(self) -> dict[str, Any]:
        """The summary's names, and what is only known of a job that one looks at."""
        return {
            **self.summary.as_json(),
            "state": self.state,
            "pid": self.pid,
            "started": self.started,
            "share": round(self.share, 4),
            "eta_s": None if self.eta_s is None else round(self.eta_s, 1),
            "rate": self.rate,
            "error": self.error,
            "troubles": self.troubles,
            "slots": [dataclasses.asdict(slot) for slot in self.slots],
        }


def look(directory: JobDirectory) -> JobStatus:
    """The job as it is now. JobError or JournalError if its files cannot be read, JobForeign if it is another user's.
    Root looks as the job's owner."""
    with acting_for(directory):
        return _look(directory)


def _look(directory: JobDirectory) -> JobStatus:
    is_held = directory.is_locked()
    run = directory.read_run()
    is_there, shown = _read_board(run) if is_held else (False, None)
    if shown is not None and shown.standing.started_s:  # else nothing is written on it yet
        return _running(directory, run, shown)
    if directory.is_locked() != is_held:
        return _look(directory)  # it began or ended just now
    if is_held and run.get("ipc") and run.get("ipc_namespace") != ipc_namespace():
        elsewhere = "it runs in another IPC namespace (a container): ask there for its figures of this moment"
        return dataclasses.replace(_from_journal(directory, run, "running"), error=elsewhere)
    if not is_held:
        return _from_journal(directory, run, _end_of(run))
    pid = run["pid"] if is_alive(run.get("pid") or 0, run.get("start") or 0) else None
    is_beginning = "since" in (run.get("ipc") or {})  # its objects are being made
    winds_up = not is_there and not is_beginning and pid is not None
    is_half_written = is_there and shown is None
    state = "stopping" if winds_up else "running" if is_half_written else "starting"
    seen = _from_journal(directory, run, state)
    return dataclasses.replace(seen, pid=pid, error=_error_of(pid) or seen.error)


def the_job(state_dir: Path, name: str | None) -> JobDirectory:
    """The job of this name; without a name, the only one that runs. JobError, naming those there are, if there is no
    such job, or more than one. From here on root is the job's owner."""
    if name is not None:
        return become_owner(JobDirectory.find(state_dir, name))
    every = JobDirectory.all(state_dir)
    running = [directory for directory in every if _is_seen_running(directory)]
    if len(running) == 1:
        return become_owner(running[0])
    if running:
        raise JobError(f"{len(running)} jobs are running", f"name one: {a_few_jobs([job.name for job in running])}")
    known = f"name one of those that ended: {a_few_jobs([job.name for job in every])}" if every else "see --state-dir"
    raise JobError(f"no job is running in {state_dir}", known)


def _is_seen_running(directory: JobDirectory) -> bool:
    try:
        with acting_for(directory):
            return directory.is_locked()
    except JobError:
        return False  # another user's, perhaps: whoever means that one names it


def progress_of(status: JobStatus) -> Progress:
    """A status as a display wants it."""
    summary = status.summary
    return Progress(
        status.share, summary.rows_read, summary.rows_per_second, status.eta_s, len(status.slots), status.retries
    )


class Onlooker:
    """Somebody who looks at a job again and again. Rate and time left are then those of the last seconds.

    The first look, and a single `look`, has only the means since the run began, its pauses left out.
    """

    def __init__(self, directory: JobDirectory) -> None:
        self._directory = directory
        self._meter: Meter | None = None

    def look(self) -> JobStatus:
        """The job as it is now. JobError or JournalError if its files cannot be read."""
        seen = look(self._directory)
        now_s, rows = time.monotonic(), seen.summary.rows_read
        if self._meter is None or seen.state != "running":
            self._meter = Meter(now_s, rows, seen.share)  # what comes after a pause is measured from its end on
            return seen
        measured = self._meter.reading(now_s, rows, seen.share, workers=len(seen.slots), retries=seen.retries)
        summary = dataclasses.replace(seen.summary, rows_per_second=round(measured.rows_per_second, 1))
        return dataclasses.replace(seen, summary=summary, eta_s=measured.eta_s)


def _read_board(run: dict[str, Any]) -> tuple[bool, Snapshot | None]:
    """Whether the run's board is there, and what stands on it; None if it is half written."""
    recorded = run.get("ipc") or {}
    board = Board.attach(recorded["board"]["id"]) if "board" in recorded else None
    if board is None:
        return False, None
    try:
        if board.header().run_id != run["run_id"]:  # ids come back: is it this run's?
            return False, None
        return True, board.snapshot()
    finally:
        board.detach()


def _running(directory: JobDirectory, run: dict[str, Any], shown: Snapshot) -> JobStatus:
    now_s = time.monotonic()
    standing, counts = shown.standing, shown.counts()
    worked_s = standing.worked_s(now_s)
    in_hand = [(c.rows_read, held.estimated_rows) for slot in shown.slots for held, c in slot.in_hand()]
    share = share_done(
        standing.estimated_rows, standing.estimated_rows_done, in_hand,
        standing.ranges, standing.ranges_done + standing.ranges_set_aside,
    )  # fmt: skip
    gained = share - standing.share_before
    state = "stopping" if shown.is_stopping else "paused" if shown.is_paused else "running"
    retried = Journal(directory.journal_file).totals().ranges_retried
    summary = make_summary(
        directory.name, "incomplete", counts, (standing.ranges, standing.ranges_done, retried),
        standing.seconds_before + now_s - standing.started_s, run.get("encoder") or "", standing.workers,
    )  # fmt: skip
    rows_per_second = round((counts.rows_read - standing.rows_before) / worked_s, 1)
    return JobStatus(
        state=state,
        pid=run["pid"] if is_alive(run["pid"], run["start"]) else None,
        started=run.get("started"),
        summary=dataclasses.replace(summary, rows_per_second=rows_per_second),
        share=share,
        eta_s=(1 - share) * worked_s / gained if gained > 0 and state == "running" else None,
        rate=int(shown.rate_rows) or None,
        workers=standing.workers,
        error=_error_of(run["pid"]),
        troubles=run.get("troubles") or [],
        slots=_slots(shown, now_s),
        retries=standing.retries,
    )


def _error_of(coordinator: int | None) -> str | None:
    return "the coordinator is stopped (SIGSTOP): kill -CONT it" if coordinator and is_stopped(coordinator) else None


def _slots(shown: Snapshot, now_s: float) -> list[SlotStatus]:
    found = []
    for number, slot in enumerate(shown.slots):
        if not slot.worker.pid:
            continue
        doing = "stopped by a signal" if is_stopped(slot.worker.pid) else _WORDS[slot.worker.phase]
        held, counts = slot.newest()
        rows = counts.rows_read
        share = min(1.0, rows / held.estimated_rows) if held and held.estimated_rows else 0.0
        silent_s = round(max(0.0, now_s - slot.worker.heartbeat_s), 1)
        found.append(
            SlotStatus(number, slot.worker.pid, doing, held.range_id if held else None, rows, round(share, 3), silent_s)
        )
    return found


_WORDS = {
    Phase.NONE: "starting",
    Phase.IDLE: "waiting for a range",
    Phase.CONNECTING: "connecting",
    Phase.READING: "reading MySQL",
    Phase.WRITING: "writing Redis",
    Phase.HELD_BACK: "held back by the rate limit",
}


def _end_of(run: dict[str, Any]) -> str:
    """How a job that nobody holds has ended."""
    outcome = run.get("outcome")
    if outcome:
        return str(outcome["status"])
    return "died"  # also before its first run could say anything


def _from_journal(directory: JobDirectory, run: dict[str, Any], state: str) -> JobStatus:
    outcome = run.get("outcome") or {}
    encoder, workers = run.get("encoder") or "", outcome.get("workers", 0)
    if not directory.journal_file.exists():
        summary = make_summary(directory.name, "incomplete", Counts(), (0, 0, 0), 0.0, encoder, workers)
        return JobStatus(state, run.get("pid"), run.get("started"), summary, 0.0)
    totals = Journal(directory.journal_file).totals()
    status = outcome.get("status", "incomplete")
    summary = make_summary(
        directory.name, status, totals.counts, (totals.ranges, totals.ranges_done, totals.ranges_retried),
        totals.seconds, encoder, workers,
    )  # fmt: skip
    told = {name: outcome[name] for name in ("rows_unfinished", "rows_unfinished_exact") if name in outcome}
    summary = dataclasses.replace(summary, rows_lost=totals.rows_lost, **told)
    share = share_done(
        totals.estimated_rows, totals.estimated_rows_done, [], totals.ranges,
        totals.ranges_done + totals.ranges_set_aside,
    )  # fmt: skip
    return JobStatus(
        state=state,
        pid=None,
        started=run.get("started"),
        summary=summary,
        share=share,
        workers=workers,
        error=outcome.get("error"),
        troubles=run.get("troubles") or [],
        exit_code=outcome.get("exit_code"),
    )
