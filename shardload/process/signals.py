"""Signals become bytes in a pipe; the event loop reads them when it is ready. Handlers do nothing.

The C-level handler writes the signal's number to the pipe (`signal.set_wakeup_fd`), so nothing is lost between a
test and a wait, and no Python code runs at an unexpected place.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

from shardload.errors import StoppedBySignal


class SignalInbox:
    """Collects the given signals from its creation to `close`, which puts everything back as it was."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._wakeup_before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._before = {
            number: signal.signal(number, _note)
            for number in numbers
            if signal.getsignal(number) is not signal.SIG_IGN  # nohup's wish is respected
        }

    def fileno(self) -> int:
        """The pipe's reading end, for a selector."""
        return self._read

    def drain(self) -> list[int]:
        """The signals that came since the last call, in order."""
        numbers = bytearray()
        while True:
            try:
                numbers += os.read(self._read, 512)
            except BlockingIOError:
                return list(numbers)
            except InterruptedError:
                continue

    def descriptors(self) -> tuple[int, int]:
        """What a forked child has to close."""
        return self._read, self._write

    def close(self) -> None:
        """Restore the handlers and close the pipe."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._read)
        os.close(self._write)


def _note(number: int, frame: FrameType | None) -> None:
    """Noted by the C level already."""


@contextmanager
def stop_by_exception(numbers: Iterable[int]) -> Iterator[None]:
    """Within it these signals raise StoppedBySignal: for phases that hold nothing which must be put in order.

    Whatever a library makes of it (pydantic makes it an error of its own), it leaves as itself. What is raised in a
    finaliser or a hook of fork is dropped by Python; then it is raised at the end.
    """
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in numbers if signal.getsignal(number) != signal.SIG_IGN}

    def stop(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        raise StoppedBySignal(number)

    mask = signal.pthread_sigmask(signal.SIG_BLOCK, before)  # all handlers are set, or none
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
            signal.pthread_sigmask(signal.SIG_BLOCK, before)  # which raises what has come by now
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def signals_held() -> Iterator[set[int]]:
    """Within it signals wait; afterwards they are delivered. The value is the mask that was: a forked child sets it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())  # asked first: blocking may raise what has come already
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        yield before
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
