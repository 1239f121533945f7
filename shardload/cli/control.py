"""`stop`, `pause`, `unpause`, `scale`, `rate`, `reload`: orders to a running job, over its control FIFO."""

from __future__ import annotations

import time
from pathlib import Path

import click

from shardload.cli.completion import job_names
from shardload.cli.options import running_job, state_only
from shardload.cli.output import echo
from shardload.config.environment import state_dir_from
from shardload.errors import EXIT_COMPLETE, JobError, NotAnswered, SpecError
from shardload.jobdir.directory import JobDirectory
from shardload.jobs.status import look, the_job
from shardload.model.orders import parse_order
from shardload.process import NobodyListens, Question, is_stopped

_ANSWER_WITHIN_S = 5.0  # the coordinator answers between two events: at once, unless it asks a lost Redis
_DONE_WITHIN_S = 30.0
_LOOK_AGAIN_S = 0.05


@click.command()
@running_job
@click.option("--now", is_flag=True, help="Do not finish the batches in hand.")
@click.option("--wait", is_flag=True, help="Return when the job has ended.")
def stop(job: str | None, state_dir: Path | None, now: bool, wait: bool) -> int:
    """End a job in order, to be resumed: the batches in hand are finished."""
    directory = the_job(state_dir_from(state_dir), job)
    _order(directory, "stop-now" if now else "stop")
    while wait and directory.is_locked():
        time.sleep(_LOOK_AGAIN_S)
    if wait:
        echo(f"job {directory.name}: {look(directory).state}")
    return EXIT_COMPLETE


@click.command()
@running_job
def pause(job: str | None, state_dir: Path | None) -> int:
    """Stop loading, but stay: the ranges in hand are handed back, no connection is used, no CPU."""
    return _order(the_job(state_dir_from(state_dir), job), "pause")


@click.command()
@running_job
def unpause(job: str | None, state_dir: Path | None) -> int:
    """Go on after a pause."""
    return _order(the_job(state_dir_from(state_dir), job), "unpause")


@click.command()
@click.argument("job_and_workers", nargs=-1, required=True, metavar="[JOB] N", shell_complete=job_names("running"))
@state_only
def scale(job_and_workers: tuple[str, ...], state_dir: Path | None) -> int:
    """Have N workers from now on. Those that are too many finish the range in hand."""
    return _order_with_value("scale", "N", job_and_workers, state_dir)


@click.command()
@click.argument("job_and_rate", nargs=-1, required=True, metavar="[JOB] N|off", shell_complete=job_names("running"))
@state_only
def rate(job_and_rate: tuple[str, ...], state_dir: Path | None) -> int:
    """Load at most N rows a second from now on, all workers together; off: as fast as can be."""
    return _order_with_value("rate", "N|off", job_and_rate, state_dir)


@click.command()
@running_job
def reload(job: str | None, state_dir: Path | None) -> int:
    """Replace the workers, one at a time; no range is lost or loaded twice. Workers and rate are read again from the
    job's TOML file, if it has one."""
    return _order(the_job(state_dir_from(state_dir), job), "reload")


def _order_with_value(verb: str, value: str, words: tuple[str, ...], state_dir: Path | None) -> int:
    if len(words) > 2:
        raise click.UsageError(f"{verb} takes a job and {value}, not {len(words)} words")
    try:
        parse_order(f"{verb} {words[-1]}")
    except ValueError as error:
        raise SpecError(f"{verb}: {error}", f"shardload {verb} [JOB] {value}") from None
    directory = the_job(state_dir_from(state_dir), words[0] if len(words) == 2 else None)
    return _order(directory, f"{verb} {words[-1]}")


def _order(directory: JobDirectory, words: str) -> int:
    """Ask, and say what became of it. JobError if the job does not run or refuses, NotAnswered if it is busy."""
    try:
        with Question(directory.path, words) as question:
            answer = question.answer(_ANSWER_WITHIN_S)
            if answer is not None and answer[0] == "wait":
                meanwhile, answer = answer[1], question.answer(_DONE_WITHIN_S)
                if answer is None and directory.is_locked():
                    raise NotAnswered(
                        f"job {directory.name}: under way, not done after {_DONE_WITHIN_S:g} s: {meanwhile}",
                        f"it will be; see: shardload status {directory.name}",
                    )
    except NobodyListens:
        raise _not_running(directory) from None
    except BlockingIOError:
        answer = None
    except OSError as error:
        raise JobError(f"job {directory.name} cannot be asked: {error.strerror}", f"see {directory.path}") from None
    if answer is None:
        raise _silence(directory)
    word, text = answer
    if word == "refused":
        raise JobError(f"job {directory.name}: {text}", f"see: shardload status {directory.name}")
    echo(f"job {directory.name}: {text}")
    return EXIT_COMPLETE


def _silence(directory: JobDirectory) -> JobError | NotAnswered:
    """Why nobody answered: it died just now, it is stopped, or it is busy."""
    seen = look(directory)
    if not seen.is_running:
        return _not_running(directory)
    if seen.pid and is_stopped(seen.pid):
        return NotAnswered(
            f"job {directory.name}: its coordinator, process {seen.pid}, is stopped by a signal",
            f"kill -CONT {seen.pid}; then it will carry the order out",
        )
    return NotAnswered(
        f"job {directory.name}: its coordinator, process {seen.pid}, gave no answer within {_ANSWER_WITHIN_S:g} s",
        "it is busy, and will carry the order out later",
    )


def _not_running(directory: JobDirectory) -> JobError:
    state = look(directory).state
    hint = (
        "try again in a moment"
        if state in ("starting", "stopping")
        else f"go on with it: shardload resume {directory.name}"
    )
    if state == "complete":
        hint = "there is nothing left to do"
    return JobError(f"job {directory.name} is not running: {state}", hint)
