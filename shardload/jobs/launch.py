"""Starts an import, or goes on with one: in the foreground, or as a daemon. What a person is told before and after."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from shardload.config import environment, spec
from shardload.encoding import is_native_built
from shardload.errors import EXIT_COMPLETE, ShardloadError, SpecError
from shardload.files.ownfile import other_writers
from shardload.jobdir.log import show_log
from shardload.jobs import outlook, prepare
from shardload.jobs.ending import resume_command, state_dir_words, tell, tell_end
from shardload.jobs.execute import Frame, exit_code_of, load
from shardload.jobs.guarded import check_replicas
from shardload.jobs.prepare import Job
from shardload.jobs.verify import begin as begin_verify
from shardload.jobs.verify import begin_after as begin_verify_after
from shardload.model.orders import CONTROL_SIGNALS, STOP_SIGNALS, Limits
from shardload.process import Readiness, ServiceManager, SignalInbox, has_terminal, launch, stop_by_exception
from shardload.ranges.lineage import Lineage
from shardload.reporting.display import LogDisplay, ServiceDisplay
from shardload.reporting.output import echo
from shardload.reporting.terminal import make_display

ReadLimits = Callable[[], tuple[Limits | None, str]]

_NOT_BUILT = (
    "note: the compiled encoder is not part of this installation; the Python one takes about twelve times its CPU "
    "for a row (install a C compiler and Python's headers, and install shardload again)"
)


def start(file: Path | None, flags: Mapping[str, Any], *, daemon: bool, chdir: str) -> int:
    """Plan a new job and run it. The result is the exit code.

    `flags` are those of the command line, None for one that was not given; `file` is a job's TOML file; `chdir` is a
    daemon's working directory.
    """
    with stop_by_exception(STOP_SIGNALS):
        wanted = spec.load(flags, file)
        check_replicas(wanted)
        job = prepare.begin(wanted)
    return _run(job, _limits_from(file, flags), daemon=daemon, chdir=chdir)


def verify(
    name: str | None, file: Path | None, state_dir: Path | None, flags: Mapping[str, Any], *, daemon: bool, chdir: str
) -> int:
    """Compare the keys of a job, or of what `file` and flags say, with their rows. The result is the exit code."""
    with stop_by_exception(STOP_SIGNALS):
        job = begin_verify(name, file, state_dir, flags)
    return _run(job, _limits_from(None, {}), daemon=daemon, chdir=chdir)


def resume(name: str, state_dir: Path | None, flags: Mapping[str, Any], *, daemon: bool, chdir: str) -> int:
    """Go on with a job: do the ranges that its journal does not have as done. The result is the exit code."""
    with stop_by_exception(STOP_SIGNALS):
        job = prepare.reopen(environment.state_dir_from(state_dir), name, flags)
        check_replicas(job.spec)
        retried = job.journal.reopen_failures()
        gone = _adopt_epoch(job)
    if retried:
        echo(f"trying the {retried} ranges again that had failures", err=True)
    if gone:
        since = "Redis was restarted since, was a replica, or another server took its place"
        echo(f"{since}: doing {gone} ranges again that it had confirmed", err=True)
    totals = job.journal.totals()
    if totals.ranges_done == totals.ranges:
        echo(f"nothing is left to do: {totals.ranges} of {totals.ranges} ranges are done", err=True)
    return _run(job, _limits_from(None, {}), daemon=daemon, chdir=chdir)


def _adopt_epoch(job: Job) -> int:
    """Keep the ranges whose keys the target still has since the last run. The result: how many it may have lost."""
    lineage = Lineage(job.journal.checkpoints())
    if lineage.last is None:
        return job.journal.adopt_epoch(job.target.epoch, job.target.epoch, None)
    is_same = job.target.epoch == lineage.last.epoch
    until = None if is_same else lineage.survives_until(job.target.nodes, after_a_gap=True)
    return job.journal.adopt_epoch(job.target.epoch, lineage.last.epoch, until)


def warn_of(subject: prepare.Subject) -> None:
    """Tell a person how the table is split, if not as one expects, and if several rows may get the same key."""
    if subject.word:
        echo(f"note: {subject.word}", err=True)
    if reason := subject.collision():
        echo(f"warning: {reason}: several rows may get the same key", err=True)


def _run(job: Job, read_limits: ReadLimits, *, daemon: bool, chdir: str) -> int:
    if others := other_writers(job.spec.state_dir):
        echo(f"warning: {job.spec.state_dir} can be written by {others}, too: jobs may vanish from there", err=True)
    warn_of(job.subject)
    for note in outlook.notes(job.fit, force=job.spec.force):
        echo(f"note: {note}", err=True)
    if not is_native_built() and job.spec.encoder == "auto":
        echo(_NOT_BUILT, err=True)
    if daemon:
        return _run_in_background(job, read_limits, chdir)
    if job.spec.verbose:
        show_log(sys.stderr)
    manager = ServiceManager(environment.take_notify_socket())
    display = make_display(job.spec.progress)
    if manager.listens:
        display = ServiceDisplay(display, lambda text: manager.notify(STATUS=text))
    stops_at_hangup = has_terminal()
    frame = Frame(
        _listen(stops_at_hangup=stops_at_hangup),
        stops_at_hangup=stops_at_hangup,
        read_limits=read_limits,
        on_ready=lambda: manager.notify(READY="1"),
    )
    facts, stopped = load(job, display, frame)
    manager.notify(STOPPING="1", STATUS=f"job {facts.job}: {facts.status}")
    code = tell_end(job, facts, stopped)
    if job.spec.verify and code == EXIT_COMPLETE:
        second = begin_verify_after(job.directory, {})
        code = tell_end(second, *load(second, make_display(job.spec.progress), frame))
    return code


def _listen(*, stops_at_hangup: bool) -> SignalInbox:
    """From here to the end of the process, a signal that a job handles no longer ends the process by itself."""
    return SignalInbox((*STOP_SIGNALS, *CONTROL_SIGNALS[stops_at_hangup]))


def _run_in_background(job: Job, read_limits: ReadLimits, chdir: str) -> int:
    """Start the daemon; return when it is up, or with what kept it from running."""

    def body(readiness: Readiness) -> int:
        signals = _listen(stops_at_hangup=False)
        frame = Frame(signals, is_daemon=True, stops_at_hangup=False, read_limits=read_limits, on_ready=readiness.ready)
        display = LogDisplay(sys.stderr, shows=job.spec.progress != "none")
        try:
            facts, stopped = load(job, display, frame)
        except ShardloadError as error:
            readiness.failed(error.message, error.hint, error.exit_code)
            echo(f"shardload: {' '.join(str(error).split())}", err=True)  # into the log
            return error.exit_code
        if stopped is not None:
            readiness.failed(stopped.message, stopped.hint, stopped.exit_code)
        code = exit_code_of(facts, stopped)
        return _verify_in_background(job, display, frame) if job.spec.verify and code == EXIT_COMPLETE else code

    job.journal.close()  # no handle crosses a fork
    log = job.directory.log_file
    started = launch(body, log, chdir, keep=[job.lock], stops=STOP_SIGNALS)
    if started.failure is not None:
        message, hint, exit_code = started.failure
        echo(f"shardload: {' '.join(message.split())}" + (f" ({hint})" if hint else ""), err=True)
        echo(f"log: {log}", f"to go on: {resume_command(job)}", err=True)
        return exit_code
    _tell_started(job, started.pid, log)
    return EXIT_COMPLETE


def _verify_in_background(job: Job, display: LogDisplay, frame: Frame) -> int:
    """Compare what the daemon has loaded. The result is the exit code, which nobody waits for; the logs say more."""
    try:
        return exit_code_of(*load(begin_verify_after(job.directory, {}), display, frame))
    except ShardloadError as error:
        echo(f"shardload: {' '.join(str(error).split())}", err=True)  # into the log
        return error.exit_code


def _tell_started(job: Job, pid: int, log: Path) -> None:
    name = job.directory.name
    if job.spec.json_summary:
        tell(json.dumps({"job": name, "pid": pid, "log": str(log)}))
        return
    where = state_dir_words(job)
    tell(f"job {name} runs in the background, process {pid}; its log: {log}")
    for command, effect in (("status", "look at it"), ("attach", "watch it"), ("stop", "end it, resumable")):
        tell(f"  {' '.join(['shardload', command, name, *where]):40}  # {effect}")


def _limits_from(file: Path | None, flags: Mapping[str, Any]) -> ReadLimits:
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
