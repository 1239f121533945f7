"""Carries out what a person asks of a running job: pause, workers, rate, reload.

Signals and the control FIFO both end here. An order is answered when it is carried out: at once, or later, when the
workers have done their part.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from shardload.coordinator.pool import Pool
from shardload.ipc import Board, Phase
from shardload.model.orders import Answer, Limits, Order
from shardload.model.wording import counted
from shardload.ranges.tracker import Tracker


@dataclass(frozen=True)
class _Promise:
    """An order that was accepted and is not carried out yet."""

    answer: Answer
    is_kept: Callable[[], bool]
    text: str


class Silent:
    """The answer to a signal. Nobody waits for it; the log has it."""

    def wait(self, text: str) -> None:
        """Do nothing."""

    def done(self, text: str) -> None:
        """Do nothing."""

    def refuse(self, text: str) -> None:
        """Do nothing."""


class Controls:
    """The job's present limits. `take_back` takes back what a slot has not received; `say` tells a person.

    `paused_since_s` is a monotonic clock reading, 0 without a pause; `paused_s` sums up the pauses that have ended.
    """

    def __init__(
        self,
        pool: Pool,
        board: Board,
        tracker: Tracker,
        limits: Limits,
        *,
        take_back: Callable[[int], None],
        say: Callable[[str], None],
    ) -> None:
        self.paused_since_s = 0.0
        self.paused_s = 0.0
        self.held_for = ""  # why a guard has paused the job; empty if none has
        self.slow_for = ""  # why a guard has slowed it down
        self._is_paused_by_order = False
        self._rate_rows, self._guard_rate_rows = limits.rate_rows, 0
        self.workers = limits.workers
        self._pool = pool
        self._board = board
        self._tracker = tracker
        self._take_back = take_back
        self._say = say
        self._to_replace: deque[tuple[int, int]] = deque()
        self._promises: list[_Promise] = []
        tracker.use_slots(limits.workers)
        if limits.rate_rows:
            board.set_rate(limits.rate_rows, time.monotonic())

    @property
    def is_paused(self) -> bool:
        """True from `pause` to `unpause`, and while a guard has paused the job."""
        return self.paused_since_s > 0

    @property
    def limits(self) -> Limits:
        """What holds now by order, whatever a guard has added."""
        return Limits(self.workers, self._rate_rows)

    @property
    def restraint(self) -> str:
        """Why a guard holds the job back, in words; empty if none does."""
        if self.held_for:
            return f"paused by a guard: {self.held_for}"
        return f"slowed down by a guard: {self.slow_for}" if self.slow_for else ""

    def apply(self, order: Order, answer: Answer) -> None:
        """Begin to carry out an order that concerns the workers."""
        if order.verb == "pause":
            self._pause(answer)
        elif order.verb == "unpause":
            self._unpause(answer)
        elif order.verb == "scale":
            self.scale(order.number, answer)
        elif order.verb == "rate":
            self.set_rate(order.number)
            answer.done(f"at most {order.number:,} rows/s" if order.number else "no limit on the rate")
        elif order.verb == "reload":
            self._reload(answer)
        else:
            answer.refuse(f"{order.verb} does not concern the workers")

    def advance(self) -> None:
        """Go on with a reload, and answer the orders that are carried out by now."""
        while self._to_replace and not self._is_changing():
            number, pid = self._to_replace.popleft()
            if self._pool.slots[number].pid == pid:
                self._take_back(number)
                self._pool.retire(number)
        for promise in list(self._promises):
            if promise.is_kept():
                promise.answer.done(promise.text)
                self._promises.remove(promise)

    def break_off(self, reason: str) -> None:
        """The job ends: refuse the orders that are not carried out yet."""
        self._to_replace.clear()
        for promise in self._promises:
            promise.answer.refuse(reason)
        self._promises.clear()

    def scale(self, workers: int, answer: Answer) -> None:
        """Have `workers` workers from now on. Those that are too many leave when they have done what they received."""
        self._say(f"workers: {self.workers} before, {workers} now")
        self.workers = workers
        self._tracker.use_slots(workers)
        for number, slot in enumerate(self._pool.slots):
            if number >= workers and slot.pid:
                self._take_back(number)
                self._pool.retire(number)

        def is_kept() -> bool:
            is_left = any(slot.pid for slot in self._pool.slots[workers:])
            return not is_left and self._is_staffed() and not self._is_changing()

        self._promise(answer, is_kept, counted(workers, "worker"), "workers start, or leave after their current range")

    def set_limits(self, limits: Limits) -> None:
        """Apply the limits that a reload has read, where they differ from the present ones."""
        if limits.workers != self.workers:
            self.scale(limits.workers, Silent())
        if limits.rate_rows != self._rate_rows:
            self.set_rate(limits.rate_rows)

    def go_on_with_fewer(self, reason: str) -> None:
        """A server has no room for another connection: go on with the workers that have theirs, or may yet get it."""
        others = [slot for slot in self._pool.used_slots if slot.pid and not slot.losses]
        workers = len(others)
        if workers < self.workers and any(slot.is_up for slot in others) and not self._is_changing():
            self._say(f"{reason}: going on with fewer workers; shardload scale adds some again")
            self.scale(workers, Silent())

    def set_rate(self, rate_rows: int) -> None:
        """Allow `rate_rows` rows a second from now on, all workers together; 0: no limit."""
        self._rate_rows = rate_rows
        self._set_board_rate()
        self._say(f"rate: {rate_rows:,} rows/s at most" if rate_rows else "rate: no limit")

    def set_guard_rate(self, rate_rows: int, reason: str) -> None:
        """The same, as a guard wants it: the lower one of both counts."""
        self._guard_rate_rows, self.slow_for = rate_rows, reason if rate_rows else ""
        self._set_board_rate()

    def _set_board_rate(self) -> None:
        both = [rate for rate in (self._rate_rows, self._guard_rate_rows) if rate]
        self._board.set_rate(min(both, default=0), time.monotonic())

    def hold(self, reason: str) -> None:
        """Pause for as long as a guard has a reason to; empty: it has none any more."""
        if bool(reason) != bool(self.held_for):
            self._say(f"paused by a guard: {reason}" if reason else "no guard holds the job any more")
        self.held_for = reason
        self._pause_or_go_on()

    def _pause_or_go_on(self) -> None:
        """As the order and the guards want it: both have to let the job go on."""
        wanted = self._is_paused_by_order or bool(self.held_for)
        if wanted and not self.is_paused:
            self.paused_since_s = time.monotonic()
            self._board.set_paused(True)
            for number in range(len(self._pool.slots)):
                self._take_back(number)
        elif self.is_paused and not wanted:
            self.paused_s += time.monotonic() - self.paused_since_s
            self.paused_since_s = 0.0
            self._board.set_paused(False)

    def _pause(self, answer: Answer) -> None:
        if not self._is_paused_by_order:
            self._is_paused_by_order = True
            self._pause_or_go_on()
            self._say("paused: the workers hand back their ranges after the current batch")
        self._promise(answer, lambda: not self._tracker.ranges_out, "paused", "the workers finish their batches")

    def _unpause(self, answer: Answer) -> None:
        if self._is_paused_by_order:
            self._is_paused_by_order = False
            self._pause_or_go_on()
            self._say("unpaused")
        answer.done(f"no longer paused by an order, but by a guard: {self.held_for}" if self.held_for else "not paused")

    def _reload(self, answer: Answer) -> None:
        old = [(number, slot.pid) for number, slot in enumerate(self._pool.slots) if slot.pid and not slot.is_leaving]
        self._to_replace.extend(pair for pair in old if pair not in self._to_replace)
        self._say(f"reloading: {counted(len(old), 'worker')} to replace, one at a time")

        def is_kept() -> bool:
            is_left = any(self._pool.slots[number].pid == pid for number, pid in old)
            return not is_left and self._is_staffed() and not self._is_changing()

        self._promise(answer, is_kept, f"{counted(len(old), 'worker')} replaced", "workers leave one at a time")

    def _is_staffed(self) -> bool:
        """True if there are as many workers as there should be."""
        return self._pool.alive >= min(self.workers, self._tracker.open_ranges)

    def _is_changing(self) -> bool:
        """True while a worker is leaving or starting."""
        return any(
            slot.is_leaving or self._board.worker(number).phase is Phase.NONE
            for number, slot in enumerate(self._pool.slots)
            if slot.pid
        )

    def _promise(self, answer: Answer, is_kept: Callable[[], bool], text: str, meanwhile: str) -> None:
        if is_kept():
            answer.done(text)
        else:
            answer.wait(meanwhile)
            self._promises.append(_Promise(answer, is_kept, text))
