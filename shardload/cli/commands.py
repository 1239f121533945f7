"""`run`, `resume`, `plan`, `verify`, `failures`."""

from __future__ import annotations

import json as json_
import logging
from pathlib import Path
from typing import Any

import click

from shardload import job as jobs
from shardload import source, spec
from shardload.cli.options import existing_job, job_and_servers, job_only, whole_spec
from shardload.coordinator import STOP_SIGNALS
from shardload.display import make_display
from shardload.encoding import is_native_built
from shardload.errors import EXIT_COMPLETE, EXIT_DIFFERENCES, EXIT_WITH_FAILURES, StoppedBySignal
from shardload.jobdir import JobDirectory
from shardload.journal import Journal
from shardload.process import stop_by_exception
from shardload.target import TargetConnection
from shardload.verify import MOST_SHOWN
from shardload.verify import verify as compare_all

_FILE = click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path), metavar="[JOB.TOML]")


@click.command()
@_FILE
@whole_spec
def run(file: Path | None, **flags: Any) -> int:
    """Import a table: every row becomes a Redis hash.

    JOB.TOML says the same as the flags (range-rows = 50000); flags win over the file, the file over the
    environment.

    \b
    shardload run --mysql mysql://reader:secret@db1/app --table user \\
                  --redis redis://cache/0 --key 'user:{id}' --workers 4
    """
    with stop_by_exception(STOP_SIGNALS):
        wanted = spec.load(flags, file)
        ready = jobs.begin(wanted)
    return _load(ready)


@click.command()
@click.argument("job")
@existing_job
def resume(job: str, state_dir: Path | None, **flags: Any) -> int:
    """Go on with a job that was stopped or died: load what its journal does not have.

    Rows that were set aside are tried again. Passwords are not stored: a URL that had one is given again,
    by flag or environment.
    """
    with stop_by_exception(STOP_SIGNALS):
        ready = jobs.reopen(spec.state_dir_from(state_dir), job, flags)
        retried = ready.journal.reopen_failures()
        gone = ready.journal.reopen_other_lives(ready.target.life)
    if retried:
        click.echo(f"trying the {retried} ranges again that had failures", err=True)
    if gone:
        click.echo(f"Redis was restarted since: loading {gone} ranges again that it had confirmed", err=True)
    return _load(ready)


@click.command()
@_FILE
@whole_spec
def plan(file: Path | None, **flags: Any) -> int:
    """Show what `run` with the same flags would do, and change nothing."""
    wanted = spec.load(flags, file)
    connection = source.connect(wanted.mysql)
    try:
        subject = jobs.examine(connection, wanted)
        ranges = jobs.plan(connection, wanted, subject)
        estimate = source.TableKeys(connection, wanted.table, subject.key_column).table_rows()
        first = jobs.first_key(connection, wanted, subject, ranges)
    finally:
        source.abandon(connection)
    click.echo(f"table {wanted.table} on {wanted.mysql}: about {estimate:,} rows (an estimate), {len(ranges):,} ranges")
    if ranges:
        click.echo(f"primary key {subject.key_column}: {ranges[0].keys.low} to {ranges[-1].keys.high - 1}")
    if not subject.table.identifies_row(subject.template.columns):
        click.echo(
            "warning: the key's columns are not unique in the table: several rows may get the same key", err=True
        )
    if first is not None:
        key, fields = first
        click.echo(f"first key: {'(none: a column of it is NULL)' if key is None else _shown(key)}")
        for name, value in fields:
            click.echo(f"  {_shown(name)} = {_shown(value)}")
    return EXIT_COMPLETE


@click.command()
@click.argument("job")
@job_and_servers
def verify(job: str, state_dir: Path | None, **flags: Any) -> int:
    """Compare every row of a job's table with its key, byte for byte. Exit code 4 if any differs."""
    directory = JobDirectory.find(spec.state_dir_from(state_dir), job)
    wanted, journal = jobs.stored_job(directory, flags)
    connection = source.connect(wanted.mysql)
    subject = jobs.examine(connection, wanted)
    jobs.check_unchanged(job, "table", journal.fact("table"), subject.description())
    journal.close()
    target = TargetConnection(wanted.redis)
    found = compare_all(connection, target, wanted.table, subject.key_column, subject.layout)
    for line in found.shown:
        click.echo(line)
    if found.total > len(found.shown):
        click.echo(f"... and {found.total - len(found.shown):,} more (the first {MOST_SHOWN} are shown)")
    click.echo(
        f"{found.rows_compared:,} rows compared: {found.missing:,} missing, {found.different:,} different, "
        f"{found.other_type:,} of another type, {found.rows_without_key:,} rows that make no key"
    )
    return EXIT_DIFFERENCES if found.total else EXIT_COMPLETE


@click.command()
@click.argument("job")
@job_only
def failures(job: str, state_dir: Path | None) -> int:
    """List the rows that a job could not load: primary key, and reason."""
    directory = JobDirectory.find(spec.state_dir_from(state_dir), job)
    for failure in Journal(directory.journal_file).failures():
        click.echo(f"{failure.key}\t{failure.reason}")
    return EXIT_COMPLETE


_NOT_BUILT = (
    "note: the compiled encoder is not part of this installation; the Python one takes about six times its CPU "
    "for a row (install a C compiler and Python's headers, and install shardload again)"
)
ALL = (run, resume, plan, verify, failures)


def _load(ready: jobs.Job) -> int:
    wanted = ready.spec
    if wanted.verbose:
        logging.getLogger("shardload").addHandler(logging.StreamHandler())
    if not ready.subject.table.identifies_row(ready.subject.template.columns):
        click.echo(
            "warning: the key's columns are not unique in the table: several rows may get the same key", err=True
        )
    if not is_native_built() and wanted.encoder == "auto":
        click.echo(_NOT_BUILT, err=True)
    display = make_display(wanted.progress)
    summary, stopped = jobs.load(ready, wanted.workers, display)
    if wanted.json_summary:
        click.echo(json_.dumps(summary.as_json()))
    click.echo(summary.as_text(ready.choice.reason), err=wanted.json_summary)
    if stopped is not None:
        if not isinstance(stopped, StoppedBySignal):
            click.echo(f"shardload: {' '.join(str(stopped).split())}", err=True)
        click.echo(f"to go on: {_resume_command(ready)}", err=True)
        return stopped.exit_code
    if summary.status == "incomplete":
        name = ready.directory.name
        click.echo(f"{summary.rows_failed:,} rows failed; to see them: shardload failures {name}", err=True)
        return EXIT_WITH_FAILURES
    return EXIT_COMPLETE


def _resume_command(ready: jobs.Job) -> str:
    words = ["shardload", "resume", ready.directory.name]
    if spec.state_dir_from(None) != ready.spec.state_dir:
        words += ["--state-dir", str(ready.spec.state_dir)]
    for name in spec.passwords_to_repeat(ready.spec):
        words += [f"--{name}", "URL"]
    hint = " (with the URL again: its password is not stored)" if "URL" in words else ""
    return " ".join(words) + hint


def _shown(value: bytes) -> str:
    text = value.decode("utf-8", "backslashreplace")
    return text if text.isprintable() and len(text) <= 200 else repr(text[:200]) + ("..." if len(text) > 200 else "")
