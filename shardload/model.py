"""The nouns that cross rooms: ranges, counts, tasks and acknowledgements. Frozen, no I/O.

Every range of keys is half-open, `[low, high)`. It is said here once and holds everywhere.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field


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


@dataclass(frozen=True, slots=True)
class Counts:
    """What happened to rows. `rows_read == keys_written + rows_skipped + rows_failed`, once a range is done."""

    rows_read: int = 0
    keys_written: int = 0
    rows_skipped: int = 0
    rows_failed: int = 0
    source_bytes: int = 0
    target_bytes: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.rows_read + other.rows_read,
            self.keys_written + other.keys_written,
            self.rows_skipped + other.rows_skipped,
            self.rows_failed + other.rows_failed,
            self.source_bytes + other.source_bytes,
            self.target_bytes + other.target_bytes,
        )

    def as_tuple(self) -> tuple[int, int, int, int, int, int]:
        """The six numbers in the order of the fields."""
        return (
            self.rows_read,
            self.keys_written,
            self.rows_skipped,
            self.rows_failed,
            self.source_bytes,
            self.target_bytes,
        )

    def adds_up(self) -> bool:
        """True if every row read was written, skipped or set aside."""
        return self.rows_read == self.keys_written + self.rows_skipped + self.rows_failed


@dataclass(frozen=True, slots=True)
class SetAside:
    """A row (or a key) that could not be loaded, and why."""

    key: str
    reason: str


class Outcome(enum.IntEnum):
    """How a loader's work on a range ended. Small numbers: they travel in a struct."""

    DONE = 1  # clean end of the result set, every reply confirmed
    HANDED_BACK = 2  # broken off through no fault of its own: on request, or because one before it failed
    UNREACHABLE = 3  # a server could not be reached or asked for patience: nobody's fault, no blame
    BROKEN_OFF = 4  # both connections worked, then one was lost in the middle of the range
    REFUSED = 5  # a server or the encoder said no to something in the range
    HOPELESS = 6  # a server said no to the job itself: table gone, rights withdrawn
    NOT_BEGUN = 7  # received and handed back, as if it had never been sent
    CROWDED = 8  # a server has no room for another connection: nobody's fault, and fewer workers may do


@dataclass(frozen=True, slots=True)
class Task:
    """Coordinator to loader: load this range. `rings`: and ring when it is acknowledged; else a later one
    will, or its loader when it has nothing more to do. `estimated_rows` is the plan's."""

    range_id: int
    attempt: int
    keys: KeyRange
    rings: bool = field(default=True, compare=False)
    estimated_rows: int = field(default=0, compare=False)


UNKNOWN_LIFE = 0  # the target would not tell


@dataclass(frozen=True, slots=True)
class Ack:
    """Loader to coordinator: how a range ended. `target_life` names the life of the Redis that confirmed it."""

    slot: int
    range_id: int
    attempt: int
    outcome: Outcome
    counts: Counts
    target_life: int
