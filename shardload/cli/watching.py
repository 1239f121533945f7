"""`jobs`, `status`, `attach`, `log`, `failures`: looking at jobs, changing nothing. Light: they answer at once."""

from __future__ import annotations

import json as json_
import os
import sys
import time
from pathlib import Path
from typing import TextIO

import click

from shardload.cli.options import one_job, running_job, state_only
from shardload.cli.output import echo, echo_text
from shardload.config.environment import state_dir_from
from shardload.errors import (
    EXIT_CANNOT_START,
    EXIT_COMPLETE,
    EXIT_SIGNAL_BASE,
    EXIT_WITH_FAILURES,
    JobError,
    JobForeign,
    ShardloadError,
)
from shardload.files.ownfile import open_own
from shardload.jobdir.directory import JobDirectory
from shardload.jobdir.journal import Journal
from shardload.jobs.status import JobStatus, Onlooker, SlotStatus, look, progress_of, the_job
from shardload.model.printable import printable
from shardload.model.wording import duration

_WATCH_EVERY_S = 1.0
_ATTACH_EVERY_S = 0.25
_FOLLOW_EVERY_S = 0.2
_EXIT_CODES = {  # where the job could not say its own
    "complete": EXIT_COMPLETE, "incomplete": EXIT_WITH_FAILURES, "failed": EXIT_CANNOT_START,
    "died": EXIT_CANNOT_START, "stopped": EXIT_SIGNAL_BASE + 15,
}  # fmt: skip


@click.command()
@click.option("--json", is_flag=True, help="One JSON object a line.")
@state_only
def jobs(state_dir: Path | None, json: bool) -> int:
    """List all jobs: running, finished, stopped, died.

    A job runs if a process holds its lock; one that nobody holds and that never said how it ended has died. One whose
    files cannot be understood is damaged, one of another user foreign: of these no more is known.
    """
    for directory in _every_job(state_dir_from(state_dir)):
        try:
            status = look(directory)
        except ShardloadError as error:
            state = "foreign" if isinstance(error, JobForeign) else "damaged"
            line = f"{directory.name:<32} {state:<11} {error}"
            echo(json_.dumps({"job": directory.name, "state": state, "error": str(error)}) if json else line)
            continue
        if json:
            echo(json_.dumps(status.as_json()))
        else:
            pid = f"process {status.pid}" if status.pid else ""
            share = f"{int(status.share * 1000) / 10:.1f}%"
            rows = f"{status.summary.rows_read:,} rows"
            echo(f"{directory.name:<32} {status.state:<11} {share:>6}  {rows:>18}  {pid}".rstrip())
    return EXIT_COMPLETE


@click.command()
@one_job
@click.option("--json", is_flag=True, help="One JSON object: the summary's names, and state, pid, eta_s, slots ...")
@click.option(
    "--watch", is_flag=True, help="Again every second, until the job ends; rate and time left of the last seconds."
)
def status(job: str | None, state_dir: Path | None, json: bool, watch: bool) -> int:
    """Tell how a job is, running or not. JOB: by default the only one that runs."""
    directory = the_job(state_dir_from(state_dir), job)
    onlooker = Onlooker(directory)
    while True:
        seen = onlooker.look()
        if watch and sys.stdout.isatty():
            click.clear()
        echo(*([json_.dumps(seen.as_json())] if json else _lines(seen)))
        if not watch or not seen.is_running:
            return EXIT_COMPLETE
        time.sleep(_WATCH_EVERY_S)


@click.command()
@running_job
def attach(job: str | None, state_dir: Path | None) -> int:
    """Watch a running job: a bar for all of it, and one for each worker. Ctrl-C leaves the job alone.

    When the job ends, so does this, with its exit code.
    """
    from shardload.reporting.terminal import AttachedBars, SlotProgress

    directory = the_job(state_dir_from(state_dir), job)
    onlooker = Onlooker(directory)
    seen = onlooker.look()
    if seen.is_running:
        bars = AttachedBars(sys.stderr)
        try:
            while seen.is_running:
                slots = [SlotProgress(one.slot, _slot_words(one), one.share) for one in seen.slots]
                bars.show(progress_of(seen), slots)
                time.sleep(_ATTACH_EVERY_S)
                seen = onlooker.look()
        except KeyboardInterrupt:
            bars.close()
            echo(f"the job goes on: shardload attach {directory.name}", err=True)
            return EXIT_COMPLETE
        bars.show(progress_of(seen), [])
        bars.close()
    echo(*_lines(seen))
    return _EXIT_CODES.get(seen.state, EXIT_CANNOT_START) if seen.exit_code is None else seen.exit_code


