"""A worker's session: its record on the board, its acks, and whether it has to leave."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from types import FrameType

from shardload.ipc import AckQueue, Board, Phase, RangeCounts, WorkerView
from shardload.model.counts import Counts
from shardload.model.limits import CREDITS
from shardload.model.tasks import Ack, Outcome, Task
from shardload.process import start_time


class Session:
    """One worker process, as the others see it. Create it after the fork.

    `doorbell` is the pipe that wakes the coordinator. `idle_since_s` is the monotonic time of the last ack.
    """

    def __init__(self, slot: int, board: Board, acks: AckQueue, doorbell: int) -> None:
        self.slot = slot
        self.board = board
        self.coordinator = os.getppid()
        self.idle_since_s = 0.0
        self._acks = acks
        self._doorbell = doorbell
        self._pid, self._start = os.getpid(), start_time(os.getpid())
        self._sequence = 0
        self._range_counts: tuple[RangeCounts, ...] = ()
        self._range_id = 0
        self._asked_to_leave = False
        self._publish(Phase.IDLE)

    def leave(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """Note that this worker was asked to leave. It is the handler of SIGTERM."""
        self._asked_to_leave = True

    def must_leave(self) -> bool:
        """True if this worker was asked to leave, the job stops, or the coordinator is gone."""
        return self._asked_to_leave or self.board.is_stopping() or os.getppid() != self.coordinator

    def must_hand_back(self) -> bool:
        """True if the current range has to go back unfinished: this worker leaves, or the job is paused."""
        return self.must_leave() or self.board.is_paused()

    def take_up(self, task: Task | None) -> None:
        """Record the current range, so that a crash can be attributed to it; None if there is none."""
        self._range_id = task.range_id if task else 0

    def beat(self, phase: Phase) -> None:
        """Show that this worker is alive, and what it does next."""
        self.board.write_heartbeat(self.slot, time.monotonic(), phase, self._range_id)

    def shows(self, task: Task) -> bool:
        """True if the board has counts of this range."""
        return any(one[:2] == (task.range_id, task.attempt) for one in self._range_counts)

    def show(self, task: Task, counts: Counts) -> None:
        """Put the range's counts on the board. Those of the range before stay until the coordinator has settled it."""
        before = [one for one in self._range_counts if one[:2] != (task.range_id, task.attempt)]
        self._range_counts = ((task.range_id, task.attempt, counts), *before[: CREDITS - 1])
        self._publish(Phase.READING)

    def acknowledge(self, task: Task, outcome: Outcome, epoch: int, counts: Counts | None = None) -> None:
        """Tell the coordinator how a range ended, and wake it. IpcError if the queue is gone."""
        self._acks.send(Ack(self.slot, task.range_id, task.attempt, outcome, counts or Counts(), epoch))
        self.idle_since_s = time.monotonic()
        self.ring()

    def ring(self) -> None:
        """Wake the coordinator. BrokenPipeError if it is gone."""
        with suppress(BlockingIOError):  # the pipe is full of rings: one more would say nothing new
            os.write(self._doorbell, b".")

    def _publish(self, phase: Phase) -> None:
        view = WorkerView(self._pid, self._start, time.monotonic(), self._range_counts, phase, self._range_id)
        if self.board.publish(self.slot, self._sequence + 1, view):
            self._sequence += 1
