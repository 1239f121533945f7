"""Splits all keys of a table into ranges of about so many rows. It uses estimates only and scans no rows.

A range whose estimate is too large is cut into parts, and MySQL estimates each part again. Small parts are joined with
their neighbours. With evenly spread keys that takes one estimate for each range, with dense integers fewer. A gap of
any width takes a few more, because only parts with many rows are cut again.
The ranges always cover all keys without overlap. A wrong estimate makes ranges uneven, but never loses a row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Protocol

from shardload.model.keys import KeyRange, PlannedRange

MOST_PARTS = 64  # into which a range is cut at once
MOST_AT_ONCE = 64  # ranges that are estimated in one query; one query each would cost ten times as much
MOST_USELESS_CUTS = 500  # cuts that made nothing smaller: gaps, or estimates that do not shrink with the range
MOST_EXCESS = 2.5  # how far parts may exceed their whole's estimate: InnoDB may double the rows of a long range
LEAST_TELLING = 4  # parts of a range, from which on it tells something if all have the estimate of the whole
UNMOVED = 0.9
TOLERANCE = 1.25  # ranges up to so many times `range_rows` are not cut again, and joined

_Place = tuple[int, ...]  # which part of which part a range is, from the first cut on: their order is that of the keys


class KeySpace(Protocol):
    """What the planner asks about a table."""

    def roots(self) -> list[KeyRange]:
        """Ranges that together have all keys: one, or another one before it for NULLs; none if there are no rows."""
        ...

    def estimated_rows(self, ranges: Sequence[KeyRange]) -> list[int]:
        """The estimated number of rows in each of these ranges."""
        ...

    def most_rows(self, keys: KeyRange) -> int | None:
        """How many rows there can be at most; None if nothing bounds it."""
        ...

    def cut(self, planned: PlannedRange, count: int) -> list[KeyRange]:
        """About `count` ranges that together are this one, in the order of their keys; one if it cannot be cut."""
        ...


def split(space: KeySpace, range_rows: int, *, is_late: Callable[[], bool] = lambda: False) -> list[PlannedRange]:
    """Ranges of at most about `range_rows` rows, in the order of their keys, without gap or overlap.

    Once `is_late()`, nothing more is cut: the rest are fewer and larger ranges, which `refine` can cut later.
    """
    roots = space.roots()
    return _refined(space, _estimated_roots(space, roots), range_rows, is_late)


def refine(
    space: KeySpace, planned: PlannedRange, range_rows: int, *, is_late: Callable[[], bool] = lambda: False
) -> list[PlannedRange]:
    """The ranges into which one too large range is split, as `split` does with a table."""
    return _refined(space, [planned], range_rows, is_late)


def covers(parts: Sequence[PlannedRange], keys: KeyRange) -> bool:
    """True if these parts, in this order, are the whole range without gap or overlap."""
    if not parts or any(part.keys.nulls for part in parts) or keys.nulls:
        return False
    is_whole = (parts[0].keys.low, parts[-1].keys.high) == (keys.low, keys.high)
    return is_whole and all(one.keys.high == other.keys.low is not None for one, other in pairwise(parts))


def _estimated_roots(space: KeySpace, roots: list[KeyRange]) -> list[PlannedRange]:
    estimates = space.estimated_rows(roots) if roots else []
    return [PlannedRange(keys, _bounded(space, keys, rows)) for keys, rows in zip(roots, estimates, strict=True)]


def _refined(
    space: KeySpace, roots: list[PlannedRange], range_rows: int, is_late: Callable[[], bool]
) -> list[PlannedRange]:
    todo: list[tuple[_Place, PlannedRange, bool]] = [((at,), planned, False) for at, planned in enumerate(roots)]
    found: list[tuple[_Place, PlannedRange]] = []
    cuts_left = MOST_USELESS_CUTS + sum(planned.estimated_rows for planned in roots) // range_rows
    while todo:
        parts: list[tuple[_Place, KeyRange]] = []
        cut: list[tuple[_Place, PlannedRange]] = []
        for place, candidate, is_dense in todo:
            wanted = -(-candidate.estimated_rows // range_rows)
            if candidate.estimated_rows <= range_rows * TOLERANCE or not cuts_left or is_late():
                found.append((place, candidate))
                continue
            if is_dense:
                found += [((*place, at), part) for at, part in enumerate(_cut_dense(space, candidate, wanted))]
                continue
            cuts_left -= 1
            pieces = space.cut(candidate, max(2, min(wanted, MOST_PARTS)))
            if len(pieces) == 1:
                found.append((place, candidate))
            else:
                cut.append((place, candidate))
                parts += [((*place, at), keys) for at, keys in enumerate(pieces)]
        todo = _estimated(space, parts, sum(candidate.estimated_rows for _, candidate in cut))
        if len(parts) >= LEAST_TELLING * len(cut) and _is_unmoved(todo, cut):
            found, todo = found + cut, []
    found.sort(key=lambda one: one[0])
    return _join([planned for _, planned in found], range_rows)


def _is_unmoved(parts: list[tuple[_Place, PlannedRange, bool]], cut: list[tuple[_Place, PlannedRange]]) -> bool:
    """True if nearly every part is estimated as its whole was: these estimates do not depend on the range at all."""
    wholes = {place: candidate.estimated_rows for place, candidate in cut}
    same = [part.estimated_rows * MOST_EXCESS >= UNMOVED * wholes[place[:-1]] for place, part, _ in parts]
    return sum(same) >= UNMOVED * len(parts)


def _estimated(
    space: KeySpace, parts: list[tuple[_Place, KeyRange]], whole_rows: int
) -> list[tuple[_Place, PlannedRange, bool]]:
    """Each part with its estimated rows, and whether it is dense (has about as many rows as there can be).

    Two facts correct the estimates: a part has no more rows than its bounds allow, and all parts together have no more
    than the ranges that they were cut from, whose estimates add up to `whole_rows`.
    """
    groups = [parts[at : at + MOST_AT_ONCE] for at in range(0, len(parts), MOST_AT_ONCE)]
    estimates = [rows for group in groups for rows in space.estimated_rows([keys for _, keys in group])]
    bounded = [_bounded(space, keys, rows) for (_, keys), rows in zip(parts, estimates, strict=True)]
    counted = sum(rows for rows in bounded if rows > 1)  # an empty range is estimated as 1
    excess = min(MOST_EXCESS, counted / whole_rows) if counted > whole_rows > 0 else 1
    return [
        (place, PlannedRange(keys, rows if excess == 1 else int(rows / excess)), rows == space.most_rows(keys))
        for (place, keys), rows in zip(parts, bounded, strict=True)
    ]


def _bounded(space: KeySpace, keys: KeyRange, rows: int) -> int:
    most = space.most_rows(keys)
    return rows if most is None else min(rows, most)


def _cut_dense(space: KeySpace, candidate: PlannedRange, count: int) -> list[PlannedRange]:
    """Cut a dense range. Its parts need no query: parts of equal span have equal numbers of rows."""
    parts = space.cut(candidate, count)
    edges = [candidate.estimated_rows * part // len(parts) for part in range(len(parts) + 1)]
    return [PlannedRange(keys, high - low) for keys, (low, high) in zip(parts, pairwise(edges), strict=True)]


def _join(ranges: list[PlannedRange], range_rows: int) -> list[PlannedRange]:
    """Join neighbours as long as they have at most `range_rows * TOLERANCE` rows together."""
    joined: list[PlannedRange] = []
    for planned in ranges:
        if joined and not joined[-1].keys.nulls and not planned.keys.nulls:
            rows = joined[-1].estimated_rows + planned.estimated_rows
            if rows <= range_rows * TOLERANCE:
                planned = PlannedRange(KeyRange(joined.pop().keys.low, planned.keys.high), rows)
        joined.append(planned)
    return joined


def cut_integers(keys: KeyRange, count: int) -> list[KeyRange]:
    """Cut a range with bounds of one integer each into `count` parts of equal span, or fewer if it has fewer keys."""
    span, low = keys.span_keys, keys.low
    assert span
    assert low is not None
    assert isinstance(low[0], int)
    count = min(count, span)
    edges = [low[0] + span * part // count for part in range(count + 1)]
    return [KeyRange((one,), (other,)) for one, other in pairwise(edges)]
