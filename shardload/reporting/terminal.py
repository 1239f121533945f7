"""Bars on a terminal: lines that are drawn over again, even if the terminal's size changes.

The cursor stays at the beginning of the first line. If the terminal is made narrower it wraps the lines, and the next
drawing clears everything below; if several lines may have been scrolled away, it clears the whole screen.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from tqdm import tqdm

from shardload.model.printable import printable
from shardload.reporting.display import Display, PlainDisplay, SilentDisplay, written_if_possible
from shardload.reporting.facts import SlotFacts
from shardload.reporting.progress import Progress
from shardload.reporting.text import describe, slot_text

BAR_EVERY_S = 0.25
_JOB_FORM = "{percentage:3.0f}%|{bar}| {desc}"
_BESIDE_BAR = len("100%|| ")
_CLASSIC = os.terminal_size((80, 24))  # if the terminal does not know its size


class Block:
    """Some lines at the bottom of a stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: Sequence[str] = ()
        self._is_terminal = stream.isatty()
        self._size = self.size
        self._clear_below = "\x1b[J" if self._is_terminal else ""  # a file is spared escapes

    @property
    def size(self) -> os.terminal_size:
        """Columns that a line may have, and rows. The last column stays free: some terminals wrap after it."""
        known = os.get_terminal_size(self._stream.fileno()) if self._stream.isatty() else _CLASSIC
        columns, rows = known.columns or _CLASSIC.columns, known.lines or _CLASSIC.lines
        return os.terminal_size((max(columns - 1, 1), rows))

    def draw(self, lines: Sequence[str]) -> None:
        """Draw these lines over the ones before."""
        resized = self.size != self._size and len(lines) > 1 and self._is_terminal
        self._lines, self._size = lines, self.size
        up = f"\x1b[{len(lines) - 1}A" if len(lines) > 1 else ""
        home = "\x1b[H\x1b[J" if resized else "\r"
        self._write(f"{home}{self._text()}{up}\r")

    def note(self, text: str) -> None:
        """Write a line above them; it stays."""
        self._write(f"\r{self._over('')}{self._clear_below}\r{text}\n")
        self.draw(self._lines)

    def close(self) -> None:
        """Leave what was drawn last; what comes next is written below it."""
        self._write(f"\r{self._text()}\n")

    def bar(self, share: float, form: str, words: str, name: str = "") -> str:
        """A bar for a share of 0 to 1, in whole per cent, never rounded up. `form` is tqdm's bar_format, with `words`
        as its desc and `name` as its unit."""
        return tqdm.format_meter(
            int(share * 100), 100, 0, ncols=self.size.columns, prefix=words, ascii=not self._knows_blocks(),
            bar_format=form, unit=name,
        )  # fmt: skip

    def _text(self) -> str:
        return "\n\r".join(map(self._over, self._lines)) + self._clear_below

    def _over(self, line: str) -> str:
        """The line, with the rest of the terminal's line cleared."""
        return f"{line}\x1b[K" if self._is_terminal else line.ljust(self.size.columns)

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()

    def _knows_blocks(self) -> bool:
        try:
            "█▏".encode(self._stream.encoding or "utf-8")
        except UnicodeError:
            return False
        return True


class BarDisplay(SilentDisplay):
    """A bar for the share of the plan, with the exact rows and the rest beside it, as far as there is room."""

    every_s: float | None = BAR_EVERY_S

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._block = Block(stream)
        with written_if_possible(stream):
            self._block.draw([self._block.bar(0, _JOB_FORM, "starting")])

    def show(self, progress: Progress) -> None:
        """Move the bar."""
        with written_if_possible(self._stream):
            self._block.draw([_job_line(self._block, progress)])

    def note(self, text: str) -> None:
        """Show a line above the bar."""
        with written_if_possible(self._stream):
            self._block.note(printable(text))

    def close(self) -> None:
        """Leave the bar where it is."""
        with written_if_possible(self._stream):
            self._block.close()


class AttachedBars:
    """One bar for the job and one for each slot, for `shardload attach`."""

    def __init__(self, stream: TextIO) -> None:
        self._block = Block(stream)

    def show(self, progress: Progress, slots: Sequence[SlotFacts]) -> None:
        """Draw the bars. If the terminal has no room for all slots, say how many more there are."""
        columns, rows = self._block.size
        room = max(rows - 2, 0)
        slots = sorted(slots, key=lambda one: one.slot)
        shown = slots if len(slots) <= room else slots[: max(room - 1, 0)]
        form = f"{{unit}} |{{bar:{min(20, columns // 8)}}}| {{desc}}"
        lines = [self._block.bar(one.share, form, slot_text(one), f"{f'#{one.slot}':>4}") for one in shown]
        if len(shown) < len(slots) and room:
            lines.append(f"  and {len(slots) - len(shown)} more"[:columns])
        self._block.draw([_job_line(self._block, progress), *lines])

    def close(self) -> None:
        """Leave the last state on the screen."""
        self._block.close()


def _job_line(block: Block, progress: Progress) -> str:
    columns = block.size.columns
    return block.bar(progress.share, _JOB_FORM, describe(progress, columns - _BESIDE_BAR - max(2, columns // 10)))


def make_display(kind: str, stream: TextIO | None = None) -> Display:
    """`bar`, `plain`, `none`, or `auto`: a bar on a terminal, else plain lines."""
    stream = stream or sys.stderr
    if kind == "auto":
        kind = "bar" if stream.isatty() else "plain"
    return {"bar": BarDisplay, "plain": PlainDisplay, "none": SilentDisplay}[kind](stream)


@contextmanager
def counting_bar(total: int, unit: str) -> Iterator[Callable[[int], object]]:
    """A bar on standard error while something is counted up to `total`; nothing if that is no terminal.

    The caller calls what it gets with the count so far.
    """
    with tqdm(total=total, unit=unit, unit_scale=True, disable=None) as bar:
        yield lambda count: bar.update(count - bar.n)
