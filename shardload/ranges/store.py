"""What the tracker needs of whoever keeps the plan and the outcomes: on one machine, the journal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from shardload.model.counts import Counts, SetAside, Totals
from shardload.model.keys import RangeRecord


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

    def finish(self, range_id: int, counts: Counts, epoch: int, attempt: int, set_aside: Sequence[SetAside]) -> None:
        """A range is done; `set_aside` are the rows of it that could not be loaded."""
        ...

    def set_aside(self, range_id: int, attempt: int, failure: SetAside) -> None:
        """A range of a single key could not be loaded."""
        ...

    def note_attempt(self, range_id: int, attempt: int) -> None:
        """An attempt failed; the range stays to do."""
        ...

    def split(self, record: RangeRecord) -> list[RangeRecord]:
        """The range's two halves, which take its place."""
        ...

    def reopen_other_epochs(self, epoch: int) -> int:
        """Ranges that another epoch of the target confirmed are to be done again; the result is their number."""
        ...
