"""Forking, naming and reaping children."""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

import setproctitle

from shardload.errors import NoProcess
from shardload.model.printable import printable
from shardload.process.signals import signals_held

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None  # before any fork: dlopen takes locks
_EXIT_CRASHED = 70  # sysexits.h EX_SOFTWARE


def fork_child(body: Callable[[], int], close: Iterable[int]) -> int:
    """Fork. The child closes these descriptors, runs `body` and leaves with its result; the parent gets the pid.

    Signals are held back around the fork, so that none reaches the child through the parent's handlers. The child
    starts with default handlers, except that it ignores what a terminal sends to a whole process group: those
    are for the parent to decide on. It never returns into the caller's frames and never runs exit handlers.
    NoProcess if the system refuses.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with signals_held() as mask:
        try:
            pid = os.fork()
        except OSError as error:
            raise NoProcess(error) from error
        if pid == 0:
            _live(body, close, mask)
    return pid


def _live(body: Callable[[], int], close: Iterable[int], mask: set[int]) -> NoReturn:
    status = _EXIT_CRASHED
    try:
        gc.disable()  # nothing inherited may be finalised here: it is the parent's
        _default_signals()
        for descriptor in close:
            os.close(descriptor)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        gc.enable()
        gc.freeze()
        status = body()
    except BaseException:  # reported, and then this process is gone
        show_crash()
    finally:
        os._exit(status)


def show_crash() -> None:
    """The traceback of the exception in hand, on standard error."""
    sys.stderr.write("\n".join(map(printable, traceback.format_exc().split("\n"))))
    sys.stderr.flush()


def _default_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU):
        signal.signal(number, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def die_with_parent(parent_pid: int) -> bool:
    """Ask Linux to kill this process when its parent dies (prctl(2), PR_SET_PDEATHSIG). False if it is dead already.

    Elsewhere nothing is asked; the janitor ends what the coordinator leaves.
    """
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    return os.getppid() == parent_pid  # it may have died before the request


def spawn(command: Sequence[str], **how: Any) -> subprocess.Popen[bytes]:
    """Start another program, which dies with this process; `how` is for subprocess.Popen. OSError if it cannot start.

    Signals are held back meanwhile: none gets between the fork and the moment in which the caller knows its child.
    """
    parent = os.getpid()
    with signals_held() as mask:

        def begin() -> None:
            if not die_with_parent(parent):
                os._exit(_EXIT_CRASHED)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

        return subprocess.Popen(command, preexec_fn=begin, **how)


def set_title(title: str) -> None:
    """What `ps` shows. Never a URL: titles are public."""
    setproctitle.setproctitle(printable(title))


def reap_all() -> list[tuple[int, int]]:
    """Pid and wait status of every child that has ended, without waiting."""
    reaped: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return reaped
        if pid == 0:
            return reaped
        reaped.append((pid, status))


def children_usage() -> tuple[float, int]:
    """CPU seconds (user and system) of all reaped children, and the peak MiB of the largest; see getrusage(2)."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    unit_bytes = 1 if sys.platform == "darwin" else 1024
    return used.ru_utime + used.ru_stime, used.ru_maxrss * unit_bytes // 2**20


def describe_death(status: int) -> str:
    """A wait status in words."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return "crashed with a Python error (see the log)" if code == _EXIT_CRASHED else f"left with exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    advice: dict[int, str] = {
        signal.SIGKILL: " (by hand, or out of memory: see dmesg)",
        signal.SIGSEGV: " (a fault in native code: please report it)",
        signal.SIGBUS: " (a fault in native code, or a full disk under a mapped file)",
    }
    return f"was killed by {name}{advice.get(-code, '')}"
