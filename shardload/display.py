"""What is shown while a job runs: a bar, plain lines, or nothing. Always on standard error."""

from __future__ import annotations

import logging
import os
import select
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol, TextIO

from tqdm import tqdm

from shardload.progress import Progress
from shardload.wording import duration

BAR_EVERY_S = 0.25
PLAIN_EVERY_S = 10.0
LOG_EVERY_S = 60.0
SERVICE_EVERY_S = 5.0
_STEPS = 10_000  # the bar counts hundredths of a per cent of the plan, not rows: rows are only estimated before the end


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
            print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """Nothing."""


class PlainDisplay(SilentDisplay):
    """A line now and then, for logs and pipes."""

    every_s: float | None = PLAIN_EVERY_S

    def show(self, progress: Progress) -> None:
        """One line."""
        self.note(f"{percentage(progress.share):>6} of the plan, {describe(progress)}")


class BarDisplay(SilentDisplay):
    """A tqdm bar over the share of the plan, with the exact rows beside it."""

    every_s: float | None = BAR_EVERY_S

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        tqdm.monitor_interval = 0  # no thread: this process forks
        self._bar = tqdm(
            total=_STEPS, file=stream, leave=True, mininterval=0, miniters=0, **_size(stream),
            bar_format="{percentage:3.0f}%|{bar}| {desc}", desc="starting",
        )  # fmt: skip

    def show(self, progress: Progress) -> None:
        """Move the bar."""
        self._bar.n = int(progress.share * _STEPS) // 100 * 100  # whole per cents, never rounded up
        self._bar.set_description_str(describe(progress), refresh=False)
        with _written_if_possible(self._stream):
            self._bar.refresh()

    def note(self, text: str) -> None:
        """A line above the bar."""
        with _written_if_possible(self._stream):
            self._bar.write(text, file=self._stream)

    def close(self) -> None:
        """Leave the bar where it is."""
        with _written_if_possible(self._stream):
            self._bar.close()


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
        self._stream = stream
        tqdm.monitor_interval = 0
        self._job = self._bar(0, "{percentage:3.0f}%|{bar}| {desc}")
        self._slots: dict[int, tqdm[NoReturn]] = {}

    def show(self, progress: Progress, slots: Iterable[SlotProgress]) -> None:
        """The state of things; slots that the terminal has no room for are left out, and those without a loader."""
        self._move(self._job, progress.share, describe(progress))
        room = _rows(self._stream) - 2
        there = {shown.slot: shown for shown in slots if shown.slot < room}
        for slot in self._slots.keys() - there.keys():
            gone = self._slots.pop(slot)
            gone.leave = False
            gone.close()
        for shown in there.values():
            if shown.slot not in self._slots:
                self._slots[shown.slot] = self._bar(shown.slot + 1, "  #{unit} |{bar:20}| {desc}", str(shown.slot))
            self._move(self._slots[shown.slot], shown.share, shown.words)

    def close(self) -> None:
        """The last state stays on the screen, in the same order: a bar that is closed goes to the cursor's line."""
        for bar in (self._job, *(self._slots[slot] for slot in sorted(self._slots))):
            bar.close()

    def _bar(self, position: int, form: str, name: str = "") -> tqdm[NoReturn]:
        return tqdm(
            total=_STEPS, file=self._stream, leave=True, position=position, mininterval=0, miniters=0, unit=name,
            bar_format=form, desc="", **_size(self._stream),
        )  # fmt: skip

    def _move(self, bar: tqdm[NoReturn], share: float, words: str) -> None:
        bar.n = int(share * _STEPS) // 100 * 100
        bar.set_description_str(words, refresh=False)
        bar.refresh()


def _rows(stream: TextIO) -> int:
    return os.get_terminal_size(stream.fileno()).lines or 24 if stream.isatty() else 24


def percentage(share: float) -> str:
    """A share in per cents, never rounded up."""
    return f"{int(share * 1000) / 10:.1f}%"


def _size(stream: TextIO) -> dict[str, Any]:
    """The terminal's size, followed as it changes; the classic one where a terminal does not know its own."""
    knows = stream.isatty() and os.get_terminal_size(stream.fileno()).columns > 0
    return {"dynamic_ncols": True} if knows else {"ncols": 80, "nrows": 24}


def describe(progress: Progress) -> str:
    """Rows (exact), rate (smoothed), time left (an estimate), loaders, retries if there were any."""
    parts = [f"{progress.rows:,} rows", f"{progress.rows_per_second:,.0f} rows/s"]
    if progress.share < 1:
        eta = "?" if progress.eta_s is None else duration(progress.eta_s, roughly=True)
        parts.append(f"about {eta} left")
    parts.append(f"{progress.loaders} loader{'' if progress.loaders == 1 else 's'}")
    if progress.retries:
        parts.append(f"{progress.retries} retr{'y' if progress.retries == 1 else 'ies'}")
    return ", ".join(parts)
