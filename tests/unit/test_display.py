"""What a running job shows: plain lines, a bar, or notes alone."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest

from shardload.display import BAR_EVERY_S, PLAIN_EVERY_S, AttachedBars, SlotProgress, describe, make_display
from shardload.progress import Progress

HALF = Progress(0.5, 1_234_567, 98_765.4, 75.0, 4, 0)


@pytest.mark.parametrize(
    ("progress", "shown"),
    [
        (HALF, "1,234,567 rows, 98,765 rows/s, about 1 min 15 s left, 4 loaders"),
        (replace(HALF, eta_s=None), "1,234,567 rows, 98,765 rows/s, about ? left, 4 loaders"),
        (replace(HALF, eta_s=3725.0, loaders=1), "1,234,567 rows, 98,765 rows/s, about 1 h 02 min left, 1 loader"),
        (replace(HALF, retries=1), "1,234,567 rows, 98,765 rows/s, about 1 min 15 s left, 4 loaders, 1 retry"),
        (replace(HALF, retries=12), "1,234,567 rows, 98,765 rows/s, about 1 min 15 s left, 4 loaders, 12 retries"),
        (replace(HALF, share=1.0, eta_s=0.0), "1,234,567 rows, 98,765 rows/s, 4 loaders"),
        (Progress(0.0, 0, 0.0, None, 0, 0), "0 rows, 0 rows/s, about ? left, 0 loaders"),
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
    display.note("loader 1 was killed by SIGKILL")
    display.close()
    left = "" if share == 1 else ", about 1 min 00 s left"
    assert stream.getvalue() == (
        f"{shown} of the plan, 1,234,567 rows, 98,765 rows/s{left}, 4 loaders\nloader 1 was killed by SIGKILL\n"
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
    assert [int(state.split("%")[0]) for state in states if "loaders" in state][-1] == 100
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
    display.note("loader 1 was killed")
    display.show(HALF)
    display.close()
    assert "loader 1 was killed" in re.split(r"[\r\n]+", stream.getvalue())


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


def test_what_stays_of_attached_bars() -> None:
    """The job, then its loaders by slot; no bar of a loader that was dismissed meanwhile."""
    stream = io.StringIO()
    bars = AttachedBars(stream)
    bars.show(HALF, [SlotProgress(slot, f"range {slot}", 0.5) for slot in (0, 1, 2)])
    bars.show(HALF, [SlotProgress(slot, f"range {slot}", 0.5) for slot in (2, 0)])
    before = stream.tell()
    bars.close()
    stream.seek(before)
    assert re.findall(r"4 loaders|#\d (?=\|)", stream.read()) == ["4 loaders", "#0 ", "#2 "]
