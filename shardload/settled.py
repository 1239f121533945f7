"""What the journal's rows say. A file may be damaged: each row is held against what can stand there. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shardload.model import Counts, KeyRange, RangeRecord, SetAside
from shardload.shortfall import is_much

_LOWEST, _ABOVE_HIGHEST = -(2**63), 2**64


@dataclass(frozen=True)
class Totals:
    """What the journal has settled. `rows_vanished` is about how many rows the ranges that shrank have lost."""

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
        """About how many rows the table has lost since it was planned, if they are so many that the job cannot be
        called complete; else 0."""
        return self.rows_vanished if is_much(self.rows_vanished, self.estimated_rows) else 0

    def with_done(self, estimated_rows: int, counts: Counts) -> Totals:
        """The totals after one more range is done, without asking the file again."""
        return Totals(
            self.counts + counts, self.ranges, self.ranges_done + 1, self.ranges_set_aside, self.ranges_retried,
            self.estimated_rows, self.estimated_rows_done + estimated_rows, self.seconds, self.rows_vanished,
        )  # fmt: skip


def totals_of(row: Sequence[Any], vanished_rows: Any, runs: Sequence[Sequence[Any]]) -> Totals:
    """From six counts and six more numbers, the rows that vanished, and how many seconds each run lasted. ValueError if
    they cannot be."""
    numbers = [_count(value) for value in row]
    seconds = [value for (value,) in runs]
    if not all(isinstance(value, (int, float)) and 0 <= value < math.inf for value in seconds):
        raise ValueError("a run's duration is no number")
    counts, six = Counts(*numbers[:6]), numbers[6:12]
    return Totals(counts, six[0], six[1], six[2], six[3], six[4], six[5], sum(seconds), _count(vanished_rows))


def record_of(row: Sequence[Any]) -> RangeRecord:
    """From id, low, high, estimated rows and attempts. ValueError if they cannot be."""
    low, high = (int(value) if isinstance(value, str) else _ABOVE_HIGHEST + 1 for value in row[1:3])
    if not _LOWEST <= low < high <= _ABOVE_HIGHEST:
        raise ValueError(f"range {row[0]} has bounds that no key has")
    return RangeRecord(_count(row[0]), KeyRange(low, high), _count(row[3]), _count(row[4]))


def failure_of(row: Sequence[Any]) -> SetAside:
    """From key and reason. ValueError if they are no text."""
    if not all(isinstance(value, str) for value in row):
        raise ValueError("a failure's key or reason is no text")
    return SetAside(*row)


def fact_of(text: Any) -> dict[str, Any]:
    """From its JSON. ValueError or RecursionError if it is none."""
    fact = json.loads(text)
    if not isinstance(fact, dict):
        raise ValueError("a fact of the job is no object")
    return fact


def _count(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} stands where a number of rows, ranges or bytes belongs")
    return value
