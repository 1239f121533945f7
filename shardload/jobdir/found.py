"""What is wrong with rows and keys, in the journal's database: rows that were set aside, keys that differ."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from shardload.model.counts import SetAside
from shardload.model.differences import Difference, DifferenceTotals, Fault

DIFFERENCE = "key, fault, detail, repaired"
DIFFERENCE_SUMS = "SELECT fault, COUNT(*), SUM(repaired) FROM difference GROUP BY fault"


def difference_of(row: Sequence[Any]) -> Difference:
    """From what DIFFERENCE selects. ValueError if a value is impossible."""
    key, fault, detail, repaired = row
    if not isinstance(key, bytes) or not isinstance(detail, str):
        raise ValueError("a difference without a key")
    return Difference(key, Fault(fault), detail, bool(repaired))


def difference_totals_of(rows: Iterable[Sequence[Any]]) -> DifferenceTotals:
    """From what DIFFERENCE_SUMS selects. ValueError if a value is impossible."""
    found, repaired = {}, 0
    for fault, keys, mended in rows:
        found[Fault(fault)] = int(keys)
        repaired += int(mended)
    return DifferenceTotals(found, repaired)


def replace_failures(db: sqlite3.Connection, range_id: int, failures: Iterable[SetAside]) -> None:
    """Record the rows of a range that were set aside, and no others."""
    db.execute("DELETE FROM failure WHERE range_id = ?", (range_id,))
    db.executemany(
        "INSERT INTO failure VALUES (?, ?, ?)", [(range_id, failure.key, failure.reason) for failure in failures]
    )


def replace_differences(db: sqlite3.Connection, range_id: int | None, found: Iterable[Difference]) -> None:
    """Record the keys of a range that differ (None: those that no row stands for), and no others."""
    db.execute("DELETE FROM difference WHERE range_id IS ?", (range_id,))
    rows = ((range_id, one.key, one.fault.value, one.detail, one.is_repaired) for one in found)
    db.executemany("INSERT INTO difference VALUES (?, ?, ?, ?, ?)", rows)
