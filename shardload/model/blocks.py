"""What the head of a fleet and a machine tell each other. Pure; every object crosses the network by pickle.

The head claims a machine, and renews its lease; the machine tells how the ranges of its block ended. Times are those of
the machine's own clock (`jobdir/lease.py`): a renewal counts from the machine's last answer, so that one which arrives
late renews nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shardload.model.counts import Counts, SetAside
from shardload.model.differences import Difference
from shardload.model.keys import PlannedRange


@dataclass(frozen=True)
class SettledRange:
    """A range of a block that is done, with all its parts. `place` is its place in the block, from 0."""

    place: int
    counts: Counts
    epoch: int
    told: tuple[SetAside, ...] = ()
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True)
class BlockOrder:
    """A block: its ranges, and the job that they are of. `spec` and `facts` are a job's spec and journal facts; a
    machine fills in its own workers. `urls` has the servers' URLs with their passwords, or nothing."""

    claim: int
    number: int
    job: str
    spec: Mapping[str, Any]
    facts: Mapping[str, Any]
    ranges: tuple[PlannedRange, ...]
    urls: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def prefix(self) -> str:
        """With what the names of all blocks of this claim begin: as jobs of the machine, and as clients of Redis."""
        return block_prefix(self.job, self.claim)

    @property
    def name(self) -> str:
        """The block's name, as a job of the machine."""
        return f"{self.prefix}{self.number}"


def block_prefix(job: str, claim: int) -> str:
    """With what the names of all blocks of this claim begin."""
    return f"{job[:36]}.{claim:016x}."


@dataclass(frozen=True)
class Word:
    """Head to machine, every second or so. `anchor_s` is the time of the machine's last answer, None if it gave none:
    the claim may write for `lease_s` from then on. `rate_rows` is the machine's share of the rate, 0 for any; with
    `stops` the block is ended in order; with `releases` the claim ends."""

    claim: int
    job: str
    anchor_s: float | None
    lease_s: float
    rate_rows: int = 0
    stops: bool = False
    releases: bool = False


@dataclass(frozen=True)
class Reply:
    """Machine to head. `is_granted` says that the claim has the machine; else `holder` is the job that has it.
    `settled` has the ranges of the claim's newest block, `number`, that are settled."""

    is_granted: bool
    now_s: float
    workers: int
    holder: str = ""
    number: int = 0
    settled: tuple[SettledRange, ...] = ()


@dataclass(frozen=True)
class BlockEnd:
    """How a block ended: the exit code of its run (negative: the signal that killed it), the reason if it did not end
    well, and all its ranges that are settled. `was_stale` says that it did not begin: its claim had no lease."""

    exit_code: int
    reason: str = ""
    settled: tuple[SettledRange, ...] = ()
    was_stale: bool = False
