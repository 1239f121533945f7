"""Bars on a terminal: lines that are drawn over again, whatever becomes of the terminal's size meanwhile.

The cursor waits at the beginning of the first line. A terminal that is made narrower wraps what stands there, and the
next drawing clears all below; but several lines may have been scrolled away, too: then the whole screen is cleared.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TextIO

from tqdm import tqdm

_CLASSIC = os.terminal_size((80, 24))  # where a terminal does not know its own


class Block:
    """Some lines at the bottom of what a stream shows."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: Sequence[str] = ()
        self._is_terminal = stream.isatty()
        self._size = self.size
        self._clear_below = "\x1b[J" if self._is_terminal else ""  # a file is spared escapes

    @property
    def size(self) -> os.terminal_size:
        """Columns that a line may have, and rows. The last column stays free: behind it a new row may begin."""
        known = os.get_terminal_size(self._stream.fileno()) if self._stream.isatty() else _CLASSIC
        columns, rows = known.columns or _CLASSIC.columns, known.lines or _CLASSIC.lines
        return os.terminal_size((max(columns - 1, 1), rows))

    def draw(self, lines: Sequence[str]) -> None:
        """These lines, in the place of those before."""
        resized = self.size != self._size and len(lines) > 1 and self._is_terminal
        self._lines, self._size = lines, self.size
        up = f"\x1b[{len(lines) - 1}A" if len(lines) > 1 else ""
        home = "\x1b[H\x1b[J" if resized else "\r"
        self._write(f"{home}{self._text()}{up}\r")

    def note(self, text: str) -> None:
        """A line above them, which stays."""
        self._write(f"\r{self._over('')}{self._clear_below}\r{text}\n")
        self.draw(self._lines)

    def close(self) -> None:
        """What was drawn last stays, and what comes next is written below it."""
        self._write(f"\r{self._text()}\n")

    def bar(self, share: float, form: str, words: str, name: str = "") -> str:
        """A line of `form` (tqdm's, with `words` as its desc and `name` as its unit) over a share of 1, in whole per
        cents, never rounded up."""
        return tqdm.format_meter(
            int(share * 100), 100, 0, ncols=self.size.columns, prefix=words, ascii=not self._knows_blocks(),
            bar_format=form, unit=name,
        )  # fmt: skip

    def _text(self) -> str:
        return "\n\r".join(map(self._over, self._lines)) + self._clear_below

    def _over(self, line: str) -> str:
        """The line, and nothing behind it of what stood there."""
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
