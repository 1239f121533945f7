"""`run`, `resume`, `plan`."""

from __future__ import annotations

import json as json_
import shlex
import sys
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from shardload import source
from shardload.cli.completion import job_names
from shardload.cli.options import background, existing_job, whole_spec
from shardload.cli.output import echo
from shardload.config import environment, spec
from shardload.encoding import is_native_built
from shardload.errors import (
    EXIT_COMPLETE,
    Hopeless,
    ShardloadError,
    SpecError,
    StoppedBySignal,
)
from shardload.files.ownfile import who_else_writes
from shardload.jobdir.log import show_log
from shardload.jobs import prepare as jobs
from shardload.jobs.execute import Frame, exit_code_of, load
from shardload.model.orders import CONTROL_SIGNALS, STOP_SIGNALS, Limits
from shardload.model.printable import printable, shown_bytes
from shardload.process import Readiness, ServiceManager, SignalInbox, has_terminal, launch, stop_by_exception
from shardload.reporting.display import LogDisplay, ServiceDisplay, silence_if_dead
from shardload.reporting.summary import Summary
from shardload.reporting.terminal import make_display

_MOST_SHOWN_BYTES = 200  # of a value in a plan
ReadLimits = Callable[[], tuple[Limits | None, str]]
_FILE = click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path), metavar="[JOB.TOML]")


@click.command()
@_FILE
@background
@whole_spec
def run(file: Path | None, daemon: bool, chdir: str, **flags: Any) -> int:
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
    return _load(ready, _limits_from(file, flags), daemon=daemon, chdir=chdir)


@click.command()
@click.argument("job", shell_complete=job_names("resumable"))
@background
@existing_job
def resume(job: str, state_dir: Path | None, daemon: bool, chdir: str, **flags: Any) -> int:
    """Go on with a job that was stopped or died: load what its journal does not have.

    Rows that were set aside are tried again. Passwords are not stored: a URL that had one is given again,
    by flag or environment.
    """
    with stop_by_exception(STOP_SIGNALS):
        ready = jobs.reopen(environment.state_dir_from(state_dir), job, flags)
        retried = ready.journal.reopen_failures()
        gone = ready.journal.reopen_other_epochs(ready.target.epoch)
    if retried:
        echo(f"trying the {retried} ranges again that had failures", err=True)
    if gone:
        told = f"Redis was restarted since, or was a replica: loading {gone} ranges again that it had confirmed"
        echo(told, err=True)
    totals = ready.journal.totals()
    if totals.ranges_done == totals.ranges:
        echo(f"nothing is left to do: {totals.ranges} of {totals.ranges} ranges are done", err=True)
    return _load(ready, _limits_from(None, {}), daemon=daemon, chdir=chdir)


@click.command()
@_FILE
@whole_spec
def plan(file: Path | None, **flags: Any) -> int:
    """Show what `run` with the same flags would do, and change nothing. Redis is not asked, and need not be named."""
    with stop_by_exception(STOP_SIGNALS):
        _show_plan(spec.load(flags, file, asks_redis=False))
    return EXIT_COMPLETE


def _show_plan(wanted: spec.JobSpec) -> None:
    connection = source.connect(wanted.mysql)
    try:
        subject = jobs.examine(connection, wanted)
        ranges = jobs.plan(connection, wanted, subject)
        estimate = source.TableKeys(connection, wanted.table, subject.key_column).table_rows()
        first = jobs.first_key(connection, wanted, subject, ranges)
    finally:
        source.abandon(connection)
    key, fields = first or (None, [])
    key_told = None if key is None else _in_json(key)
    _warn_of_collisions(subject)
    if wanted.json_summary:
        told = {
            "table": wanted.table, "mysql": str(wanted.mysql), "rows_estimated": estimate, "ranges": len(ranges),
            "key_column": subject.key_column, "lowest": ranges[0].keys.low if ranges else None,
            "highest": ranges[-1].keys.high - 1 if ranges else None, "first_key": key_told,
            "first_fields": {name.decode("utf-8", "surrogateescape"): _in_json(value) for name, value in fields},
        }  # fmt: skip
        echo(json_.dumps(told))
        return
    echo(f"table {wanted.table} on {wanted.mysql}: about {estimate:,} rows (an estimate), {len(ranges):,} ranges")
    if ranges:
        echo(f"primary key {subject.key_column}: {ranges[0].keys.low} to {ranges[-1].keys.high - 1}")
    if first is not None:
        echo(f"first key: {'(none: a column of it is NULL)' if key is None else _shown(key)}")
        for name, value in fields:
            echo(f"  {_shown(name)} = {_shown(value)}")


_NOT_BUILT = (
    "note: the compiled encoder is not part of this installation; the Python one takes about twelve times its CPU "
    "for a row (install a C compiler and Python's headers, and install shardload again)"
)


def _warn_of_collisions(subject: jobs.Subject) -> None:
    if reason := subject.collision():
        echo(f"warning: {reason}: several rows may get the same key", err=True)


def _load(ready: jobs.Job, read_limits: ReadLimits, *, daemon: bool, chdir: str) -> int:
    wanted = ready.spec
    if others := who_else_writes(wanted.state_dir):
        echo(f"warning: {wanted.state_dir} can be written by {others}, too: jobs may vanish from there", err=True)
    _warn_of_collisions(ready.subject)
    if not is_native_built() and wanted.encoder == "auto":
        echo(_NOT_BUILT, err=True)
    if daemon:
        return _load_in_background(ready, read_limits, chdir)
    if wanted.verbose:
        show_log(sys.stderr)
    manager = ServiceManager(environment.take_notify_socket())
    display = make_display(wanted.progress)
    if manager.listens:
        display = ServiceDisplay(display, lambda text: manager.say(STATUS=text))
    stops_at_hangup = has_terminal()
    frame = Frame(
        _listen(stops_at_hangup=stops_at_hangup), stops_at_hangup=stops_at_hangup, read_limits=read_limits,
        on_ready=lambda: manager.say(READY="1"),
    )  # fmt: skip
    summary, stopped = load(ready, display, frame)
    manager.say(STOPPING="1", STATUS=f"job {summary.job}: {summary.status}")
    return _tell_end(ready, summary, stopped)


