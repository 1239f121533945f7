"""Ranges of keys. Every range is half-open, `[low, high)`: this holds everywhere."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KeyRange:
    """The integers `low <= key < high` of a primary key; `high` may be 2**64, one past the largest key."""

    low: int
    high: int

    def __post_init__(self) -> None:
        if self.low >= self.high:
            raise ValueError(f"empty key range [{self.low}, {self.high})")

    @property
    def span_keys(self) -> int:
        """How many keys could lie in it (not how many rows do)."""
        return self.high - self.low

    def is_outside(self, bounds: KeyRange | None) -> bool:
        """True if no key of it lies within the bounds; None are those of nothing."""
        return bounds is None or self.low >= bounds.high or self.high <= bounds.low

    def halves(self) -> tuple[KeyRange, KeyRange]:
        """Two ranges that cover this one exactly. ValueError if a single key cannot be halved."""
        middle = self.low + self.span_keys // 2
        return KeyRange(self.low, middle), KeyRange(middle, self.high)

    def __str__(self) -> str:
        return f"[{self.low}, {self.high})"


@dataclass(frozen=True, slots=True)
class PlannedRange:
    """A range and the planner's estimate of its rows (an estimate: never proof of emptiness or end)."""

    keys: KeyRange
    estimated_rows: int


@dataclass(frozen=True, slots=True)
class RangeRecord:
    """A range as the journal knows it."""

    range_id: int
    keys: KeyRange
    estimated_rows: int
    attempts: int
