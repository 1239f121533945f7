"""The messages between coordinator and workers: tasks and acks."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field

from shardload.model.counts import Counts, SetAside
from shardload.model.differences import Difference
from shardload.model.keys import KeyRange, PlannedRange


class Outcome(enum.IntEnum):
    """How a worker's work on a range ended. The numbers are sent in acks."""

    DONE = 1  # the result set ended cleanly, and Redis confirmed every command
    HANDED_BACK = 2  # not finished, without blame: the worker was asked to stop, or the range before it failed
    UNREACHABLE = 3  # a server could not be reached, or was busy: no blame
    CONNECTION_LOST = 4  # both connections worked, then one was lost in the middle of the range
    REFUSED = 5  # a server or the encoder refused something in the range
    JOB_REFUSED = 6  # a server refused the job itself: the table is gone, rights were withdrawn
    TOO_MANY_CONNECTIONS = 7  # a server has no room for another connection: no blame; fewer workers may help
    CUT = 8  # the range was cut as the task asked; its parts are in a file
    WHOLE = 9  # the range cannot be cut: it is one row, or nothing tells its rows apart; `rows_read` has their number


HALVES = 2  # as `parts`: cut into two with as many rows, to find what fails


@dataclass(frozen=True, slots=True)
class Task:
    """Load this range, or with `parts` cut it: into HALVES, or about so many by the estimates. `estimated_rows` is the
    plan's estimate."""

    range_id: int
    attempt: int
    keys: KeyRange
    estimated_rows: int = field(default=0, compare=False)
    parts: int = 0

    @property
    def assignment(self) -> Assignment:
        """What is sent of it."""
        return Assignment(self.range_id, self.attempt, self.parts)


@dataclass(frozen=True, slots=True)
class Assignment:
    """Coordinator to worker: a task without its keys, which the worker looks up in the journal."""

    range_id: int
    attempt: int
    parts: int = 0


UNKNOWN_EPOCH = 0  # the target does not tell its epoch


@dataclass(frozen=True, slots=True)
class Ack:
    """Worker to coordinator: how a range ended. `epoch` is the epoch of the target that confirmed it."""

    slot: int
    range_id: int
    attempt: int
    outcome: Outcome
    counts: Counts
    epoch: int


@dataclass(frozen=True)
class Report:
    """What an ack has no room for: rows that could not be loaded, or why the range failed; into what it was cut; the
    keys that differ."""

    told: Sequence[SetAside] = ()
    parts: Sequence[PlannedRange] = ()
    differences: Sequence[Difference] = ()


NOTHING = Report()
