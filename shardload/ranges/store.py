"""What the tracker needs of whoever keeps the plan and the outcomes: on one machine, the journal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from shardload.model.counts import Counts, SetAside, Totals
from shardload.model.keys import PlannedRange, RangeRecord
from shardload.model.tasks import Report
from shardload.ranges.lineage import Checkpoint


class RangeStore(Protocol):
    """The ranges of one job, and what became of each. Every method may raise ShardloadError if it cannot be kept."""

    @property
    def is_committed(self) -> bool:
        """True if everything noted so far would survive a kill."""
        ...

    def todo(self) -> list[RangeRecord]:
        """The ranges that are not done, in the order of their keys."""
        ...

    def totals(self) -> Totals:
        """What is settled."""
        ...

    def finish(self, range_id: int, counts: Counts, epoch: int, attempt: int, report: Report, *, look: int) -> None:
        """A range is done; `report` has its rows that could not be loaded, and its keys that differ; `look` is the
        number of the last look at the target that was begun before."""
        ...

    def set_aside(self, range_id: int, attempt: int, failure: SetAside, rows: int) -> None:
        """A range that cannot be cut, of so many rows, could not be loaded."""
        ...

    def note_attempt(self, range_id: int, attempt: int) -> None:
        """An attempt failed; the range stays to do."""
        ...

    def replace(self, range_id: int, parts: Sequence[PlannedRange]) -> list[RangeRecord]:
        """The range's parts, which take its place."""
        ...

    def adopt_epoch(self, epoch: int, known: int, before_look: int | None) -> int:
        """The target has a new epoch. It has the keys of done ranges that the epoch `known` confirmed and that were
        settled before this look (None: any): these belong to the new epoch now. Other ranges that another epoch
        confirmed are to be done again; the result is their number."""
        ...

    def checkpoints(self) -> list[Checkpoint]:
        """The checkpoints that were noted, the oldest first."""
        ...

    def note_checkpoint(self, checkpoint: Checkpoint, dropped: Sequence[int]) -> None:
        """Note a checkpoint, and forget those with the numbers in `dropped`."""
        ...
