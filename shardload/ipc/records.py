"""What stands on the board, as its readers see it."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from shardload.model.counts import Counts

Cell = tuple[int, int, Counts]  # range id (never 0), attempt, counts


@dataclass(frozen=True)
class BoardHeader:
    """Whose board it is."""

    slots: int
    run_id: int
    coordinator_pid: int
    coordinator_start: int


class Phase(enum.IntEnum):
    """What a worker is doing. A network phase is a wait that ends by itself, with an error after its time-out."""

    NONE = 0  # there is no worker, or it is only just starting
    IDLE = 1  # waits for a range
    CONNECTING = 2
    READING = 3  # waits for MySQL
    WRITING = 4  # waits for Redis
    HELD_BACK = 5  # by the rate limit

    @property
    def is_network(self) -> bool:
        """True for a wait that has a time-out of its own."""
        return self in (Phase.CONNECTING, Phase.READING, Phase.WRITING)


@dataclass(frozen=True)
class WorkerView:
    """What one worker shows. `heartbeat_s` is a monotonic clock reading."""

    pid: int
    start: int
    heartbeat_s: float
    cells: tuple[Cell, ...]  # the newest first; no more than a slot may hold ranges
    phase: Phase = Phase.NONE
    range_id: int = 0  # of the range in hand (its lowest 32 bits); 0: none, or not known


class Holding(NamedTuple):
    """A range that a slot holds, as the coordinator knows it."""

    range_id: int
    attempt: int
    estimated_rows: int


class Standing(NamedTuple):
    """What the coordinator has settled, and the run's frame. `started_s` and `paused_since_s` are monotonic clock
    readings (0: not paused), `paused_s` is how long the pauses were that have ended."""

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
        """How long this run has lasted by now, without its pauses; above 0."""
        return max(1e-6, (self.paused_since_s or now_s) - self.started_s - self.paused_s)


@dataclass(frozen=True)
class SlotView:
    """One slot: what it holds, and what its worker shows."""

    holdings: tuple[Holding, ...]  # the oldest first
    worker: WorkerView

    def newest(self) -> tuple[Holding | None, Counts]:
        """What the worker is at: the range in its hand, or the one that it shows last, or the first that is out."""
        shown = list(self.in_hand())
        counts = dict(shown)
        for holding in self.holdings:
            if holding.range_id == self.worker.range_id:
                return holding, counts.get(holding, Counts())
        return shown[0] if shown else (next(iter(self.holdings), None), Counts())

    def in_hand(self) -> Iterator[tuple[Holding, Counts]]:
        """The counts of ranges that are out; not those of a settled one, which its worker still shows."""
        held = {(holding.range_id, holding.attempt): holding for holding in self.holdings}
        for range_id, attempt, counts in self.worker.cells:
            if (range_id, attempt) in held:
                yield held[range_id, attempt], counts


@dataclass(frozen=True)
class Snapshot:
    """A whole board, of one moment."""

    standing: Standing
    rate_rows: float
    is_paused: bool
    is_stopping: bool
    slots: list[SlotView]

    def counts(self) -> Counts:
        """Settled and in hand."""
        return sum((counts for slot in self.slots for _, counts in slot.in_hand()), self.standing.counts)
