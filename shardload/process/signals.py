"""Turn signals into bytes in a pipe, which the event loop reads when it is ready.

Python's C-level handler writes the signal's number to the pipe (`signal.set_wakeup_fd`); its Python handler does
nothing. So a signal that comes just before the loop waits is not lost, and no handler interrupts Python code.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

from shardload.errors import StoppedBySignal


class SignalInbox:
    """Collects these signals until `close`, which restores the former handlers. Ignored signals stay ignored."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._wakeup_before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._before = {
            number: signal.signal(number, _note)
            for number in numbers
            if signal.getsignal(number) is not signal.SIG_IGN  # nohup ignores SIGHUP; it stays ignored
        }

    def fileno(self) -> int:
        """The pipe's read end, for a selector."""
        return self._read

    def drain(self) -> list[int]:
        """The numbers of the signals that came since the last call, in order."""
        numbers = bytearray()
        while True:
            try:
                numbers += os.read(self._read, 512)
            except BlockingIOError:
                return list(numbers)
            except InterruptedError:
                continue

    def descriptors(self) -> tuple[int, int]:
        """The pipe's two descriptors, which a forked child must close."""
        return self._read, self._write

    def close(self) -> None:
        """Restore the handlers and close the pipe."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._read)
        os.close(self._write)


def _note(number: int, frame: FrameType | None) -> None:
    """Do nothing: the C-level handler has written the number to the pipe already."""


@contextmanager
def stop_by_exception(numbers: Iterable[int]) -> Iterator[None]:
    """Within the block these signals raise StoppedBySignal. For work that may be left at any point.

    If a library turns the exception into one of its own (pydantic does), StoppedBySignal is raised in its place. Python
    drops an exception that is raised in a finaliser or a fork hook; then it is raised at the end of the block.
    """
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in numbers if signal.getsignal(number) != signal.SIG_IGN}

    def stop(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        raise StoppedBySignal(number)

    mask = signal.pthread_sigmask(signal.SIG_BLOCK, before)  # so that all handlers are set, or none
    try:
        for number in before:
            signal.signal(number, stop)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        yield
        if came:
            raise StoppedBySignal(came[0])
    except Exception as error:
        if came and not isinstance(error, StoppedBySignal):
            raise StoppedBySignal(came[0]) from error
        raise
    finally:
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, before)  # raises StoppedBySignal if one is pending
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def signals_blocked() -> Iterator[set[int]]:
    """Block all signals within the block; they are delivered afterwards. Gives the former mask, for a forked child."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())  # read first: blocking may raise for a signal that is pending
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        yield before
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
