"""Splits all keys of a table into ranges of about so many rows. It uses estimates only and scans no rows.

A range whose estimate is too large is cut into parts of equal *span*, and MySQL estimates each part again. Small parts
are joined with their neighbours. With evenly spread keys that takes one estimate for each range, with dense keys fewer.
A gap of any width takes a few more, because only parts with many rows are cut again.
The ranges always cover all keys without overlap. A wrong estimate makes ranges uneven, but never loses a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

from shardload.model.keys import KeyRange, PlannedRange

MOST_PARTS = 64  # into which a range is cut at once
MOST_AT_ONCE = 64  # ranges that are estimated in one query; one query each would cost ten times as much
MOST_USELESS_CUTS = 500  # cuts that made nothing smaller: gaps, or estimates that do not shrink with the range
MOST_EXCESS = 2.5  # how far parts may exceed their whole's estimate: InnoDB may double the rows of a long range
TOLERANCE = 1.25  # ranges up to so many times `range_rows` are not cut again, and joined


class KeySpace(Protocol):
    """What the planner asks about a table."""

    def bounds(self) -> KeyRange | None:
        """The range from the smallest to the largest key; None if the table has no rows."""
        ...

    def estimated_rows(self, ranges: Sequence[KeyRange]) -> list[int]:
        """The estimated number of rows in each of these ranges."""
        ...


def split(space: KeySpace, range_rows: int) -> list[PlannedRange]:
    """Ranges of at most about `range_rows` rows, in the order of their keys, without gap or overlap."""
    whole = space.bounds()
    if whole is None:
        return []
    rows = min(space.estimated_rows([whole])[0], whole.span_keys)
    todo = [(PlannedRange(whole, rows), False)]
    found: list[PlannedRange] = []
    cuts_left = MOST_USELESS_CUTS + rows // range_rows
    while todo:
        parts: list[KeyRange] = []
        cut_rows = 0
        for candidate, is_dense in todo:
            wanted = -(-candidate.estimated_rows // range_rows)
            if candidate.estimated_rows <= range_rows * TOLERANCE or not cuts_left:
                found.append(candidate)
            elif is_dense:
                found += _cut_dense(candidate, wanted)
            else:
                cuts_left -= 1
                cut_rows += candidate.estimated_rows
                parts += _cut(candidate.keys, max(2, min(wanted, MOST_PARTS)))
        todo = _estimated(space, parts, cut_rows)
    found.sort(key=lambda planned: planned.keys.low)
    return _join(found, range_rows)


def _estimated(space: KeySpace, parts: list[KeyRange], whole_rows: int) -> list[tuple[PlannedRange, bool]]:
    """Each part with its estimated rows, and whether it is dense (has about as many rows as keys).

    Two facts correct the estimates: a part has no more rows than keys, and all parts together have no more than the
    ranges that they were cut from, whose estimates add up to `whole_rows`.
    """
    groups = [parts[at : at + MOST_AT_ONCE] for at in range(0, len(parts), MOST_AT_ONCE)]
    estimates = [rows for group in groups for rows in space.estimated_rows(group)]
    bounded = [min(rows, keys.span_keys) for keys, rows in zip(parts, estimates, strict=True)]
    counted = sum(rows for rows in bounded if rows > 1)  # an empty range is estimated as 1
    excess = min(MOST_EXCESS, counted / whole_rows) if counted > whole_rows > 0 else 1
    return [
        (PlannedRange(keys, rows if excess == 1 else int(rows / excess)), rows == keys.span_keys)
        for keys, rows in zip(parts, bounded, strict=True)
    ]


def _cut(keys: KeyRange, count: int) -> list[KeyRange]:
    """Cut into `count` parts of equal span, or into fewer if there are fewer keys."""
    count = min(count, keys.span_keys)
    edges = [keys.low + keys.span_keys * part // count for part in range(count + 1)]
    return [KeyRange(low, high) for low, high in pairwise(edges)]


def _cut_dense(candidate: PlannedRange, count: int) -> list[PlannedRange]:
    """Cut a dense range. Its parts need no query: parts of equal span have equal numbers of rows."""
    parts = _cut(candidate.keys, count)
    edges = [candidate.estimated_rows * part // len(parts) for part in range(len(parts) + 1)]
    return [PlannedRange(keys, high - low) for keys, (low, high) in zip(parts, pairwise(edges), strict=True)]


def _join(ranges: list[PlannedRange], range_rows: int) -> list[PlannedRange]:
    """Join neighbours as long as they have at most `range_rows * TOLERANCE` rows together."""
    joined: list[PlannedRange] = []
    for planned in ranges:
        if joined and joined[-1].estimated_rows + planned.estimated_rows <= range_rows * TOLERANCE:
            last = joined.pop()
            planned = PlannedRange(
                KeyRange(last.keys.low, planned.keys.high), last.estimated_rows + planned.estimated_rows
            )
        joined.append(planned)
    return joined
