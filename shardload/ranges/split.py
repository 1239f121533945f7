"""Split a key's space into ranges of about so many rows, with estimates alone: no scan, whatever the gaps.

A range that is estimated too large is cut into equal parts of its *span*, and each part is asked about again; the
parts that turn out small are joined with their neighbours. Keys that lie evenly take one question a range, and fewer if
they lie densely; a gap of any width costs a few questions more, because each cut leaves only the parts that still hold
many rows. Estimates balance the ranges and nothing else: the ranges always cover the whole space, so a wrong estimate
loses no row.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

from shardload.model.keys import KeyRange, PlannedRange

MOST_PARTS = 64  # that a range is cut into at once
MOST_AT_ONCE = 64  # that are asked about in one question: a question of one costs ten times as much for each
MOST_USELESS_CUTS = 500  # that found only gaps, or met estimates which do not fall as ranges do; then enough is enough
MOST_EXCESS = 2.5  # of the parts' estimates over their whole's: InnoDB counts long ranges up to twice
ROOM = 1.25  # a range may be estimated a little above the wish before it is cut again, or no longer joined


class KeySpace(Protocol):
    """What the planner wants to know of a table."""

    def bounds(self) -> KeyRange | None:
        """From the smallest key to one past the largest; None if there is no row."""
        ...

    def estimated_rows(self, ranges: Sequence[KeyRange]) -> list[int]:
        """About how many rows lie in each of these ranges."""
        ...


def split(space: KeySpace, range_rows: int) -> list[PlannedRange]:
    """Ranges in the order of their keys, without gap or overlap, each of about `range_rows` rows at the most."""
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
            if candidate.estimated_rows <= range_rows * ROOM or not cuts_left:
                found.append(candidate)
            elif is_dense:
                found += _equal_shares(candidate, wanted)
            else:
                cuts_left -= 1
                cut_rows += candidate.estimated_rows
                parts += _equal_parts(candidate.keys, max(2, min(wanted, MOST_PARTS)))
        todo = _asked(space, parts, cut_rows)
    found.sort(key=lambda planned: planned.keys.low)
    return _joined(found, range_rows)


def _asked(space: KeySpace, parts: list[KeyRange], whole_rows: int) -> list[tuple[PlannedRange, bool]]:
    """Parts of ranges that were estimated at `whole_rows` together, with estimates, and whether they hold about as many
    rows as keys. What is certain corrects the estimates: a range holds no more rows than keys, and parts no more than
    their whole."""
    groups = [parts[at : at + MOST_AT_ONCE] for at in range(0, len(parts), MOST_AT_ONCE)]
    estimates = [rows for group in groups for rows in space.estimated_rows(group)]
    bounded = [min(rows, keys.span_keys) for keys, rows in zip(parts, estimates, strict=True)]
    counted = sum(rows for rows in bounded if rows > 1)  # an empty range is estimated as 1
    excess = min(MOST_EXCESS, counted / whole_rows) if counted > whole_rows > 0 else 1
    return [
        (PlannedRange(keys, rows if excess == 1 else int(rows / excess)), rows == keys.span_keys)
        for keys, rows in zip(parts, bounded, strict=True)
    ]


def _equal_parts(keys: KeyRange, count: int) -> list[KeyRange]:
    """So many parts, or as many as there are keys."""
    count = min(count, keys.span_keys)
    edges = [keys.low + keys.span_keys * part // count for part in range(count + 1)]
    return [KeyRange(low, high) for low, high in pairwise(edges)]


def _equal_shares(candidate: PlannedRange, count: int) -> list[PlannedRange]:
    """Parts that need no question: where nearly every key is a row, equal spans hold equal numbers of rows."""
    parts = _equal_parts(candidate.keys, count)
    edges = [candidate.estimated_rows * part // len(parts) for part in range(len(parts) + 1)]
    return [PlannedRange(keys, high - low) for keys, (low, high) in zip(parts, pairwise(edges), strict=True)]


def _joined(ranges: list[PlannedRange], range_rows: int) -> list[PlannedRange]:
    """Neighbours in one range as long as they stay within the wish and its room."""
    joined: list[PlannedRange] = []
    for planned in ranges:
        if joined and joined[-1].estimated_rows + planned.estimated_rows <= range_rows * ROOM:
            last = joined.pop()
            planned = PlannedRange(
                KeyRange(last.keys.low, planned.keys.high), last.estimated_rows + planned.estimated_rows
            )
        joined.append(planned)
    return joined
