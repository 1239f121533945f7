"""The types in which the board is read and written."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from shardload.model.counts import Counts

RangeCounts = tuple[int, int, Counts]  # range id (never 0), attempt, counts


@dataclass(frozen=True)
class BoardHeader:
    """The run that a board belongs to. `coordinator_start` is the start time of process `coordinator_pid`."""

    slots: int
    run_id: int
    coordinator_pid: int
    coordinator_start: int


class Phase(enum.IntEnum):
    """What a worker is doing."""

    NONE = 0  # there is no worker, or it is starting
    IDLE = 1  # waiting for a range
    CONNECTING = 2
    READING = 3  # waiting for MySQL
    WRITING = 4  # waiting for Redis
    HELD_BACK = 5  # waiting, because of the rate limit
    COMPARING = 6  # waiting for Redis's answers

    @property
    def is_network(self) -> bool:
        """True if the worker waits for a server. Such a wait has its own time-out, after which the worker fails."""
        return self in (Phase.CONNECTING, Phase.READING, Phase.WRITING, Phase.COMPARING)


@dataclass(frozen=True)
class WorkerView:
    """The record of one worker. `start` is its process's start time, `heartbeat_s` a reading of the monotonic clock."""

    pid: int
    start: int
    heartbeat_s: float
    range_counts: tuple[RangeCounts, ...]  # the newest first; at most CREDITS of them
    phase: Phase = Phase.NONE
    range_id: int = 0  # the lowest 32 bits of the current range's id; 0: none, or unknown


class HeldRange(NamedTuple):
    """A range that the coordinator gave to a slot and that is not settled yet."""

    range_id: int
    attempt: int
    estimated_rows: int


class RunState(NamedTuple):
    """The state of the run, as the coordinator knows it.

    - `counts`, `ranges_done` and the other counts are what the journal has settled.
    - `seconds_before`, `rows_before` and `share_before` (0 to 1) are what earlier runs of the job did.
    - `started_s` and `paused_since_s` (0: not paused) are readings of the monotonic clock; `paused_s` is the length of
      the pauses that have ended.
    """

    workers: int
    counts: Counts
    ranges: int
    ranges_done: int
    ranges_set_aside: int
    retries: int
    estimated_rows: int
    estimated_rows_done: int
    seconds_before: float
    started_s: float
    paused_s: float
    paused_since_s: float
    rows_before: int
    share_before: float

    def worked_s(self, now_s: float) -> float:
        """How many seconds this run has worked, without its pauses. Always above 0."""
        return max(1e-6, (self.paused_since_s or now_s) - self.started_s - self.paused_s)


@dataclass(frozen=True)
class SlotView:
    """One slot: its ranges, and its worker's record."""

    held_ranges: tuple[HeldRange, ...]  # the oldest first
    worker: WorkerView

    def current(self) -> tuple[HeldRange | None, Counts]:
        """The worker's current range and its counts; if it names none, the newest with counts, else the oldest held."""
        shown = list(self.in_hand())
        counts = dict(shown)
        for held in self.held_ranges:
            if held.range_id == self.worker.range_id:
                return held, counts.get(held, Counts())
        return shown[0] if shown else (next(iter(self.held_ranges), None), Counts())

    def in_hand(self) -> Iterator[tuple[HeldRange, Counts]]:
        """The ranges that the slot holds, with their counts. Leaves out settled ones that are still in the record."""
        by_attempt = {(held.range_id, held.attempt): held for held in self.held_ranges}
        for range_id, attempt, counts in self.worker.range_counts:
            if (range_id, attempt) in by_attempt:
                yield by_attempt[range_id, attempt], counts


@dataclass(frozen=True)
class Snapshot:
    """A whole board at one moment."""

    run_state: RunState
    rate_rows: float
    is_paused: bool
    is_stopping: bool
    slots: list[SlotView]

    def counts(self) -> Counts:
        """The counts of the whole job: settled ones and those of ranges in hand."""
        return sum((counts for slot in self.slots for _, counts in slot.in_hand()), self.run_state.counts)
