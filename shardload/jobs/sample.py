"""A sample of a job's rows, spread over the whole table, and how many rows there are.

Both are bounded in time, and the sample in bytes: where rows are large there are fewer. A row is read whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

from shardload import source
from shardload.encoding import Layout
from shardload.model.keys import KeyRange, PlannedRange

_GOLDEN = 0.6180339887  # its multiples are spread evenly, however many they are
_LEAST_ROWS, _MOST_ROWS = 8, 48  # at one place
_AT_ONCE_BYTES = 256 * 1024  # are there soon, or nothing is: to read on is cheaper than to connect again


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
    """How much a sample may cost: at how many places rows are read, how many values and bytes in all, for how many
    seconds, and how many seconds MySQL may count."""

    places: int
    values: int
    most_bytes: int
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


class Line:
    """A connection to MySQL; another one in its place when a result is left unread. `close` closes that one; the first
    one is the caller's, and may be of no more use."""

    def __init__(self, connection: source.Connection[Any], connect: Callable[[], source.Connection[Any]]) -> None:
        self.connection = connection
        self._first = connection
        self._connect = connect

    def renew(self) -> None:
        """Give up what is unread. SourceError if there is no other connection."""
        source.abandon(self.connection)
        self.connection = self._connect()

    def close(self) -> None:
        """Close what was connected here."""
        if self.connection is not self._first:
            source.abandon(self.connection)


class _Reader:
    """Reads places, with what is left of an effort."""

    def __init__(self, line: Line, subject: Subject, effort: Effort) -> None:
        self._line = line
        self._subject = subject
        self._most_rows = effort.rows_at(len(subject.layout.columns))
        self._left_bytes = effort.most_bytes
        self._late_s = time.monotonic() + effort.read_s
        self._largest_bytes = 1  # of the rows so far

    @property
    def is_done(self) -> bool:
        """True if nothing more may be read."""
        return self._left_bytes <= 0 or time.monotonic() > self._late_s

    def read(self, place: _Place, places: int) -> None:
        """Read the place's first rows, at least one; it is one of so many that are left."""
        room_bytes = self._left_bytes / places
        most = max(1, min(self._most_rows, int(room_bytes / self._largest_bytes)))
        selection, layout = self._subject.selection, self._subject.layout
        place.rows, read_bytes = [], 0
        for values in source.rows_of(self._line.connection, selection, layout, place.planned.keys, most):
            place.rows.append(values)
            row_bytes = sum(len(value) for value in values if value is not None)
            self._largest_bytes = max(self._largest_bytes, row_bytes)
            self._left_bytes -= row_bytes
            read_bytes += row_bytes
            is_enough = read_bytes >= room_bytes or (read_bytes > _AT_ONCE_BYTES and self.is_done)
            if is_enough and len(place.rows) < most:
                self._line.renew()
                return
        place.counted = len(place.rows) if len(place.rows) < most else None


def survey(line: Line, subject: Subject, ranges: Sequence[PlannedRange], effort: Effort) -> Survey:
    """Look at rows of places all over the ranges, more where there are more rows, and have MySQL count places.

    InnoDB's estimates may be far off, so what the places are estimated at is corrected by what those have that were
    counted. SourceError if MySQL cannot read or count.
    """
    wanted = effort.places if subject.selection.index else 1  # without an index each may read over everything
    places, is_all = _places(source.TableKeys(line.connection, subject.selection), ranges, wanted)
    # Whatever is reached in time is spread, too.
    order = [places[at] for at in sorted(range(len(places)), key=lambda at: at * _GOLDEN % 1)]
    reader = _Reader(line, subject, effort)
    for number, place in enumerate(order):
        if number and reader.is_done:
            break
        reader.read(place, len(order) - number)
    space = source.TableKeys(line.connection, subject.selection)
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
