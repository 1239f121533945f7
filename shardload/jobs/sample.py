"""A sample of a job's rows, spread over the whole table, and how many rows there are. Both are bounded in time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

from shardload import source
from shardload.encoding import Layout
from shardload.model.keys import KeyRange, PlannedRange

_GOLDEN = 0.6180339887  # its multiples are spread evenly, however many they are
_LEAST_ROWS, _MOST_ROWS = 8, 48  # at one place


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
    """How much a sample may cost: at how many places rows are read, how many values in all, for how many seconds, and
    how many seconds MySQL may count."""

    places: int
    values: int
    read_s: float
    count_s: float = 0.0

    def rows_at(self, columns: int) -> int:
        """How many rows are read at one place."""
        return max(_LEAST_ROWS, min(_MOST_ROWS, self.values // (self.places * max(1, columns))))


@dataclass(frozen=True)
class Window:
    """Rows that follow each other; each of them stands for `weight` rows of the table."""

    rows: list[source.Values]
    weight: float


@dataclass(frozen=True)
class Survey:
    """Rows from all over the table, and how many there are in all."""

    windows: list[Window]
    rows: int
    is_exact: bool


@dataclass
class _Place:
    """A range of which the first rows are read; `counted` is how many it has, None if that is not known."""

    planned: PlannedRange
    rows: list[source.Values] | None = None
    counted: int | None = None


def survey(
    connection: source.Connection[Any], subject: Subject, ranges: Sequence[PlannedRange], effort: Effort
) -> Survey:
    """Look at rows of places all over the ranges, more where there are more rows, and have MySQL count places.

    InnoDB's estimates may be far off, so what the places are estimated at is corrected by what those have that were
    counted. SourceError if MySQL cannot read or count.
    """
    space = source.TableKeys(connection, subject.selection)
    wanted = effort.places if subject.selection.index else 1  # without an index each may read over everything
    places, is_all = _places(space, ranges, wanted)
    # Whatever is reached in time is spread, too.
    order = [places[at] for at in sorted(range(len(places)), key=lambda at: at * _GOLDEN % 1)]
    most = effort.rows_at(len(subject.layout.columns))
    late_s = time.monotonic() + effort.read_s
    for number, place in enumerate(order):
        if number and time.monotonic() > late_s:
            break
        place.rows = list(source.rows_of(connection, subject.selection, subject.layout, place.planned.keys, most))
        place.counted = len(place.rows) if len(place.rows) < most else None
    late_s = time.monotonic() + effort.count_s
    known: list[_Place] = []
    for place in order:
        if time.monotonic() > late_s or not effort.count_s:
            break
        if place.counted is None:
            place.counted = space.counted_rows(place.planned.keys)
        known.append(place)
    return _summed(places, known, sum(max(1, planned.estimated_rows) for planned in ranges), is_all=is_all)


def _summed(places: Sequence[_Place], known: Sequence[_Place], estimated_rows: int, *, is_all: bool) -> Survey:
    """The survey of these places, of which the `known` ones were counted: some by chance, or all. `is_all` says that
    the places are the whole table, which is estimated at so many rows."""
    estimates = sum(max(1, place.planned.estimated_rows) for place in known)
    ratio = sum(place.counted or 0 for place in known) / estimates if known else 1.0
    windows = []
    for place in places:
        rows = place.counted if place.counted is not None else max(1, place.planned.estimated_rows) * ratio
        if place.rows:
            windows.append(Window(place.rows, rows / len(place.rows)))
    if is_all and len(known) == len(places):
        return Survey(windows, sum(place.counted or 0 for place in known), True)
    return Survey(windows, round(estimated_rows * ratio), False)


def _places(space: source.TableKeys, ranges: Sequence[PlannedRange], wanted: int) -> tuple[list[_Place], bool]:
    """So many places to look at, or a few more or fewer; and whether together they are all ranges."""
    ends = list(accumulate(max(1, planned.estimated_rows) for planned in ranges))
    share = [0] * len(ranges)
    at = 0
    for number in range(wanted if ends else 0):
        while ends[at] * wanted <= number * ends[-1]:
            at += 1
        share[at] += 1
    found: list[PlannedRange] = []
    for planned, count in zip(ranges, share, strict=True):
        if count == 1:
            found.append(planned)
        elif count:
            found += _estimated(space, planned, space.cut(planned, count))
    return [_Place(planned) for planned in found], all(share)


def _estimated(space: source.TableKeys, planned: PlannedRange, parts: list[KeyRange]) -> list[PlannedRange]:
    """Parts of a range, whose estimates are shares of the whole's."""
    estimates = space.estimated_rows(parts) if len(parts) > 1 else [1]
    scale = planned.estimated_rows / max(1, sum(estimates))
    return [PlannedRange(keys, round(rows * scale)) for keys, rows in zip(parts, estimates, strict=True)]
