"""What is shown while a job runs: a bar, plain lines, or nothing. Always on standard error."""

from __future__ import annotations

import logging
import os
import select
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TextIO

from shardload.bars import Block
from shardload.model.printable import printable
from shardload.model.wording import duration
from shardload.progress import Progress

BAR_EVERY_S = 0.25
PLAIN_EVERY_S = 10.0
LOG_EVERY_S = 60.0
SERVICE_EVERY_S = 5.0
_JOB_FORM = "{percentage:3.0f}%|{bar}| {desc}"
_BESIDE_BAR = len("100%|| ")


_log = logging.getLogger("shardload.progress")


def silence_if_dead(stream: TextIO) -> None:
    """A stream that nobody reads any more (a terminal that was closed, a pipe whose reader left) leads nowhere from now
    on: that is no reason for a job to fail."""
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
def _written_if_possible(stream: TextIO) -> Iterator[None]:
    """Nor is a stream that cannot be written any more: the disk under it is full."""
    silence_if_dead(stream)
    try:
        yield
    except OSError as error:
        _log.warning("progress is no longer shown: %s", error.strerror)
        _lead_nowhere(stream.fileno())


class Display(Protocol):
    """Something that shows a running job."""

    every_s: float | None
    """Seconds between two showings; None: never."""

    def show(self, progress: Progress) -> None:
        """The state of things."""
        ...

    def note(self, text: str) -> None:
        """One line that a person should read."""
        ...

    def close(self) -> None:
        """The last state stays on the screen."""
        ...


def make_display(kind: str, stream: TextIO | None = None) -> Display:
    """`bar`, `plain`, `none`, or `auto`: a bar on a terminal, else plain lines."""
    stream = stream or sys.stderr
    if kind == "auto":
        kind = "bar" if stream.isatty() else "plain"
    return {"bar": BarDisplay, "plain": PlainDisplay, "none": SilentDisplay}[kind](stream)


class SilentDisplay:
    """Notes only."""

    every_s: float | None = None

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, progress: Progress) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """The line."""
        with _written_if_possible(self._stream):
            print(printable(text), file=self._stream, flush=True)

    def close(self) -> None:
        """Nothing."""


class PlainDisplay(SilentDisplay):
    """A line now and then, for logs and pipes."""

    every_s: float | None = PLAIN_EVERY_S

    def show(self, progress: Progress) -> None:
        """One line."""
        self.note(f"{percentage(progress.share):>6} of the plan, {describe(progress)}")


class BarDisplay(SilentDisplay):
    """A bar over the share of the plan, with the exact rows beside it: of that as much as there is room for."""

    every_s: float | None = BAR_EVERY_S

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._block = Block(stream)
        with _written_if_possible(stream):
            self._block.draw([self._block.bar(0, _JOB_FORM, "starting")])

    def show(self, progress: Progress) -> None:
        """Move the bar."""
        with _written_if_possible(self._stream):
            self._block.draw([_job_line(self._block, progress)])

    def note(self, text: str) -> None:
        """A line above the bar."""
        with _written_if_possible(self._stream):
            self._block.note(printable(text))

    def close(self) -> None:
        """Leave the bar where it is."""
        with _written_if_possible(self._stream):
            self._block.close()


class LogDisplay(SilentDisplay):
    """A daemon's: a line of progress in the log now and then. What a person should read is logged already."""

    def __init__(self, stream: TextIO, *, shows: bool = True) -> None:
        super().__init__(stream)
        self.every_s = LOG_EVERY_S if shows else None

    def show(self, progress: Progress) -> None:
        """One event in the log."""
        _log.info("%s of the plan, %s", percentage(progress.share), describe(progress))

    def note(self, text: str) -> None:
        """Nothing."""


class ServiceDisplay:
    """Another display, and the same in a few words for a service manager, which `say` reaches."""

    def __init__(self, inner: Display, say: Callable[[str], None]) -> None:
        self._inner = inner
        self._say = say
        self.every_s: float | None = inner.every_s or SERVICE_EVERY_S

    def show(self, progress: Progress) -> None:
        """Both."""
        self._inner.show(progress)
        self._say(f"{percentage(progress.share)} of the plan, {describe(progress)}")

    def note(self, text: str) -> None:
        """The line."""
        self._inner.note(text)

    def close(self) -> None:
        """The last state stays."""
        self._inner.close()


@dataclass(frozen=True)
class SlotProgress:
    """What `attach` shows of a slot: what it does, in words, and how far its range is, 0 to 1."""

    slot: int
    words: str
    share: float


class AttachedBars:
    """One bar for the job and one for each slot, for somebody who looks at a daemon."""

    def __init__(self, stream: TextIO) -> None:
        self._block = Block(stream)

    def show(self, progress: Progress, slots: Sequence[SlotProgress]) -> None:
        """The state of things; of slots that the terminal has no room for only how many they are."""
        columns, rows = self._block.size
        room = max(rows - 2, 0)
        slots = sorted(slots, key=lambda one: one.slot)
        shown = slots if len(slots) <= room else slots[: max(room - 1, 0)]
        form = f"{{unit}} |{{bar:{min(20, columns // 8)}}}| {{desc}}"
        lines = [self._block.bar(one.share, form, one.words, f"{f'#{one.slot}':>4}") for one in shown]
        if len(shown) < len(slots) and room:
            lines.append(f"  and {len(slots) - len(shown)} more"[:columns])
        self._block.draw([_job_line(self._block, progress), *lines])

    def close(self) -> None:
        """The last state stays on the screen."""
        self._block.close()


def _job_line(block: Block, progress: Progress) -> str:
    columns = block.size.columns
    return block.bar(progress.share, _JOB_FORM, describe(progress, columns - _BESIDE_BAR - max(2, columns // 10)))


def percentage(share: float) -> str:
    """A share in per cents, never rounded up."""
    return f"{int(share * 1000) / 10:.1f}%"


def describe(progress: Progress, room: int | None = None) -> str:
    """Rows (exact), rate (smoothed), time left (an estimate), loaders, retries if there were any. Where `room` is too
    small for all of it, the time left matters most."""
    rows, rate = f"{progress.rows:,} rows", f"{progress.rows_per_second:,.0f} rows/s"
    eta = "?" if progress.eta_s is None else duration(progress.eta_s, roughly=True)
    left = [f"about {eta} left"] if progress.share < 1 else []
    more = [f"{progress.loaders} loader{'' if progress.loaders == 1 else 's'}"]
    if progress.retries:
        more.append(f"{progress.retries} retr{'y' if progress.retries == 1 else 'ies'}")
    last = [f"{eta} left", eta] if left else []
    forms = [[rows, rate, *left, *more], [rows, rate, *left], [rows, *left], left or [rows], *([one] for one in last)]
    texts = [", ".join(form) for form in forms]
    return next((text for text in texts if room is None or len(text) <= room), "")
