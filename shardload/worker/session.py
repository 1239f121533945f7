"""A worker's place on the board: its sign of life, and what it has done of the ranges in its hand."""

from __future__ import annotations

import os
import time

from shardload.ipc import Board, Cell, Phase, WorkerView
from shardload.model.counts import Counts
from shardload.model.limits import MOST_HELD
from shardload.model.tasks import Task
from shardload.process import start_time


class Session:
    """One worker process's."""

    def __init__(self, board: Board, slot: int) -> None:
        self._board = board
        self._slot = slot
        self._pid, self._start = os.getpid(), start_time(os.getpid())
        self._sequence = 0
        self._cells: tuple[Cell, ...] = ()
        self._range_id = 0
        self._publish(Phase.IDLE)

    def take_up(self, task: Task | None) -> None:
        """The range in hand, from now on: who dies with it is known to have died of it."""
        self._range_id = task.range_id if task else 0

    def beat(self, phase: Phase) -> None:
        """A sign of life, and what comes next."""
        self._board.beat(self._slot, time.monotonic(), phase, self._range_id)

    def shows(self, task: Task) -> bool:
        """True if there are counts of this range for all to see."""
        return any(cell[:2] == (task.range_id, task.attempt) for cell in self._cells)

    def show(self, task: Task, counts: Counts) -> None:
        """The range's counts so far. Those of the ranges before stay until they are surely settled."""
        before = [cell for cell in self._cells if cell[:2] != (task.range_id, task.attempt)]
        self._cells = ((task.range_id, task.attempt, counts), *before[: MOST_HELD - 1])
        self._publish(Phase.READING)

    def _publish(self, phase: Phase) -> None:
        view = WorkerView(self._pid, self._start, time.monotonic(), self._cells, phase, self._range_id)
        if self._board.publish(self._slot, self._sequence + 1, view):
            self._sequence += 1
