"""What can be said of a job from outside: from its directory, its journal, its lock and its board. Changes nothing.

A job runs if, and only if, a process holds its lock. The figures of a running job come from the board, all of one
moment; else they come from the journal.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from shardload.errors import JobError, ShardloadError
from shardload.ipc import Board, Phase, Snapshot
from shardload.jobdir.directory import JobDirectory
from shardload.jobdir.journal import Journal
from shardload.jobdir.machines import MachineRecord, read_machines
from shardload.jobdir.runfile import RunRecord
from shardload.jobs.owner import acting_for, become_owner
from shardload.model.counts import share_done
from shardload.model.differences import CHECKS, EXTRA_FACT
from shardload.model.shared import SHARED, Shared
from shardload.model.wording import a_few_jobs
from shardload.process import ipc_namespace, is_alive, is_stopped
from shardload.reporting.facts import RESUMABLE, RUNNING, SEARCHING, JobFacts, SlotFacts, settled_facts
from shardload.reporting.progress import Meter

_DOING = {
    Phase.NONE: "starting",
    Phase.IDLE: "waiting for a range",
    Phase.CONNECTING: "connecting",
    Phase.READING: "reading MySQL",
    Phase.WRITING: "writing Redis",
    Phase.HELD_BACK: "held back by the rate limit",
    Phase.COMPARING: "reading Redis",
}


def look(directory: JobDirectory) -> JobFacts:
    """The job as it is now. JobError or JournalError if its files cannot be read, JobForeign if it is another user's.
    Root looks as the job's owner."""
    with acting_for(directory):
        return _look(directory)


def _look(directory: JobDirectory) -> JobFacts:
    is_held = directory.is_locked()
    run = directory.read_run()
    is_there, shown = _read_board(run) if is_held else (False, None)
    if shown is not None and shown.run_state.started_s:  # else nothing is written on it yet
        return _running(directory, run, shown)
    if directory.is_locked() != is_held:
        return _look(directory)  # it began or ended just now
    if is_held and run.ipc and run.ipc_namespace != ipc_namespace():
        elsewhere = "it runs in another IPC namespace (a container): ask there for its figures of this moment"
        return dataclasses.replace(_from_journal(directory, run, "running"), error=elsewhere)
    if not is_held:
        state = run.outcome.status if run.outcome else "died"  # also if its first run never said anything
        return _from_journal(directory, run, state)
    pid = _live_coordinator(run)
    is_ending = not is_there and not run.is_beginning and pid is not None
    is_half_written = is_there and shown is None
    ending = SEARCHING if run.phase == SEARCHING and run.outcome is None else "stopping"
    state = ending if is_ending else "running" if is_half_written else "starting"
    seen = _from_journal(directory, run, state)
    return dataclasses.replace(seen, pid=pid, error=_error_of(pid) or seen.error)


def the_job(state_dir: Path, name: str | None) -> JobDirectory:
    """The job of this name; without a name, the only one that runs. JobError, naming the jobs there are, if there is no
    such job, or more than one. From here on root is the job's owner."""
    if name is not None:
        return become_owner(JobDirectory.find(state_dir, name))
    every = JobDirectory.all(state_dir)
    running = [directory for directory in every if _is_seen_running(directory)]
    if len(running) == 1:
        return become_owner(running[0])
    if running:
        raise JobError(f"{len(running)} jobs are running", f"name one: {a_few_jobs([job.name for job in running])}")
    known = f"name one of those that ended: {a_few_jobs([job.name for job in every])}" if every else "check --state-dir"
    raise JobError(f"no job is running in {state_dir}", known)


def job_names(state_dir: Path, beginning: str, which: Literal["all", "running", "resumable"]) -> list[str]:
    """The names of these jobs that begin so. Jobs that cannot be looked at are left out, unless all are wanted."""

    def fits(directory: JobDirectory) -> bool:
        try:
            return look(directory).state in (RUNNING if which == "running" else RESUMABLE)
        except ShardloadError:
            return False

    try:
        found = JobDirectory.all(state_dir)
    except ShardloadError:
        return []
    begun = [directory for directory in found if directory.name.startswith(beginning)]
    return [directory.name for directory in begun if which == "all" or fits(directory)]


def _is_seen_running(directory: JobDirectory) -> bool:
    try:
        with acting_for(directory):
            return directory.is_locked()
    except JobError:
        return False  # perhaps it is another user's: whoever means that one names it


class Onlooker:
    """Looks at a job again and again. Rate and time left are then those of the last seconds.

    The first look, and a single `look`, has only the means since the run began, its pauses left out.
    """

    def __init__(self, directory: JobDirectory) -> None:
        self._directory = directory
        self._meter: Meter | None = None

    def look(self) -> JobFacts:
        """The job as it is now. JobError or JournalError if its files cannot be read."""
        seen = look(self._directory)
        now_s, rows = time.monotonic(), seen.counts.rows_read
        if self._meter is None or seen.state != "running":
            self._meter = Meter(now_s, rows, seen.share)  # after a pause, measuring begins anew
            return seen
        measured = self._meter.reading(now_s, rows, seen.share, workers=len(seen.slots), retries=seen.retries)
        return dataclasses.replace(seen, rows_per_second=measured.rows_per_second, eta_s=measured.eta_s)


