"""The planner's questions to MySQL: the ends of the key's space, and how many rows lie between two keys.

Both are index dives, a fraction of a millisecond each. `EXPLAIN`'s number is InnoDB's estimate: it serves to
balance ranges and is never taken for a fact.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymysql.connections import Connection

from shardload.model.keys import KeyRange
from shardload.source.connection import translated
from shardload.source.table import quoted

_FEW_ROWS = 20  # below it "half the table" says nothing: an empty range is estimated as one row
_HALF = 0.45  # with room for statistics that are a little out of date


class TableKeys:
    """The integer primary key of one table."""

    def __init__(self, connection: Connection[Any], table: str, key_column: str) -> None:
        self._connection = connection
        self._name = table
        self._table = quoted(table)
        self._key = quoted(key_column)
        self._operation = f"cannot plan table {table}"
        self._whole: int | None = None

    def bounds(self) -> KeyRange | None:
        """`[smallest, largest + 1)`, or None if the table is empty."""
        sql = f"SELECT MIN({self._key}), MAX({self._key}) FROM {self._table}"
        with translated(self._operation), self._connection.cursor() as cursor:
            cursor.execute(sql)
            low, high = cursor.fetchone()
        return None if low is None else KeyRange(int(low), int(high) + 1)

    def counted_rows(self, keys: KeyRange) -> int:
        """How many rows lie in this range: MySQL's own count, of this moment."""
        between = f"{self._key} BETWEEN {keys.low} AND {keys.high - 1}"
        with translated(f"cannot count table {self._name}"), self._connection.cursor() as cursor:
            cursor.execute(f"SELECT COUNT(*) FROM {self._table} FORCE INDEX (PRIMARY) WHERE {between}")
            return int(cursor.fetchone()[0])

    def table_rows(self) -> int:
        """InnoDB's estimate of the whole table's rows."""
        if self._whole is None:
            self._whole = self._explained([f"SELECT {self._key} FROM {self._table}"])[0]
        return self._whole

    def estimated_rows(self, ranges: Sequence[KeyRange]) -> list[int]:
        """InnoDB's estimates of the rows in these ranges, asked for in one round trip.

        InnoDB never says more than about half the table for a range (btr_estimate_n_rows_in_range): such an answer
        means "half of it or more", and the whole is given instead, so that the planner looks closer. USE INDEX, not
        FORCE INDEX: MySQL 8 and later spares itself the dive when there is nothing to choose.
        """
        whole = self.table_rows()
        estimates = self._explained(
            [
                f"SELECT {self._key} FROM {self._table} USE INDEX (PRIMARY) "
                f"WHERE {self._key} BETWEEN {keys.low} AND {keys.high - 1}"
                for keys in ranges
            ]
        )
        if whole < _FEW_ROWS:
            return estimates
        return [max(estimate, whole) if estimate >= _HALF * whole else estimate for estimate in estimates]

    def _explained(self, selects: Sequence[str]) -> list[int]:
        with translated(self._operation), self._connection.cursor() as cursor:
            cursor.execute("EXPLAIN FORMAT = TRADITIONAL " + " UNION ALL ".join(selects))
            names = [item[0].lower() for item in cursor.description]
            steps = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        rows = [int(step["rows"] or 0) for step in steps if step["select_type"] != "UNION RESULT"]
        assert len(rows) == len(selects)
        return rows
