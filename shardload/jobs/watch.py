"""Looking at jobs: the list, one job's status, live bars, the log, the failures. Changes nothing."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TextIO

from shardload.config.environment import state_dir_from
from shardload.errors import (
    EXIT_CANNOT_START,
    EXIT_COMPLETE,
    EXIT_DIFFERENCES,
    EXIT_SIGNAL_BASE,
    EXIT_WITH_FAILURES,
    JobError,
    JobForeign,
    ShardloadError,
)
from shardload.files.ownfile import open_own
from shardload.jobdir.directory import JobDirectory
from shardload.jobdir.journal import Journal
from shardload.jobs.status import Onlooker, look, the_job
from shardload.model.differences import CHECKS
from shardload.model.jobname import verify_name
from shardload.model.printable import printable
from shardload.reporting.differences import difference_json, difference_line
from shardload.reporting.output import clear_screen, echo, echo_text
from shardload.reporting.text import listing_line, status_lines

_WATCH_EVERY_S = 1.0
_ATTACH_EVERY_S = 0.25
_FOLLOW_EVERY_S = 0.2
_EXIT_CODES = {  # of a job that has not told its own
    "complete": EXIT_COMPLETE, "incomplete": EXIT_WITH_FAILURES, "failed": EXIT_CANNOT_START,
    "different": EXIT_DIFFERENCES, "died": EXIT_CANNOT_START, "stopped": EXIT_SIGNAL_BASE + 15,
}  # fmt: skip


def list_jobs(state_dir: Path | None, *, as_json: bool) -> None:
    """Print a line for each job, or a JSON object a line. A job that cannot be looked at is `damaged` or `foreign`."""
    state_dir = state_dir_from(state_dir)
    every = [*JobDirectory.all(state_dir), *JobDirectory.foreign(state_dir)]
    for directory in sorted(every, key=lambda one: one.name):
        try:
            facts = look(directory)
        except ShardloadError as error:
            state = "foreign" if isinstance(error, JobForeign) else "damaged"
            line = f"{directory.name:<32} {state:<11} {error}"
            echo(json.dumps({"job": directory.name, "state": state, "error": str(error)}) if as_json else line)
            continue
        echo(json.dumps(facts.as_json()) if as_json else listing_line(facts))


def show_status(state_dir: Path | None, job: str | None, *, as_json: bool, watch: bool) -> None:
    """Print a job's facts, with `watch` every second until it ends. Without a name: the only job that runs."""
    onlooker = Onlooker(the_job(state_dir_from(state_dir), job))
    while True:
        seen = onlooker.look()
        if watch:
            clear_screen()
        echo(*([json.dumps(seen.as_json())] if as_json else status_lines(seen)))
        if not watch or not seen.is_running:
            return
        time.sleep(_WATCH_EVERY_S)


def attach(state_dir: Path | None, job: str | None) -> int:
    """Show live bars until the job ends, or until Ctrl-C, which leaves the job alone. The result is the exit code: the
    job's own, if it ended."""
    from shardload.reporting.terminal import AttachedBars  # here: only this needs tqdm

    directory = the_job(state_dir_from(state_dir), job)
    onlooker = Onlooker(directory)
    seen = onlooker.look()
    if seen.is_running:
        bars = AttachedBars(sys.stderr)
        try:
            while seen.is_running:
                bars.show(seen.progress(), seen.slots)
                time.sleep(_ATTACH_EVERY_S)
                seen = onlooker.look()
        except KeyboardInterrupt:
            bars.close()
            echo(f"the job goes on: shardload attach {directory.name}", err=True)
            return EXIT_COMPLETE
        bars.show(seen.progress(), [])
        bars.close()
    echo(*status_lines(seen))
    return _EXIT_CODES.get(seen.state, EXIT_CANNOT_START) if seen.exit_code is None else seen.exit_code


def show_log(state_dir: Path | None, job: str | None, *, follow: bool) -> None:
    """Print a job's log; with `follow` go on until the job ends, in the new file after a rotation."""
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


def list_failures(state_dir: Path | None, job: str | None) -> None:
    """Print the rows that a job could not load: primary key, tabulator, reason."""
    directory = the_job(state_dir_from(state_dir), job)
    for failure in Journal(directory.journal_file).failures():
        echo(f"{printable(failure.key)}\t{printable(failure.reason)}")


def list_differences(state_dir: Path | None, job: str | None, *, as_json: bool) -> None:
    """Print the keys that a verify has found different; of an import, those of its verify. JobError if it has none."""
    directory = the_job(state_dir_from(state_dir), job)
    journal = Journal(directory.journal_file)
    if not journal.fact(CHECKS, {}):
        journal = Journal(JobDirectory.find(directory.path.parent, verify_name(directory.name)).journal_file)
    for one in journal.differences():
        echo(json.dumps(difference_json(one)) if as_json else difference_line(one))


def _opened(log_file: Path) -> TextIO:
    return os.fdopen(open_own(log_file, os.O_RDONLY), encoding="utf-8", errors="surrogateescape", newline="\n")


def _opened_anew(log_file: Path, file: TextIO) -> TextIO | None:
    """The file that has the log's name now, if it is another one: logrotate has moved the old one away."""
    try:
        is_same = os.path.samestat(log_file.stat(), os.fstat(file.fileno()))
        return None if is_same else _opened(log_file)
    except FileNotFoundError:
        return None  # it comes with the next line
