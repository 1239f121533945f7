"""Ask MySQL for the smallest and largest key, and for the number of rows between two keys.

Both are index dives, which take a fraction of a millisecond. The number from `EXPLAIN` is InnoDB's estimate: the
planner uses it to balance ranges, and nothing else depends on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymysql.connections import Connection

from shardload.model.keys import KeyRange
from shardload.source.connection import translated
from shardload.source.table import quoted

_FEW_ROWS = 20  # too few for the rule: InnoDB estimates an empty range as one row
_HALF = 0.45  # less than half, because statistics may be a little out of date


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
        """The range `[smallest key, largest key + 1)`, or None if the table is empty."""
        sql = f"SELECT MIN({self._key}), MAX({self._key}) FROM {self._table}"
        with translated(self._operation), self._connection.cursor() as cursor:
            cursor.execute(sql)
            low, high = cursor.fetchone()
        return None if low is None else KeyRange(int(low), int(high) + 1)

    def counted_rows(self, keys: KeyRange) -> int:
        """The exact number of rows in this range now, counted by MySQL. Reads the whole range."""
        between = f"{self._key} BETWEEN {keys.low} AND {keys.high - 1}"
        with translated(f"cannot count table {self._name}"), self._connection.cursor() as cursor:
            cursor.execute(f"SELECT COUNT(*) FROM {self._table} FORCE INDEX (PRIMARY) WHERE {between}")
            return int(cursor.fetchone()[0])

    def table_rows(self) -> int:
        """InnoDB's estimate of the rows in the whole table. Asked once, then remembered."""
        if self._whole is None:
            self._whole = self._explain([f"SELECT {self._key} FROM {self._table}"])[0]
        return self._whole

    def estimated_rows(self, ranges: Sequence[KeyRange]) -> list[int]:
        """InnoDB's estimates of the rows in these ranges, in one round trip.

        InnoDB's estimate for a range is never more than about half the table (btr_estimate_n_rows_in_range). So an
        estimate near half is replaced by the whole table's, and the planner will split that range. The query has USE
        INDEX and not FORCE INDEX, because with FORCE INDEX MySQL 8 and later make no dive.
        """
        whole = self.table_rows()
        estimates = self._explain(
            [
                f"SELECT {self._key} FROM {self._table} USE INDEX (PRIMARY) "
                f"WHERE {self._key} BETWEEN {keys.low} AND {keys.high - 1}"
                for keys in ranges
            ]
        )
        if whole < _FEW_ROWS:
            return estimates
        return [max(estimate, whole) if estimate >= _HALF * whole else estimate for estimate in estimates]

    def _explain(self, selects: Sequence[str]) -> list[int]:
        """The `rows` that EXPLAIN gives for each of these SELECTs."""
        with translated(self._operation), self._connection.cursor() as cursor:
            cursor.execute("EXPLAIN FORMAT = TRADITIONAL " + " UNION ALL ".join(selects))
            names = [item[0].lower() for item in cursor.description]
            steps = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        rows = [int(step["rows"] or 0) for step in steps if step["select_type"] != "UNION RESULT"]
        assert len(rows) == len(selects)
        return rows
