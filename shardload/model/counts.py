"""Counts of rows, rows that were set aside, and the totals of a job."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

from shardload.model.shortfall import is_large_loss


@dataclass(frozen=True, slots=True)
class Counts:
    """What happened to rows. Once a range is done,
    `rows_read == keys_written + keys_kept + rows_skipped + rows_failed`.

    `keys_written` and `keys_kept` (there before, and left alone) count the rows' own keys. `lookups_written` counts the
    small keys beside them, and those that were kept in neither.

    A verify compares: `keys_equal` are as they should be, `keys_differing` are not, and `keys_expired` are gone because
    their time may have passed; lookups count among them. `keys_written` were repaired.
    """

    rows_read: int = 0
    keys_written: int = 0
    rows_skipped: int = 0
    rows_failed: int = 0
    source_bytes: int = 0
    target_bytes: int = 0
    keys_kept: int = 0
    lookups_written: int = 0
    keys_equal: int = 0
    keys_differing: int = 0
    keys_expired: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*map(operator.add, self.as_tuple(), other.as_tuple()))

    def as_tuple(self) -> tuple[int, ...]:
        """The numbers in the order of the fields."""
        return (
            self.rows_read,
            self.keys_written,
            self.rows_skipped,
            self.rows_failed,
            self.source_bytes,
            self.target_bytes,
            self.keys_kept,
            self.lookups_written,
            self.keys_equal,
            self.keys_differing,
            self.keys_expired,
        )

    def adds_up(self) -> bool:
        """True if every row read was written, kept, skipped or set aside."""
        return self.rows_read == self.keys_written + self.keys_kept + self.rows_skipped + self.rows_failed

    def with_kept(self, keys: int, lookups: int) -> Counts:
        """The same, if so many keys and lookups of those that were sent turned out to be there before."""
        return replace(
            self,
            keys_written=self.keys_written - keys,
            keys_kept=self.keys_kept + keys,
            lookups_written=self.lookups_written - lookups,
        )


COUNT_NAMES = tuple(field.name for field in fields(Counts))


@dataclass(frozen=True, slots=True)
class SetAside:
    """A row (or a key) that could not be loaded, and why."""

    key: str
    reason: str


@dataclass(frozen=True)
class Totals:
    """The sum of all ranges in the journal. `rows_vanished` estimates how many rows the ranges that shrank lost."""

    counts: Counts
    ranges: int
    ranges_done: int
    ranges_set_aside: int
    ranges_retried: int
    estimated_rows: int
    estimated_rows_done: int
    seconds: float
    rows_vanished: int = 0

    @property
    def rows_lost(self) -> int:
        """About how many rows the table lost since the plan, if so many that the job is not complete; else 0."""
        return self.rows_vanished if is_large_loss(self.rows_vanished, self.estimated_rows) else 0

    def with_done(self, estimated_rows: int, counts: Counts) -> Totals:
        """The totals after one more range is done. Saves reading the journal again."""
        return replace(
            self,
            counts=self.counts + counts,
            ranges_done=self.ranges_done + 1,
            estimated_rows_done=self.estimated_rows_done + estimated_rows,
        )

    def share(self, in_hand: Iterable[tuple[int, int]] = ()) -> float:
        """The share of the plan that is done, 0 to 1; `in_hand` as for `share_done`."""
        return share_done(
            in_hand,
            estimated_rows=self.estimated_rows,
            estimated_done=self.estimated_rows_done,
            ranges=self.ranges,
            ranges_done=self.ranges_done + self.ranges_set_aside,
        )


def share_done(
    in_hand: Iterable[tuple[int, int]], *, estimated_rows: int, estimated_done: int, ranges: int, ranges_done: int
) -> float:
    """The share of the plan that is done, 0 to 1. It is 1 only when every range is done.

    `in_hand` has the rows read and the estimated rows of each range that is being loaded. Such a range counts for its
    estimate at most.
    """
    if ranges == ranges_done:
        return 1.0
    if estimated_rows <= 0:
        return ranges_done / ranges
    done = estimated_done + sum(min(rows_read, estimate) for rows_read, estimate in in_hand)
    return min(done / estimated_rows, 0.9999)
