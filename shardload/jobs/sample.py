"""A sample of a job's rows, spread over the whole table, and how many rows there are. Both are bounded in time."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

from shardload import source
from shardload.encoding import Layout
from shardload.model.keys import KeyRange, PlannedRange

_SEED = 20  # the order in which ranges are counted is always the same


class Subject(Protocol):
    """Which rows are read, and what their values are used for."""

    @property
    def selection(self) -> source.Selection:
        """The rows."""
        ...

    @property
    def layout(self) -> Layout:
        """Their values."""
        ...


@dataclass(frozen=True)
class Effort:
    """How much a sample may cost: `windows` of `window_rows` each, and seconds for them and for counting."""

    windows: int
    window_rows: int
    sample_s: float
    count_s: float


@dataclass(frozen=True)
class Window:
    """Rows that follow each other; each of them stands for `weight` rows of the table."""

    rows: list[source.Values]
    weight: float


def estimate_rows(ranges: Sequence[PlannedRange]) -> int:
    """The planner's estimate of all rows."""
    return sum(planned.estimated_rows for planned in ranges)


def take(
    connection: source.Connection[Any], subject: Subject, ranges: Sequence[PlannedRange], effort: Effort
) -> Iterator[Window]:
    """Windows spread over the ranges, more where there are more rows. Seconds that the
    caller takes for a window count. SourceError if MySQL cannot read them."""
    space = source.TableKeys(connection, subject.selection)
    windows = effort.windows if subject.selection.index else 1  # without an index each may read over everything
    places = _places(space, ranges, windows)
    random.Random(_SEED).shuffle(places)  # whatever is reached in time is spread, too
    late_s = time.monotonic() + effort.sample_s
    has_rows = False
    for planned in places:
        if has_rows and time.monotonic() > late_s:
            break
        keys, most = planned.keys, effort.window_rows
        rows = list(source.rows_of(connection, subject.selection, subject.layout, keys, most))
        if rows:
            weight = max(1.0, planned.estimated_rows / len(rows)) if len(rows) == most else 1.0
            has_rows = True
            yield Window(rows, weight)


def _places(space: source.TableKeys, ranges: Sequence[PlannedRange], windows: int) -> list[PlannedRange]:
    """So many places to look at, or fewer, each as a range with its estimated rows."""
    ends = list(accumulate(max(1, planned.estimated_rows) for planned in ranges))
    if not ends:
        return []
    share = [0] * len(ranges)
    at = 0
    for number in range(windows):
        while ends[at] * windows <= number * ends[-1]:
            at += 1
        share[at] += 1
    found: list[PlannedRange] = []
    for planned, count in zip(ranges, share, strict=True):
        if count == 1:
            found.append(planned)
        elif count:
            parts = space.cut(planned, count)
            found += _estimated(space, planned, parts)
    return found


def _estimated(space: source.TableKeys, planned: PlannedRange, parts: list[KeyRange]) -> list[PlannedRange]:
    """Parts of a range, whose estimates are shares of the whole's."""
    estimates = space.estimated_rows(parts) if len(parts) > 1 else [1]
    scale = planned.estimated_rows / max(1, sum(estimates))
    return [PlannedRange(keys, round(rows * scale)) for keys, rows in zip(parts, estimates, strict=True)]


def count(
    connection: source.Connection[Any], subject: Subject, ranges: Sequence[PlannedRange], effort: Effort
) -> tuple[int, bool]:
    """How many rows the job has, and whether that is exact: as many ranges as time allows are counted by MySQL, and
    say how far the planner's estimates are off. SourceError if MySQL cannot count."""
    space = source.TableKeys(connection, subject.selection)
    order = list(ranges)
    random.Random(_SEED).shuffle(order)
    late_s = time.monotonic() + effort.count_s
    counted_rows = estimated = done = 0
    for planned in order:
        if time.monotonic() > late_s:
            break
        counted_rows += space.counted_rows(planned.keys)
        estimated += max(1, planned.estimated_rows)
        done += 1
    if done == len(order):
        return counted_rows, True
    whole = sum(max(1, planned.estimated_rows) for planned in ranges)
    return round(whole * counted_rows / estimated) if done else whole, False
