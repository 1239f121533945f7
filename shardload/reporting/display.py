"""What is shown while a job runs: a bar, plain lines, or nothing. Always on standard error."""

from __future__ import annotations

import logging
import os
import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

from shardload.model.printable import printable
from shardload.reporting.progress import Progress
from shardload.reporting.text import describe, percentage

PLAIN_EVERY_S = 10.0
LOG_EVERY_S = 60.0
SERVICE_EVERY_S = 5.0


_log = logging.getLogger("shardload.reporting")


def silence_if_dead(stream: TextIO) -> None:
    """If nobody reads a stream any more (a closed terminal, a pipe whose reader left), send what is written to it to
    /dev/null, so that the job does not fail."""
    try:
        number = stream.fileno()
    except (OSError, ValueError):
        return
    look = select.poll()
    look.register(number, 0)
    if any(event & (select.POLLERR | select.POLLHUP) for _, event in look.poll(0)):
        _lead_nowhere(number)


def _lead_nowhere(number: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)


@contextmanager
def written_if_possible(stream: TextIO) -> Iterator[None]:
    """Write if possible; after an error (a full disk, a closed terminal) stop showing progress."""
    silence_if_dead(stream)
    try:
        yield
    except OSError as error:
        _log.warning("progress is no longer shown: %s", error.strerror)
        _lead_nowhere(stream.fileno())


class Display(Protocol):
    """Shows a running job."""

    every_s: float | None
    """How often to show the progress, in seconds; None: never."""

    def show(self, progress: Progress) -> None:
        """Show the progress."""
        ...

    def note(self, text: str) -> None:
        """Show one line that a person should read."""
        ...

    def close(self) -> None:
        """Leave the last state on the screen."""
        ...


class SilentDisplay:
    """Shows notes only."""

    every_s: float | None = None

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, progress: Progress) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Show the line."""
        with written_if_possible(self._stream):
            print(printable(text), file=self._stream, flush=True)

    def close(self) -> None:
        """Do nothing."""


class PlainDisplay(SilentDisplay):
    """Shows a line now and then, for logs and pipes."""

    every_s: float | None = PLAIN_EVERY_S

    def show(self, progress: Progress) -> None:
        """Show one line."""
        self.note(f"{percentage(progress.share):>6} of the plan, {describe(progress)}")


class LogDisplay(SilentDisplay):
    """A daemon's display: a line of progress in the log now and then. Notes are in the log already."""

    def __init__(self, stream: TextIO, *, shows: bool = True) -> None:
        super().__init__(stream)
        self.every_s = LOG_EVERY_S if shows else None

    def show(self, progress: Progress) -> None:
        """Log one event."""
        _log.info("%s of the plan, %s", percentage(progress.share), describe(progress))

    def note(self, text: str) -> None:
        """Do nothing."""


class ServiceDisplay:
    """Another display, which also tells a service manager through `say`."""

    def __init__(self, inner: Display, say: Callable[[str], None]) -> None:
        self._inner = inner
        self._say = say
        self.every_s: float | None = inner.every_s or SERVICE_EVERY_S

    def show(self, progress: Progress) -> None:
        """Show the progress in both."""
        self._inner.show(progress)
        self._say(f"{percentage(progress.share)} of the plan, {describe(progress)}")

    def note(self, text: str) -> None:
        """Show the line."""
        self._inner.note(text)

    def close(self) -> None:
        """Leave the last state on the screen."""
        self._inner.close()