@click.command()
@one_job
@click.option("--follow", "-f", is_flag=True, help="Go on until the job ends.")
def log(job: str | None, state_dir: Path | None, follow: bool) -> int:
    """Show a job's log."""
    directory = the_job(state_dir_from(state_dir), job)
    try:
        file = _opened(directory.log_file)
    except FileNotFoundError:
        raise JobError(f"job {directory.name} has no log yet", f"see: shardload status {directory.name}") from None
    while True:
        is_over = not directory.is_locked()  # asked before the last reading: nothing is missed
        echo_text(file.read())
        if not follow:
            break
        if newer := _opened_anew(directory.log_file, file):
            echo_text(file.read())  # what came between the last reading and the new file
            file.close()
            file = newer
        elif is_over:
            break
        else:
            time.sleep(_FOLLOW_EVERY_S)
    file.close()
    return EXIT_COMPLETE


def _opened(log_file: Path) -> TextIO:
    return os.fdopen(open_own(log_file, os.O_RDONLY), encoding="utf-8", errors="surrogateescape", newline="\n")


def _opened_anew(log_file: Path, file: TextIO) -> TextIO | None:
    """What bears the name now, if that is another file (logrotate has moved the old one away)."""
    try:
        is_same = os.path.samestat(log_file.stat(), os.fstat(file.fileno()))
        return None if is_same else _opened(log_file)
    except FileNotFoundError:
        return None  # it comes with the next line


@click.command()
@one_job
def failures(job: str | None, state_dir: Path | None) -> int:
    """List the rows that a job could not load: primary key, and reason."""
    directory = the_job(state_dir_from(state_dir), job)
    for failure in Journal(directory.journal_file).failures():
        echo(f"{printable(failure.key)}\t{printable(failure.reason)}")
    return EXIT_COMPLETE


def _every_job(state_dir: Path) -> list[JobDirectory]:
    found = [*JobDirectory.all(state_dir), *JobDirectory.foreign(state_dir)]
    return sorted(found, key=lambda directory: directory.name)


def _lines(seen: JobStatus) -> list[str]:
    summary = seen.summary
    pid = f", process {seen.pid}" if seen.pid else ""
    since = f", started {seen.started}" if seen.started else ""
    lines = [f"job {summary.job}: {seen.state}{pid}{since}"]
    share = f"{int(seen.share * 1000) / 10:.1f}% of the plan, " if seen.is_running else ""
    lines.append(
        f"  {share}{summary.rows_read:,} rows read = {summary.keys_written:,} keys written"
        f" + {summary.rows_skipped:,} skipped + {summary.rows_failed:,} failed"
    )
    lines.append(
        f"  {summary.ranges_done:,} of {summary.ranges:,} ranges done, "
        f"{summary.ranges_retried:,} needed more than one try"
    )
    lines += summary.unfinished_text().splitlines()
    left = f", about {duration(seen.eta_s, roughly=True)} left" if seen.eta_s is not None else ""
    limit = f", at most {seen.rate:,} rows/s" if seen.rate else ""
    lines.append(f"  {duration(summary.seconds)}, {summary.rows_per_second:,.0f} rows/s{left}{limit}")
    if seen.is_running and seen.workers:
        lines.append(f"  {len(seen.slots)} of {seen.workers} workers")
    for one in seen.slots:
        lines.append(f"    #{one.slot} process {one.pid}: {_slot_words(one)}")
    lines += [f"  trouble: {text}" for text in seen.troubles]
    if seen.state == "died":
        lines.append(f"  its last words: shardload log {summary.job}")
    if seen.error:
        lines.append(f"  {' '.join(seen.error.split())}")
    return lines


def _slot_words(one: SlotStatus) -> str:
    range_ = f", range {one.range}: {one.rows:,} rows" if one.range else ""
    silent = f", no sign of life for {duration(one.silent_s, roughly=True)}" if one.silent_s >= 5 and one.range else ""
    return f"{one.doing}{range_}{silent}"
