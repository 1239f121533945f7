"""Start a daemon: fork, setsid, fork (Stevens, "Advanced Programming in the Unix Environment", chapter 13).

After the first fork the shell shows its prompt again; the child leads no process group, so setsid(2) can give it a new
session without a terminal. The second fork leaves no session leader, because a session leader gets a terminal when it
opens one. The launcher reads a pipe until the daemon says that it is ready, or why it failed.
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
from shardload.process.children import print_traceback
from shardload.process.signals import SignalInbox, signals_blocked

_EXIT_CRASHED = 70  # sysexits.h EX_SOFTWARE
_PYTHON_IGNORES = {
    signal.SIGPIPE,
    signal.SIGXFSZ,
}  # Python's choice: a write fails with OSError instead


@dataclass(frozen=True)
class Launch:
    """The result of `launch`: the daemon's pid, and message, hint and exit code if it failed (else None)."""

    pid: int
    failure: tuple[str, str, int] | None


class Readiness:
    """The daemon's end of the pipe to its launcher. Only the first call of `ready` or `failed` is sent."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor
        self._send({"pid": os.getpid()})

    def ready(self) -> None:
        """Tell the launcher that the daemon is running."""
        self._send({"ready": True})
        self._close()

    def failed(self, message: str, hint: str, exit_code: int) -> None:
        """Tell the launcher that the daemon will not run, and why."""
        self._send({"failure": [message, hint, exit_code]})
        self._close()

    def _send(self, message: dict[str, object]) -> None:
        if self._descriptor is not None:
            with suppress(OSError):  # the launcher was killed; the daemon goes on
                os.write(self._descriptor, json.dumps(message).encode() + b"\n")

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def has_terminal() -> bool:
    """True if this process has a controlling terminal. When that terminal closes, the kernel sends SIGHUP."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def launch(
    body: Callable[[Readiness], int], log_file: Path, directory: str, keep: Collection[int], stops: Collection[int]
) -> Launch:
    """Run `body` as a daemon, and wait until it is ready or has failed.

    The daemon's working directory is `directory`, its umask 077. It reads /dev/null, writes its output and errors to
    `log_file`, ignores no signal, and keeps no descriptors but those and `keep`. If the launcher gets a signal in
    `stops` meanwhile, it sends SIGTERM to the daemon.
    """
    try:
        log = open_own(log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    except JobForeign as error:
        return Launch(0, (error.message, error.hint, error.exit_code))
    except OSError as error:
        message = f"cannot write {log_file}: {error.strerror}"
        return Launch(0, (message, "check that the disk has space and is writable", EXIT_CANNOT_START))
    streams = os.open(os.devnull, os.O_RDONLY), log
    reading, writing = os.pipe()
    inbox = SignalInbox(stops)  # before the fork, so that no signal is missed
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        try:
            with signals_blocked() as mask:
                child = os.fork()
                if child == 0:
                    inbox.close()
                    _become_daemon(lambda: _run_daemon(body, writing, mask), writing, streams, directory, keep)
        except OSError as error:
            return Launch(0, _cannot_fork(error))
        finally:
            for descriptor in (writing, *streams):
                os.close(descriptor)
        os.waitpid(child, 0)
        return _wait_until_ready(reading, inbox)
    finally:
        inbox.close()
        os.close(reading)


def _cannot_fork(error: OSError) -> tuple[str, str, int]:
    no_process = NoProcess(error)
    return no_process.message, no_process.hint, no_process.exit_code


def _become_daemon(
    run: Callable[[], int], writing: int, streams: tuple[int, int], directory: str, keep: Collection[int]
) -> NoReturn:
    status = _EXIT_CRASHED
    try:
        os.setsid()
        try:
            if os.fork():
                os._exit(0)
        except OSError as error:
            Readiness(writing).failed(*_cannot_fork(error))
            os._exit(EXIT_CANNOT_START)
        gc.freeze()  # objects of the launcher must not be finalised here
        _reset_process(streams, directory, {*keep, writing})
        status = run()
    except BaseException:  # the log gets the traceback; the process exits below
        print_traceback()
    finally:
        os._exit(status)


def _run_daemon(body: Callable[[Readiness], int], writing: int, mask: set[int]) -> int:
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return body(Readiness(writing))


def _reset_process(streams: tuple[int, int], directory: str, keep: Collection[int]) -> None:
    """Drop what was inherited: directory, umask, ignored signals, and every descriptor but `streams` and `keep`."""
    os.chdir(directory)
    os.umask(0o077)
    for ignored in signal.valid_signals() - _PYTHON_IGNORES:
        if signal.getsignal(ignored) is signal.SIG_IGN:
            signal.signal(ignored, signal.SIG_DFL)  # ignored by nohup or a shell script; a daemon has to hear it
    for number, stream in ((0, streams[0]), (1, streams[1]), (2, streams[1])):
        os.dup2(stream, number)
    for name in os.listdir("/dev/fd"):  # noqa: PTH208  # no paths; listdir has closed its own
        descriptor = int(name)
        if descriptor > 2 and descriptor not in keep:
            with suppress(OSError):
                os.close(descriptor)


def _wait_until_ready(reading: int, inbox: SignalInbox) -> Launch:
    """Read the pipe until the daemon is ready, has failed or is gone. Each signal is passed on to it as SIGTERM."""
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
            message = json.loads(line)
            pid = message.get("pid", pid)
            if "ready" in message:
                return Launch(pid, None)
            if "failure" in message:
                text, hint, exit_code = message["failure"]
                return Launch(pid, (text, hint, exit_code))
        while pid and passed_on < len(signals):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            passed_on += 1
        if piece == b"":
            stopped = StoppedBySignal(signals[0]) if signals else None
            died = ("the daemon died before it was ready", "see the job's log", EXIT_CANNOT_START)
            return Launch(pid, (stopped.message, stopped.hint, stopped.exit_code) if stopped else died)
