"""What a running job shows: plain lines, a bar, or notes alone."""

from __future__ import annotations

import fcntl
import io
import os
import re
import struct
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TextIO

import pytest

from shardload.reporting.display import PLAIN_EVERY_S
from shardload.reporting.facts import SlotFacts
from shardload.reporting.progress import Progress
from shardload.reporting.terminal import BAR_EVERY_S, AttachedBars, make_display
from shardload.reporting.text import describe

HALF = Progress(0.5, 1_234_567, 98_765.4, 75.0, 4, 0)


@pytest.mark.parametrize(
    ("progress", "shown"),
    [
        (HALF, "1,234,567 rows, 98,765 rows/s, about 1 min 15 s left, 4 workers"),
        (replace(HALF, eta_s=None), "1,234,567 rows, 98,765 rows/s, about ? left, 4 workers"),
        (replace(HALF, eta_s=3725.0, workers=1), "1,234,567 rows, 98,765 rows/s, about 1 h 02 min left, 1 worker"),
        (replace(HALF, retries=1), "1,234,567 rows, 98,765 rows/s, about 1 min 15 s left, 4 workers, 1 retry"),
        (replace(HALF, retries=12), "1,234,567 rows, 98,765 rows/s, about 1 min 15 s left, 4 workers, 12 retries"),
        (replace(HALF, share=1.0, eta_s=0.0), "1,234,567 rows, 98,765 rows/s, 4 workers"),
        (Progress(0.0, 0, 0.0, None, 0, 0), "0 rows, 0 rows/s, about ? left, 0 workers"),
    ],
)
def test_a_state_in_words(progress: Progress, shown: str) -> None:
    """Exact rows, the rate, an estimate that says so, and retries only if there were any."""
    assert describe(progress) == shown


@pytest.mark.parametrize(("share", "shown"), [(0.0, "  0.0%"), (0.123, " 12.3%"), (0.5, " 50.0%"), (1.0, "100.0%")])
def test_plain_lines(share: float, shown: str) -> None:
    """The whole line, and nothing a pipe would choke on."""
    stream = io.StringIO()
    display = make_display("plain", stream)
    assert display.every_s == PLAIN_EVERY_S
    display.show(replace(HALF, share=share, eta_s=60.0))
    display.note("worker 1 was killed by SIGKILL")
    display.close()
    left = "" if share == 1 else ", about 1 min 00 s left"
    assert stream.getvalue() == (
        f"{shown} of the plan, 1,234,567 rows, 98,765 rows/s{left}, 4 workers\nworker 1 was killed by SIGKILL\n"
    )


@pytest.mark.parametrize("kind", ["plain", "bar"])
def test_less_than_everything_is_never_100_per_cent(kind: str) -> None:
    """As long as a range is to do, what is shown is below 100."""
    stream = io.StringIO()
    display = make_display(kind, stream)
    display.show(replace(HALF, share=0.9999))
    shown = [float(found) for found in re.findall(r"(\d+(?:\.\d+)?)%", stream.getvalue())]
    display.close()
    assert max(shown) < 100


def test_notes_alone() -> None:
    """`none` shows no progress, but what a person must know."""
    stream = io.StringIO()
    display = make_display("none", stream)
    assert display.every_s is None
    display.show(HALF)
    display.note("look here")
    display.close()
    assert stream.getvalue() == "look here\n"


def test_a_bar() -> None:
    """It moves with the share, fits 80 columns, and its last state stays."""
    stream = io.StringIO()
    display = make_display("bar", stream)
    assert display.every_s == BAR_EVERY_S
    for share in (0.0, 0.25, 0.5, 1.0):
        display.show(replace(HALF, share=share))
    display.close()
    states = [state for state in re.split(r"[\r\n]", stream.getvalue()) if state.strip()]
    assert [int(state.split("%")[0]) for state in states if "workers" in state][-1] == 100
    seen = [int(state.split("%")[0]) for state in states]
    assert seen == sorted(seen)
    assert {0, 25, 50, 100} <= set(seen)
    assert "1,234,567 rows" in states[-1]
    assert max(map(len, states)) <= 80
    assert stream.getvalue().endswith("\n")


def test_a_note_does_not_break_the_bar() -> None:
    """The note has a line of its own, above the bar."""
    stream = io.StringIO()
    display = make_display("bar", stream)
    display.show(HALF)
    display.note("worker 1 was killed")
    display.show(HALF)
    display.close()
    assert "worker 1 was killed" in re.split(r"[\r\n]+", stream.getvalue())
    assert "\x1b" not in stream.getvalue()  # it may be a file


