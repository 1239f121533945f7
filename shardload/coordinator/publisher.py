"""What a run shows: the coordinator's part of the board, and the progress that a person sees."""

from __future__ import annotations

import time
from dataclasses import replace

from shardload.coordinator.context import Ending
from shardload.coordinator.controls import Controls
from shardload.coordinator.pool import Pool
from shardload.ipc import Board, HeldRange, RunState
from shardload.model.limits import CREDITS
from shardload.ranges.tracker import Tracker
from shardload.reporting.display import Display
from shardload.reporting.progress import Meter, Progress

_PAUSED_EVERY_S = 10.0  # a paused job changes nothing, and should cost nothing


class Publisher:
    """One run's publisher. `started_s` is the monotonic clock at the run's beginning."""

    def __init__(
        self, board: Board, tracker: Tracker, pool: Pool, controls: Controls, display: Display, *, started_s: float
    ) -> None:
        self._board = board
        self._tracker = tracker
        self._pool = pool
        self._controls = controls
        self._display = display
        self._started_s = started_s
        self._seconds_before = tracker.totals.seconds
        self._rows_before = tracker.totals.counts.rows_read
        self._share_before = tracker.share([])
        self._meter = Meter(started_s, self._rows_before, self._share_before)
        self._next_s = started_s

    def due_s(self) -> float | None:
        """The monotonic time at which the progress is to be shown again; None: never."""
        return None if self._display.every_s is None else self._next_s

    def is_due_now(self) -> None:
        """Show the progress in this turn: something changed that a person wants to see."""
        self._next_s = 0.0

    def show_if_due(self, now_s: float) -> None:
        """Show the progress, if its time has come."""
        every_s = self._display.every_s
        if every_s is not None and now_s >= self._next_s:
            self._next_s = now_s + (max(every_s, _PAUSED_EVERY_S) if self._controls.is_paused else every_s)
            self._display.show(self.progress())

    def show_end(self, ending: Ending | None) -> None:
        """Show the progress for the last time, and note in an early ending what it leaves unfinished."""
        self._display.show(self.progress())
        if ending is not None:
            ending.rows_unfinished, ending.rows_unfinished_exact = self._unfinished()

    def note(self, text: str) -> None:
        """Show one line."""
        self._display.note(text)

    def progress(self) -> Progress:
        """The job at this moment, as everybody who looks at the board sees it."""
        self.write_board()
        shown = self._board.snapshot()
        assert shown is not None  # its writer is this process
        in_hand = [(counts.rows_read, held.estimated_rows) for slot in shown.slots for held, counts in slot.in_hand()]
        rows, share = shown.counts().rows_read, self._tracker.share(in_hand)
        reading = self._meter.reading(
            time.monotonic(), rows, share, workers=self._pool.alive, retries=self._tracker.retries
        )
        return replace(reading, restraint=self._controls.restraint)

    def _unfinished(self) -> tuple[int, bool]:
        """How many rows were written in ranges that are not done, and whether that is exact: a worker that is killed,
        or loses a server, cannot say how far it came."""
        shown = self._board.snapshot()
        assert shown is not None  # its writer is this process
        written = dict(self._tracker.handed_back)
        for slot in shown.slots:
            for held, counts in slot.in_hand():
                written[held.range_id] = max(written.get(held.range_id, 0), counts.keys_written)
        is_out = any(slot.held_ranges for slot in shown.slots)
        return sum(written.values()), not is_out and not self._tracker.unsure

    def write_board(self) -> None:
        """Put on the board what is settled, and which ranges are out."""
        totals, controls = self._tracker.totals, self._controls
        run_state = RunState(
            workers=controls.workers,
            counts=totals.counts,
            ranges=totals.ranges,
            ranges_done=totals.ranges_done,
            ranges_set_aside=totals.ranges_set_aside,
            retries=self._tracker.retries,
            estimated_rows=totals.estimated_rows,
            estimated_rows_done=totals.estimated_rows_done,
            seconds_before=self._seconds_before,
            started_s=self._started_s,
            paused_s=controls.paused_s,
            paused_since_s=controls.paused_since_s,
            rows_before=self._rows_before,
            share_before=self._share_before,
        )
        used = [number + 1 for number, slot in enumerate(self._pool.used_slots) if slot.pid]
        shown = range(max([controls.workers, *used]))
        self._board.write_run_state(run_state, [self._held_ranges(number) for number in shown])

    def _held_ranges(self, number: int) -> list[HeldRange]:
        return [
            HeldRange(task.range_id, task.attempt, task.estimated_rows) for task in self._tracker.held(number)[:CREDITS]
        ]
