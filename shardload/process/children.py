"""Fork, name and reap child processes."""

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
from shardload.process.signals import signals_blocked

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None  # before any fork: dlopen takes locks
_EXIT_CRASHED = 70  # sysexits.h EX_SOFTWARE


def fork_child(body: Callable[[], int], close: Iterable[int]) -> int:
    """Fork. The child closes these descriptors, runs `body` and exits with its result; the parent gets the pid.

    Signals are blocked around the fork, so that the parent's handlers never run in the child. The child starts with
    default handlers, except that it ignores the signals that a terminal sends to the whole process group: the parent
    decides what they mean. The child never returns to the caller and never runs exit handlers. NoProcess if the system
    cannot fork.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with signals_blocked() as mask:
        try:
            pid = os.fork()
        except OSError as error:
            raise NoProcess(error) from error
        if pid == 0:
            _run_child(body, close, mask)
    return pid


def _run_child(body: Callable[[], int], close: Iterable[int], mask: set[int]) -> NoReturn:
    status = _EXIT_CRASHED
    try:
        gc.disable()  # an inherited object must not be finalised here: it belongs to the parent
        _default_signals()
        for descriptor in close:
            os.close(descriptor)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        gc.enable()
        gc.freeze()
        status = body()
    except BaseException:  # report it; the process exits below
        print_traceback()
    finally:
        os._exit(status)


def print_traceback() -> None:
    """Write the traceback of the current exception to standard error, with control characters escaped."""
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

    Other systems have no such request; there the janitor ends the workers that a dead coordinator leaves.
    """
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    return os.getppid() == parent_pid  # False if it died before the request


def spawn(command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start another program, which is killed when this process dies. OSError if it cannot start.

    `options` go to subprocess.Popen. Signals are blocked meanwhile, so that no handler can run between the fork and the
    moment when the caller knows its child.
    """
    parent = os.getpid()
    with signals_blocked() as mask:

        def begin() -> None:
            if not die_with_parent(parent):
                os._exit(_EXIT_CRASHED)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

        return subprocess.Popen(command, preexec_fn=begin, **options)


def set_title(title: str) -> None:
    """Set the title that `ps` shows. Every user can read it, so it must not hold a URL."""
    setproctitle.setproctitle(printable(title))


def reap_all() -> list[tuple[int, int]]:
    """Reap every child that has ended, without waiting. Gives pairs of pid and wait status (waitpid(2))."""
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
    """All reaped children's CPU seconds (user and system), and the largest one's peak memory in MiB (getrusage(2))."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    unit_bytes = 1 if sys.platform == "darwin" else 1024
    return used.ru_utime + used.ru_stime, used.ru_maxrss * unit_bytes // 2**20


def describe_death(status: int) -> str:
    """How a child ended, in words, from its wait status; with a cause to look for if a signal killed it."""
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
