"""Split a key's space into ranges of about so many rows, with estimates alone: no scan, whatever the gaps.

A range that is estimated too large is cut into equal parts of its *span*, and each part is asked about again; the
parts that turn out small are joined with their neighbours. Keys that lie evenly take one question a range; a gap of
any width costs a few questions more, because each cut leaves only the parts that still hold many rows. Estimates
balance the ranges and nothing else: the ranges always cover the whole space, so a wrong estimate loses no row.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

from shardload.model import KeyRange, PlannedRange

MOST_PARTS = 64  # that a range is cut into at once
MOST_AT_ONCE = 64  # that are asked about in one question: a question of one costs ten times as much for each
MOST_USELESS_CUTS = 500  # that found only gaps, or met estimates which do not fall as ranges do; then enough is enough
MOST_EXCESS = 2.5
ROOM = 1.25  # a range may be estimated a little above the wish before it is cut again


class KeySpace(Protocol):
    """What the planner wants to know of a table."""

    def bounds(self) -> KeyRange | None:
        """From the smallest key to one past the largest; None if there is no row."""
        ...

    def table_rows(self) -> int:
        """About how many rows the whole table has."""
        ...

    def estimated_rows(self, ranges: Sequence[KeyRange]) -> list[int]:
        """About how many rows lie in each of these ranges."""
        ...


def split(space: KeySpace, range_rows: int) -> list[PlannedRange]:
    """Ranges in the order of their keys, without gap or overlap, each of about `range_rows` rows at the most."""
    whole = space.bounds()
    if whole is None:
        return []
    todo = _asked(space, [whole])
    wish = range_rows
    if todo[0].estimated_rows > range_rows * ROOM:
        todo = _asked(space, _equal_parts(todo[0], range_rows))
        wish = int(range_rows * _excess(todo, space.table_rows()))
    found: list[PlannedRange] = []
    cuts_left = MOST_USELESS_CUTS + sum(planned.estimated_rows for planned in todo) // range_rows
    while todo:
        parts: list[KeyRange] = []
        for candidate in todo:
            if candidate.estimated_rows <= wish * ROOM or not cuts_left:
                found.append(candidate)
            else:
                cuts_left -= 1
                parts += _equal_parts(candidate, wish)
        todo = _asked(space, parts)
    found.sort(key=lambda planned: planned.keys.low)
    return _joined(found, wish)


def _asked(space: KeySpace, ranges: list[KeyRange]) -> list[PlannedRange]:
    """With estimates, corrected by what is certain: a range holds no more rows than keys."""
    groups = [ranges[at : at + MOST_AT_ONCE] for at in range(0, len(ranges), MOST_AT_ONCE)]
    estimates = [rows for group in groups for rows in space.estimated_rows(group)]
    return [PlannedRange(keys, min(rows, keys.span_keys)) for keys, rows in zip(ranges, estimates, strict=True)]


def _equal_parts(candidate: PlannedRange, wish: int) -> list[KeyRange]:
    """At least two parts: a range of one key is never too large, as the wish is at least 1."""
    keys = candidate.keys
    wanted = -(-candidate.estimated_rows // wish)
    count = max(2, min(wanted, MOST_PARTS, keys.span_keys))
    edges = [keys.low + keys.span_keys * part // count for part in range(count + 1)]
    return [KeyRange(low, high) for low, high in pairwise(edges)]


def _excess(parts: list[PlannedRange], table_rows: int) -> float:
    """By how much the estimates of the whole's parts exceed the table's: InnoDB counts long ranges up to twice."""
    return min(MOST_EXCESS, max(1.0, sum(part.estimated_rows for part in parts) / max(1, table_rows)))


def _joined(ranges: list[PlannedRange], range_rows: int) -> list[PlannedRange]:
    """Neighbours in one range as long as they stay within the wish."""
    joined: list[PlannedRange] = []
    for planned in ranges:
        if joined and joined[-1].estimated_rows + planned.estimated_rows <= range_rows:
            last = joined.pop()
            planned = PlannedRange(
                KeyRange(last.keys.low, planned.keys.high), last.estimated_rows + planned.estimated_rows
            )
        joined.append(planned)
    return joined
