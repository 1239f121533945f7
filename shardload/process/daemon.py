"""Becoming a daemon: fork, setsid, fork (Stevens, "Advanced Programming in the Unix Environment", chapter 13).

The first fork lets the shell have its prompt and makes sure that the child leads no process group, so that setsid(2)
gives it a session without a terminal; the second makes sure that no session leader is left, who could get a terminal
by opening one. The launcher waits at a pipe until the daemon says that it is ready, or why it will never be.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import sys
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from shardload.errors import EXIT_CANNOT_START, JobForeign, NoProcess, StoppedBySignal
from shardload.files.ownfile import open_own
from shardload.process.children import show_crash
from shardload.process.signals import SignalInbox, signals_held

_EXIT_CRASHED = 70  # sysexits.h EX_SOFTWARE
_PYTHON_IGNORES = {signal.SIGPIPE, signal.SIGXFSZ}  # so that a write fails with an OSError instead


@dataclass(frozen=True)
class Launch:
    """How a start in the background went. `failure` is message, hint and exit code of what kept it from running."""

    pid: int
    failure: tuple[str, str, int] | None


class Readiness:
    """The daemon's end of the pipe. What is said after `ready` or `failed` is not heard any more."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor
        self._say({"pid": os.getpid()})

    def ready(self) -> None:
        """Everything is up: the launcher may go. Idempotent."""
        self._say({"ready": True})
        self._close()

    def failed(self, message: str, hint: str, exit_code: int) -> None:
        """It will not run, and why. Idempotent; nothing after `ready`."""
        self._say({"failure": [message, hint, exit_code]})
        self._close()

    def _say(self, what: dict[str, object]) -> None:
        if self._descriptor is not None:
            with suppress(OSError):  # the launcher was killed: the daemon lives on
                os.write(self._descriptor, json.dumps(what).encode() + b"\n")

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def has_terminal() -> bool:
    """True if this process has a controlling terminal, whose end would be told by a hang-up."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def launch(
    body: Callable[[Readiness], int], log_file: Path, directory: str, keep: Collection[int], stops: Collection[int]
) -> Launch:
    """Run `body` as a daemon, and wait until it is ready or has failed.

    The daemon works in `directory`, creates files for this user alone, reads nothing, writes its streams to
    `log_file`, ignores no signal, and keeps no descriptor but those and `keep`. A signal of `stops` that the launcher
    gets meanwhile is passed on to the daemon as SIGTERM.
    """
    try:
        log = open_own(log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    except JobForeign as error:
        return Launch(0, (error.message, error.hint, error.exit_code))
    except OSError as error:
        return Launch(0, (f"cannot write {log_file}: {error.strerror}", "is the disk full?", EXIT_CANNOT_START))
    streams = os.open(os.devnull, os.O_RDONLY), log
    reading, writing = os.pipe()
    inbox = SignalInbox(stops)  # from here on the launcher passes on what it gets, and misses nothing
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        try:
            with signals_held() as mask:
                child = os.fork()
                if child == 0:
                    inbox.close()
                    _detach(lambda: _live(body, writing, mask), writing, streams, directory, keep)
        except OSError as error:
            return Launch(0, _refused(error))
        finally:
            for descriptor in (writing, *streams):
                os.close(descriptor)
        os.waitpid(child, 0)
        return _heard(reading, inbox)
    finally:
        inbox.close()
        os.close(reading)


def _refused(error: OSError) -> tuple[str, str, int]:
    no_process = NoProcess(error)
    return no_process.message, no_process.hint, no_process.exit_code


def _detach(
    live: Callable[[], int], writing: int, streams: tuple[int, int], directory: str, keep: Collection[int]
) -> NoReturn:
    status = _EXIT_CRASHED
    try:
        os.setsid()
        try:
            if os.fork():
                os._exit(0)
        except OSError as error:
            Readiness(writing).failed(*_refused(error))
            os._exit(EXIT_CANNOT_START)
        gc.freeze()  # what the launcher made is not this process's to finalise
        _leave_the_past(streams, directory, {*keep, writing})
        status = live()
    except BaseException:  # into the log, and then this process is gone
        show_crash()
    finally:
        os._exit(status)


def _live(body: Callable[[Readiness], int], writing: int, mask: set[int]) -> int:
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return body(Readiness(writing))


def _leave_the_past(streams: tuple[int, int], directory: str, keep: Collection[int]) -> None:
    os.chdir(directory)
    os.umask(0o077)
    for ignored in signal.valid_signals() - _PYTHON_IGNORES:
        if signal.getsignal(ignored) is signal.SIG_IGN:
            signal.signal(ignored, signal.SIG_DFL)  # nohup's wish, or a script's for its background job: not a daemon's
    for number, stream in ((0, streams[0]), (1, streams[1]), (2, streams[1])):
        os.dup2(stream, number)
    for name in os.listdir("/dev/fd"):  # noqa: PTH208  # descriptors, not paths; the listing's own is closed by now
        descriptor = int(name)
        if descriptor > 2 and descriptor not in keep:
            with suppress(OSError):
                os.close(descriptor)


def _heard(reading: int, inbox: SignalInbox) -> Launch:
    """What the daemon says, until it is ready, has failed, or is gone. Signals are passed on as SIGTERM."""
    pid = 0
    signals: list[int] = []
    passed_on = 0
    unread = b""
    while True:
        readable = select.select([reading, inbox.fileno()], [], [])[0]
        signals += inbox.drain()
        piece = os.read(reading, 65536) if reading in readable else None
        unread += piece or b""
        while b"\n" in unread:
            line, _, unread = unread.partition(b"\n")
            said = json.loads(line)
            pid = said.get("pid", pid)
            if "ready" in said:
                return Launch(pid, None)
            if "failure" in said:
                message, hint, exit_code = said["failure"]
                return Launch(pid, (message, hint, exit_code))
        while pid and passed_on < len(signals):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            passed_on += 1
        if piece == b"":
            stopped = StoppedBySignal(signals[0]) if signals else None
            died = ("the daemon died before it was ready", "see the job's log", EXIT_CANNOT_START)
            return Launch(pid, (stopped.message, stopped.hint, stopped.exit_code) if stopped else died)
