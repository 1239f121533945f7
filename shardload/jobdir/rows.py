"""Turns the journal's rows into objects. The file may be damaged, so every value is checked. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from shardload.model.counts import COUNT_NAMES, Counts, SetAside, Totals
from shardload.model.keys import KeyRange, PlannedRange, RangeRecord, key_in_json, key_of_json
from shardload.model.nodes import NodeFacts
from shardload.ranges.lineage import Checkpoint

_NULLS = '"NULL"'  # in place of both bounds


def totals_of(row: Sequence[Any], vanished_rows: Any, runs: Sequence[Sequence[Any]]) -> Totals:
    """The totals of a job, from the numbers that `Journal.totals` selects. `runs` holds the seconds of each run.

    ValueError if a value is impossible.
    """
    numbers = [_count(value) for value in row]
    seconds = [value for (value,) in runs]
    if not all(isinstance(value, (int, float)) and 0 <= value < math.inf for value in seconds):
        raise ValueError("the duration of a run is not a number")
    ranges, done, set_aside, retried, estimated_rows, estimated_rows_done = numbers[len(COUNT_NAMES) :]
    return Totals(
        counts=Counts(*numbers[: len(COUNT_NAMES)]),
        ranges=ranges,
        ranges_done=done,
        ranges_set_aside=set_aside,
        ranges_retried=retried,
        estimated_rows=estimated_rows,
        estimated_rows_done=estimated_rows_done,
        seconds=sum(seconds),
        rows_vanished=_count(vanished_rows),
    )


def run_of(row: Sequence[Any]) -> tuple[str, float]:
    """From when a run began, and its seconds. ValueError if a value is impossible."""
    started, seconds = row
    if not isinstance(started, str) or not isinstance(seconds, (int, float)) or not 0 <= seconds < math.inf:
        raise ValueError("a run without a beginning or a duration")
    return started, float(seconds)


def bounds_of(keys: KeyRange) -> tuple[str | None, str | None]:
    """A range's bounds as the journal has them."""
    if keys.nulls:
        return _NULLS, _NULLS
    low, high = (None if key is None else json.dumps(key_in_json(key)) for key in (keys.low, keys.high))
    return low, high


def keys_of(low: Any, high: Any) -> KeyRange:
    """From what `bounds_of` gives. ValueError, TypeError or RecursionError if a value is impossible."""
    if low == high == _NULLS:
        return KeyRange(nulls=True)
    least, most = (None if bound is None else key_of_json(json.loads(bound)) for bound in (low, high))
    return KeyRange(least, most)


def planned_of(row: Sequence[Any]) -> PlannedRange:
    """From low, high and estimated rows. ValueError, TypeError or RecursionError if a value is impossible."""
    low, high, rows = row
    return PlannedRange(keys_of(low, high), _count(rows))


def place_of(at: int) -> str:
    """A number whose order as text is that of the numbers."""
    return f"{at:08x}"


def range_row(place: str, planned: PlannedRange) -> tuple[str, str | None, str | None, int]:
    """A new range, as the journal has it."""
    return (place, *bounds_of(planned.keys), planned.estimated_rows)


def record_of(row: Sequence[Any]) -> RangeRecord:
    """From id, low, high, estimated rows and attempts. ValueError, TypeError or RecursionError if a value is
    impossible."""
    try:
        keys = keys_of(row[1], row[2])
    except ValueError:
        raise ValueError(f"range {row[0]} has impossible bounds") from None
    return RangeRecord(_count(row[0]), keys, _count(row[3]), _count(row[4]))


def failure_of(row: Sequence[Any]) -> SetAside:
    """From key and reason. ValueError if one is not text."""
    if not all(isinstance(value, str) for value in row):
        raise ValueError("the key or reason of a failure is not text")
    return SetAside(*row)


def checkpoint_of(row: Sequence[Any]) -> Checkpoint:
    """From look, epoch and the nodes as JSON. ValueError, TypeError or RecursionError if a value is impossible."""
    try:
        nodes = tuple(NodeFacts.from_json(node) for node in json.loads(row[2]))
    except KeyError:
        raise ValueError("a node of a checkpoint has no slots") from None
    return Checkpoint(_count(row[0]), int(row[1]), nodes)


def fact_of(text: Any) -> dict[str, Any]:
    """From a JSON object. ValueError or RecursionError if the text is not one."""
    fact = json.loads(text)
    if not isinstance(fact, dict):
        raise ValueError("a fact of the job is not a JSON object")
    return fact


def _count(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is not a number of rows, ranges or bytes")
    return value
