"""Reads from a block's journal, while its job runs, which of its ranges are settled with all their parts."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path

from shardload.jobdir.database import COUNTS, SUMS, open_database
from shardload.jobdir.found import DIFFERENCE, difference_of
from shardload.jobdir.rows import failure_of, place_of
from shardload.model.blocks import SettledRange
from shardload.model.counts import COUNT_NAMES, Counts

_TOP = f"substr(place, 1, {len(place_of(0))})"
_SETTLED = f"""
SELECT {_TOP} AS top, MAX(epoch), {SUMS} FROM (SELECT place, state, epoch, {COUNTS} FROM range WHERE state <> 'split')
GROUP BY top HAVING SUM(state = 'todo') = 0
AND COUNT(DISTINCT CASE WHEN keys_written + keys_kept + keys_equal > 0 THEN epoch END) <= 1
"""


class BlockJournal:
    """The journal of a block, as its machine reads it. JournalError if it cannot be read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._told: dict[int, SettledRange] = {}

    def settled(self) -> tuple[SettledRange, ...]:
        """The ranges that are settled, those first that were seen first. What was told once is not looked at again."""
        with suppress(sqlite3.OperationalError):  # it is locked for too long: the next look sees it
            db = open_database(self._path, create=False, hint="")
            try:
                for top, epoch, *counts in db.execute(_SETTLED).fetchall():
                    place = int(top, 16)
                    if place not in self._told:
                        self._told[place] = self._read(db, top, int(epoch), Counts(*counts[: len(COUNT_NAMES)]))
            finally:
                db.close()
        return tuple(self._told.values())

    def _read(self, db: sqlite3.Connection, top: str, epoch: int, counts: Counts) -> SettledRange:
        of_range = f"WHERE range_id IN (SELECT id FROM range WHERE {_TOP} = ?) ORDER BY range_id, rowid"
        told = db.execute(f"SELECT key, reason FROM failure {of_range}", (top,))
        found = db.execute(f"SELECT {DIFFERENCE} FROM difference {of_range}", (top,))
        return SettledRange(int(top, 16), counts, epoch, tuple(map(failure_of, told)), tuple(map(difference_of, found)))
