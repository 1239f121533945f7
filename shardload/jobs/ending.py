"""What a person is told at the end of a job that ran in the foreground, and how to go on with one."""

from __future__ import annotations

import json
import shlex
import sys
from contextlib import suppress

from shardload.config import environment, spec
from shardload.errors import Hopeless, ShardloadError, StoppedBySignal
from shardload.jobs.execute import exit_code_of
from shardload.jobs.prepare import Job
from shardload.model.printable import printable
from shardload.reporting.differences import difference_line
from shardload.reporting.display import silence_if_dead
from shardload.reporting.facts import JobFacts
from shardload.reporting.output import echo
from shardload.reporting.text import summary_lines

MOST_SHOWN = 100  # differences


def tell_end(job: Job, facts: JobFacts, stopped: ShardloadError | None) -> int:
    """Tell what became of a job: its summary, and what to do next. The result is the exit code."""
    if job.spec.json_summary:
        tell(json.dumps(facts.summary_json()))
    elif facts.is_verify:
        tell(*_difference_lines(job, facts))
    tell(*summary_lines(facts, printable(job.choice.reason)), err=job.spec.json_summary)
    if facts.shared:
        tell(f"warning: {facts.shared}", err=True)
    if stopped is not None:
        if not isinstance(stopped, StoppedBySignal):
            tell(f"shardload: {' '.join(str(stopped).split())}", err=True)
        if not isinstance(stopped, Hopeless):  # its own text says what to do first
            tell(f"to go on: {resume_command(job)}", err=True)
    elif facts.status == "incomplete":
        if facts.counts.rows_failed:
            tell(f"{facts.counts.rows_failed:,} rows failed; to see them: shardload failures {facts.job}", err=True)
        if facts.rows_lost:
            tell(
                f"the table has lost about {facts.rows_lost:,} rows since it was planned (deleted, truncated or "
                f"exchanged): shardload failures {facts.job} lists the ranges; if the table is right, start a new job",
                err=True,
            )
    return exit_code_of(facts, stopped)


def _difference_lines(job: Job, facts: JobFacts) -> list[str]:
    """The first differences, and how to see the others."""
    lines = [difference_line(one) for one in job.journal.differences(MOST_SHOWN)]
    job.journal.close()
    if facts.differences.keys > len(lines):
        lines.append(
            f"... and {facts.differences.keys - len(lines):,} more; all of them: shardload differences {facts.job}"
        )
    return lines


def tell(*lines: str, err: bool = False) -> None:
    """Print what became of a job, if the stream can be written. If its reader left, or the disk under it is full, the
    exit code is still the job's own."""
    stream = sys.stderr if err else sys.stdout
    silence_if_dead(stream)
    try:
        echo(*lines, file=stream)
    except OSError as error:
        with suppress(OSError):
            echo(f"shardload: cannot write to {stream.name}: {error.strerror}", err=True)


def state_dir_words(job: Job) -> list[str]:
    if environment.state_dir_from(None) == job.spec.state_dir:
        return []
    return ["--state-dir", shlex.quote(str(job.spec.state_dir))]


def resume_command(job: Job) -> str:
    words = ["shardload", "resume", job.directory.name, *state_dir_words(job)]
    for name in spec.passwords_to_repeat(job.spec):
        words += [f"--{name}", "URL"]
    hint = " (with the URL again: its password is not stored)" if "URL" in words else ""
    return " ".join(words) + hint
