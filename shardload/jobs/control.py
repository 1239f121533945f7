"""Orders to a running job, over its control FIFO: stop, pause, unpause, scale, rate, reload."""

from __future__ import annotations

import time
from pathlib import Path

from shardload.config.environment import state_dir_from
from shardload.errors import JobError, NotAnswered, SpecError
from shardload.jobdir.directory import JobDirectory
from shardload.jobs.status import look, the_job
from shardload.model.orders import parse_order
from shardload.process import ControlRequest, NoListener, is_stopped
from shardload.reporting.facts import SEARCHING
from shardload.reporting.output import echo

_ANSWER_WITHIN_S = 5.0  # the coordinator answers at once, unless it is stopped or the machine is very busy
_DONE_WITHIN_S = 30.0
_LOOK_AGAIN_S = 0.05


def stop(state_dir: Path | None, job: str | None, *, now: bool, wait: bool) -> None:
    """Have a job end, at once with `now`; with `wait` return when it has ended. Errors as in `give_order`."""
    directory = the_job(state_dir_from(state_dir), job)
    _ask(directory, "stop-now" if now else "stop")
    while wait and directory.is_locked():
        time.sleep(_LOOK_AGAIN_S)
    if wait:
        echo(f"job {directory.name}: {look(directory).state}")


def give_order(state_dir: Path | None, job: str | None, words: str) -> None:
    """Give an order to a job (None: the only one that runs), and print what became of it.

    JobError if the job does not run or refuses, NotAnswered if its coordinator is busy or stopped.
    """
    _ask(the_job(state_dir_from(state_dir), job), words)


def give_order_with_value(state_dir: Path | None, verb: str, value: str, words: tuple[str, ...]) -> None:
    """The same for an order with a value: `words` are the value, or a job and the value. SpecError if they are not."""
    usage = f"shardload {verb} [JOB] {value}"
    if len(words) > 2:
        raise SpecError(f"{verb} takes a job and {value}, not {len(words)} words", usage)
    try:
        parse_order(f"{verb} {words[-1]}")
    except ValueError as error:
        raise SpecError(f"{verb}: {error}", usage) from None
    give_order(state_dir, words[0] if len(words) == 2 else None, f"{verb} {words[-1]}")


def _ask(directory: JobDirectory, words: str) -> None:
    try:
        with ControlRequest(directory.path, words) as request:
            answer = request.answer(_ANSWER_WITHIN_S)
            if answer is not None and answer[0] == "wait":
                meanwhile, answer = answer[1], request.answer(_DONE_WITHIN_S)
                if answer is None and directory.is_locked():
                    raise NotAnswered(
                        f"job {directory.name}: under way, not done after {_DONE_WITHIN_S:g} s: {meanwhile}",
                        f"it will be done; to see: shardload status {directory.name}",
                    )
    except NoListener:
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


def _silence(directory: JobDirectory) -> JobError | NotAnswered:
    """Why there was no answer: the coordinator died just now, it is stopped, or it is busy."""
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
    hint = f"to continue it, run: shardload resume {directory.name}"
    if state in ("starting", "stopping", SEARCHING):
        hint = "try again in a moment"
    elif state == "complete":
        hint = "there is nothing left to do"
    return JobError(f"job {directory.name} is not running: {state}", hint)