def test_auto_is_plain_in_a_pipe() -> None:
    """Without a terminal nobody wants carriage returns."""
    stream = io.StringIO()
    display = make_display("auto", stream)
    display.show(HALF)
    display.close()
    assert "\r" not in stream.getvalue()
    assert stream.getvalue().count("\n") == 1


def test_no_thread_watches_the_bar() -> None:
    """A thread would not survive the fork, and could hold a lock across it."""
    import threading

    before = threading.active_count()
    display = make_display("bar", io.StringIO())
    display.show(HALF)
    assert threading.active_count() == before
    display.close()


def slot_facts(slot: int) -> SlotFacts:
    """A worker that is half-way through its range."""
    return SlotFacts(slot, 4711, "reading MySQL", slot + 1, 10, 0.5, 0.0)


def test_what_stays_of_attached_bars() -> None:
    """The job, then its workers by slot; no bar of a worker that was dismissed meanwhile."""
    stream = io.StringIO()
    bars = AttachedBars(stream)
    bars.show(HALF, [slot_facts(slot) for slot in (0, 1, 2)])
    bars.show(HALF, [slot_facts(slot) for slot in (2, 0)])
    before = stream.tell()
    bars.close()
    stream.seek(before)
    assert re.findall(r"4 workers|#\d (?=\|)", stream.read()) == ["4 workers", "#0 ", "#2 "]


@contextmanager
def terminal(columns: int, rows: int) -> Iterator[tuple[TextIO, int]]:
    """A terminal of this size: what a program writes to, and the descriptor of who reads that."""
    reading, writing = os.openpty()
    resize(writing, columns, rows)
    with os.fdopen(writing, "w", encoding="utf-8") as stream:
        yield stream, reading
    os.close(reading)


def resize(descriptor: int, columns: int, rows: int) -> None:
    """As a window that is made smaller or larger does."""
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def drawn(stream: TextIO, reading: int) -> list[str]:
    """The lines of the last drawing, as they were written."""
    text = all_of(stream, reading)
    assert "\x1b[J" in text  # nothing below stays of an earlier drawing
    return re.findall(r"[^\r\n]+?(?=\x1b\[K)", text)


def all_of(stream: TextIO, reading: int) -> str:
    """What was written since the last call."""
    stream.write("~")
    stream.flush()
    written = b""
    while not written.endswith(b"~"):
        written += os.read(reading, 65536)
    return written.decode()[:-1]


@pytest.mark.parametrize(
    ("columns", "rows", "job"),
    [
        (200, 50, "1,234,567 rows, 98,765 rows/s, about 1 min 15 s left, 4 workers"),
        (80, 24, "1,234,567 rows, 98,765 rows/s, about 1 min 15 s left, 4 workers"),
        (60, 24, "1,234,567 rows, about 1 min 15 s left"),
        (40, 10, "about 1 min 15 s left"),
        (25, 10, "1 min 15 s left"),
        (20, 5, "1 min 15 s"),
    ],
)
def test_bars_fit_their_terminal(columns: int, rows: int, job: str) -> None:
    """The time left is told first; there is always a bar; no line is wrapped, and no slot out of line with another."""
    slots = [slot_facts(slot) for slot in range(64)]
    with terminal(columns, rows) as (stream, reading):
        make_display("bar", stream).show(HALF)
        _, line = drawn(stream, reading)
        assert line.endswith(f"| {job}")
        assert len(line) < columns
        assert line.index("| ") - line.index("|") > 2
        bars = AttachedBars(stream)
        bars.show(HALF, slots)
        found = drawn(stream, reading)
        assert found[0] == line
        assert len(found) == min(rows - 1, 65)
        assert {one.index("|") for one in found[1:-1]} == {5}
        assert found[-1] == f"  and {64 - (len(found) - 2)} more"
        assert max(map(len, found)) < columns


def test_a_resize_leaves_nothing_of_what_was_there() -> None:
    """The terminal may have wrapped lines and scrolled them away: all is cleared, once. The last drawing stays."""
    slots = [slot_facts(slot) for slot in range(20)]
    with terminal(100, 30) as (stream, reading):
        bars = AttachedBars(stream)
        bars.show(HALF, slots)
        assert all_of(stream, reading).endswith("\x1b[20A\r")
        resize(reading, 30, 6)
        bars.show(HALF, slots)
        text = all_of(stream, reading)
        assert text.startswith("\x1b[H\x1b[J")
        assert text.endswith("\x1b[4A\r")
        bars.show(HALF, slots)
        assert "\x1b[H" not in all_of(stream, reading)
        bars.show(HALF, [])
        bars.close()
        assert all_of(stream, reading).count("\n") == 1