def _listen(*, stops_at_hangup: bool) -> SignalInbox:
    """From here to the end of the process no signal that a job heeds ends it by itself."""
    return SignalInbox((*STOP_SIGNALS, *CONTROL_SIGNALS[stops_at_hangup]))


def _load_in_background(ready: jobs.Job, read_limits: ReadLimits, chdir: str) -> int:
    """Detach, and come back when the daemon is up, or with what kept it from running."""

    def body(readiness: Readiness) -> int:
        signals = _listen(stops_at_hangup=False)
        frame = Frame(signals, is_daemon=True, stops_at_hangup=False, read_limits=read_limits, on_ready=readiness.ready)
        display = LogDisplay(sys.stderr, shows=ready.spec.progress != "none")
        try:
            summary, stopped = load(ready, display, frame)
        except ShardloadError as error:
            readiness.failed(error.message, error.hint, error.exit_code)
            echo(f"shardload: {' '.join(str(error).split())}", err=True)  # into the log
            return error.exit_code
        if stopped is not None:
            readiness.failed(stopped.message, stopped.hint, stopped.exit_code)
        return exit_code_of(summary, stopped)

    ready.journal.close()  # no handle crosses a fork
    name, log = ready.directory.name, ready.directory.log_file
    started = launch(body, log, chdir, keep=[ready.lock], stops=STOP_SIGNALS)
    if started.failure is not None:
        message, hint, exit_code = started.failure
        echo(f"shardload: {' '.join(message.split())}" + (f" ({hint})" if hint else ""), err=True)
        echo(f"log: {log}", f"to go on: {_resume_command(ready)}", err=True)
        return exit_code
    if ready.spec.json_summary:
        _tell(json_.dumps({"job": name, "pid": started.pid, "log": str(log)}))
        return EXIT_COMPLETE
    where = _state_dir_words(ready)
    _tell(f"job {name} runs in the background, process {started.pid}; its log: {log}")
    for command, effect in (("status", "how it is"), ("attach", "watch it"), ("stop", "end it, resumable")):
        _tell(f"  {' '.join(['shardload', command, name, *where]):40}  # {effect}")
    return EXIT_COMPLETE


def _tell_end(ready: jobs.Job, summary: Summary, stopped: ShardloadError | None) -> int:
    if ready.spec.json_summary:
        _tell(json_.dumps(summary.as_json()))
    _tell(*summary.as_text(printable(ready.choice.reason)).split("\n"), err=ready.spec.json_summary)
    if stopped is not None:
        if not isinstance(stopped, StoppedBySignal):
            _tell(f"shardload: {' '.join(str(stopped).split())}", err=True)
        if not isinstance(stopped, Hopeless):  # which says what to do first
            _tell(f"to go on: {_resume_command(ready)}", err=True)
    elif summary.status == "incomplete":
        name = ready.directory.name
        if summary.rows_failed:
            _tell(f"{summary.rows_failed:,} rows failed; to see them: shardload failures {name}", err=True)
        if summary.rows_lost:
            _tell(
                f"the table has lost about {summary.rows_lost:,} rows since it was planned (deleted, truncated or "
                f"exchanged): shardload failures {name} lists the ranges; if the table is right, start a new job",
                err=True,
            )
    return exit_code_of(summary, stopped)


def _tell(*lines: str, err: bool = False) -> None:
    """What became of a job, if it can be told: nobody may read it, or the disk under the stream may be full. The exit
    code is the job's own all the same."""
    stream = sys.stderr if err else sys.stdout
    silence_if_dead(stream)
    try:
        echo(*lines, file=stream)
    except OSError as error:
        with suppress(OSError):
            echo(f"shardload: cannot write to {stream.name}: {error.strerror}", err=True)


def _limits_from(file: Path | None, flags: dict[str, Any]) -> ReadLimits:
    """What a reload reads again: workers and rate, by the same rules as at the beginning."""
    if file is None:
        return lambda: (None, "")
    path = file.absolute()

    def read() -> tuple[Limits | None, str]:
        try:
            wanted = spec.load(flags, path)
        except SpecError as error:
            return None, f"the limits stay as they are: {error}"
        return Limits(wanted.workers, wanted.rate or 0), f"limits read from {path}"

    return read


def _state_dir_words(ready: jobs.Job) -> list[str]:
    if environment.state_dir_from(None) == ready.spec.state_dir:
        return []
    return ["--state-dir", shlex.quote(str(ready.spec.state_dir))]


def _resume_command(ready: jobs.Job) -> str:
    words = ["shardload", "resume", ready.directory.name, *_state_dir_words(ready)]
    for name in spec.passwords_to_repeat(ready.spec):
        words += [f"--{name}", "URL"]
    hint = " (with the URL again: its password is not stored)" if "URL" in words else ""
    return " ".join(words) + hint


def _shown(value: bytes) -> str:
    return shown_bytes(value[:_MOST_SHOWN_BYTES]) + ("..." if len(value) > _MOST_SHOWN_BYTES else "")


def _in_json(value: bytes) -> str | dict[str, str]:
    """The text, or what is no UTF-8 in base64: each is exact."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(value).decode()}