def _read_board(run: RunRecord) -> tuple[bool, Snapshot | None]:
    """Whether the run's board is there, and what is written on it; None if it is half written."""
    board = None if run.board_id is None else Board.attach(run.board_id)
    if board is None:
        return False, None
    try:
        if board.header().run_id != run.run_id:  # the kernel uses ids again: this is another run's
            return False, None
        return True, board.snapshot()
    finally:
        board.detach()


def _running(directory: JobDirectory, run: RunRecord, shown: Snapshot) -> JobFacts:
    now_s = time.monotonic()
    run_state, counts = shown.run_state, shown.counts()
    worked_s = run_state.worked_s(now_s)
    in_hand = [(c.rows_read, held.estimated_rows) for slot in shown.slots for held, c in slot.in_hand()]
    share = share_done(
        in_hand,
        estimated_rows=run_state.estimated_rows,
        estimated_done=run_state.estimated_rows_done,
        ranges=run_state.ranges,
        ranges_done=run_state.ranges_done + run_state.ranges_set_aside,
    )
    gained = share - run_state.share_before
    state = "stopping" if shown.is_stopping else "paused" if shown.is_paused else "running"
    journal = Journal(directory.journal_file)
    facts = JobFacts(
        job=directory.name,
        state=state,
        counts=counts,
        ranges=run_state.ranges,
        ranges_done=run_state.ranges_done,
        ranges_retried=journal.totals().ranges_retried,
        seconds=run_state.seconds_before + now_s - run_state.started_s,
        rows_per_second=(counts.rows_read - run_state.rows_before) / worked_s,
        encoder=run.encoder,
        target=run.target,
        workers=run_state.workers,
        share=share,
        pid=_live_coordinator(run),
        started=run.started,
        eta_s=(1 - share) * worked_s / gained if gained > 0 and state == "running" else None,
        rate=int(shown.rate_rows) or None,
        error=_error_of(run.pid),
        troubles=run.troubles,
        slots=_slots(shown, now_s, {one.slot: one for one in read_machines(directory.path) if one.is_claimed}),
        retries=run_state.retries,
    )
    return with_checks(facts, journal)


def with_checks(facts: JobFacts, journal: Journal) -> JobFacts:
    """The facts, with what a verify has found."""
    checks = journal.fact(CHECKS, {})
    if not checks:
        return facts
    return dataclasses.replace(
        facts,
        kind="verify",
        sample=checks.get("sample", 1.0),
        knows_extra=bool(journal.fact(EXTRA_FACT, {}).get("is_known")),
        differences=journal.difference_totals(),
    )


def _live_coordinator(run: RunRecord) -> int | None:
    return run.pid if run.pid and is_alive(run.pid, run.start or 0) else None


def _error_of(coordinator: int | None) -> str | None:
    return "the coordinator is stopped (SIGSTOP): kill -CONT it" if coordinator and is_stopped(coordinator) else None


def _slots(shown: Snapshot, now_s: float, machines: Mapping[int, MachineRecord]) -> list[SlotFacts]:
    found = []
    for number, slot in enumerate(shown.slots):
        if not slot.worker.pid:
            continue
        held, counts = slot.current()
        machine = machines.get(number)
        rows = machine.rows if machine else counts.rows_read
        share = min(1.0, counts.rows_read / held.estimated_rows) if held and held.estimated_rows else 0.0
        found.append(
            SlotFacts(
                slot=number,
                pid=slot.worker.pid,
                doing="stopped by a signal" if is_stopped(slot.worker.pid) else _DOING[slot.worker.phase],
                range=held.range_id if held else None,
                rows=rows,
                share=round(share, 3),
                silent_s=round(max(0.0, now_s - slot.worker.heartbeat_s), 1),
                machine=machine.name if machine else "",
            )
        )
    return found


def _from_journal(directory: JobDirectory, run: RunRecord, state: str) -> JobFacts:
    outcome = run.outcome
    workers = outcome.workers if outcome else 0
    if not directory.journal_file.exists():
        return JobFacts(directory.name, state, encoder=run.encoder, workers=workers, pid=run.pid, started=run.started)
    journal = Journal(directory.journal_file)
    totals, shared = journal.totals(), Shared.from_json(journal.fact(SHARED, {}))
    facts = settled_facts(directory.name, state, totals, encoder=run.encoder, target=run.target, workers=workers)
    troubles = (*run.troubles, shared.told) if shared.told else run.troubles
    facts = dataclasses.replace(facts, started=run.started, troubles=troubles, keys_shared=shared.keys)
    facts = with_checks(facts, journal)
    if outcome is None:
        return facts
    return dataclasses.replace(
        facts,
        rows_unfinished=outcome.rows_unfinished,
        rows_unfinished_exact=outcome.rows_unfinished_exact,
        error=outcome.error,
        exit_code=outcome.exit_code,
    )
