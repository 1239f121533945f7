"""Ranges of keys. Every range, everywhere, is half-open: `[low, high)`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KeyRange:
    """The keys `low <= key < high`, all integers. `high` may be 2**64, one more than the largest key.

    ValueError if the range is empty.
    """

    low: int
    high: int

    def __post_init__(self) -> None:
        if self.low >= self.high:
            raise ValueError(f"empty key range [{self.low}, {self.high})")

    @property
    def span_keys(self) -> int:
        """How many integers it contains. The table may have fewer rows there."""
        return self.high - self.low

    def is_outside(self, bounds: KeyRange | None) -> bool:
        """True if it has no key in common with `bounds`. None stands for an empty range."""
        return bounds is None or self.low >= bounds.high or self.high <= bounds.low

    def halves(self) -> tuple[KeyRange, KeyRange]:
        """Two ranges that together are this one. ValueError if it has a single key."""
        middle = self.low + self.span_keys // 2
        return KeyRange(self.low, middle), KeyRange(middle, self.high)

    def __str__(self) -> str:
        return f"[{self.low}, {self.high})"


@dataclass(frozen=True, slots=True)
class PlannedRange:
    """A range and the planner's estimate of its rows. An estimate of 0 does not prove that there are none."""

    keys: KeyRange
    estimated_rows: int


@dataclass(frozen=True, slots=True)
class RangeRecord:
    """A range in the journal. `attempts` is the number of its last recorded attempt; 0: none."""

    range_id: int
    keys: KeyRange
    estimated_rows: int
    attempts: int
