"""What coordinator and workers say to each other: tasks and acknowledgements."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from shardload.model.counts import Counts
from shardload.model.keys import KeyRange


class Outcome(enum.IntEnum):
    """How a worker's work on a range ended. Small numbers: they travel in a struct."""

    DONE = 1  # clean end of the result set, every reply confirmed
    HANDED_BACK = 2  # broken off through no fault of its own: on request, or because one before it failed
    UNREACHABLE = 3  # a server could not be reached or asked for patience: nobody's fault, no blame
    BROKEN_OFF = 4  # both connections worked, then one was lost in the middle of the range
    REFUSED = 5  # a server or the encoder said no to something in the range
    HOPELESS = 6  # a server said no to the job itself: table gone, rights withdrawn
    CROWDED = 7  # a server has no room for another connection: nobody's fault, and fewer workers may do


@dataclass(frozen=True, slots=True)
class Task:
    """Coordinator to worker: load this range. `estimated_rows` is the plan's."""

    range_id: int
    attempt: int
    keys: KeyRange
    estimated_rows: int = field(default=0, compare=False)


UNKNOWN_EPOCH = 0  # the target would not tell


@dataclass(frozen=True, slots=True)
class Ack:
    """Worker to coordinator: how a range ended. `epoch` names the epoch of the Redis that confirmed it."""

    slot: int
    range_id: int
    attempt: int
    outcome: Outcome
    counts: Counts
    epoch: int
