"""What is shown while a job runs: a bar, plain lines, or nothing. Always on standard error."""

from __future__ import annotations

import os
import sys
from typing import Any, Protocol, TextIO

from tqdm import tqdm

from shardload.progress import Progress

BAR_EVERY_S = 0.25
PLAIN_EVERY_S = 10.0
_STEPS = 10_000  # the bar counts hundredths of a per cent of the plan, not rows: rows are only estimated before the end


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
        print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """Nothing."""


class PlainDisplay(SilentDisplay):
    """A line now and then, for logs and pipes."""

    every_s: float | None = PLAIN_EVERY_S

    def show(self, progress: Progress) -> None:
        """One line."""
        self.note(f"{int(progress.share * 1000) / 10:5.1f}% of the plan, {describe(progress)}")  # never rounded up


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
        self._bar.refresh()

    def note(self, text: str) -> None:
        """A line above the bar."""
        self._bar.write(text, file=self._stream)

    def close(self) -> None:
        """Leave the bar where it is."""
        self._bar.close()


def _size(stream: TextIO) -> dict[str, Any]:
    """The terminal's size, followed as it changes; the classic one where a terminal does not know its own."""
    knows = stream.isatty() and os.get_terminal_size(stream.fileno()).columns > 0
    return {"dynamic_ncols": True} if knows else {"ncols": 80, "nrows": 24}


def describe(progress: Progress) -> str:
    """Rows (exact), rate (smoothed), time left (an estimate), loaders, retries if there were any."""
    parts = [f"{progress.rows:,} rows", f"{progress.rows_per_second:,.0f} rows/s"]
    if progress.share < 1:
        eta = "?" if progress.eta_s is None else tqdm.format_interval(progress.eta_s)
        parts.append(f"about {eta} left")
    parts.append(f"{progress.loaders} loader{'' if progress.loaders == 1 else 's'}")
    if progress.retries:
        parts.append(f"{progress.retries} retr{'y' if progress.retries == 1 else 'ies'}")
    return ", ".join(parts)
