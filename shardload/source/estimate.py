"""The planner's questions to MySQL: the ends of the key's space, and how many rows lie between two keys.

Both are index dives, a fraction of a millisecond each. `EXPLAIN`'s number is InnoDB's estimate: it serves to
balance ranges and is never taken for a fact.
"""

from __future__ import annotations

from typing import Any

from pymysql.connections import Connection

from shardload.model import KeyRange
from shardload.source.connection import translated
from shardload.source.table import quoted


class TableKeys:
    """The integer primary key of one table."""

    def __init__(self, connection: Connection[Any], table: str, key_column: str) -> None:
        self._connection = connection
        self._table = quoted(table)
        self._key = quoted(key_column)
        self._operation = f"cannot plan table {table}"

    def bounds(self) -> KeyRange | None:
        """`[smallest, largest + 1)`, or None if the table is empty."""
        sql = f"SELECT MIN({self._key}), MAX({self._key}) FROM {self._table}"  # noqa: S608 (quoted)
        with translated(self._operation), self._connection.cursor() as cursor:
            cursor.execute(sql)
            low, high = cursor.fetchone()
        return None if low is None else KeyRange(int(low), int(high) + 1)

    def estimated_rows(self, keys: KeyRange) -> int:
        """InnoDB's estimate of the rows in this range."""
        sql = (
            f"EXPLAIN SELECT {self._key} FROM {self._table} FORCE INDEX (PRIMARY) "  # noqa: S608 (quoted)
            f"WHERE {self._key} BETWEEN {keys.low} AND {keys.high - 1}"
        )
        with translated(self._operation), self._connection.cursor() as cursor:
            cursor.execute(sql)
            named = [item[0].lower() for item in cursor.description]
            rows = dict(zip(named, cursor.fetchone(), strict=True)).get("rows")
        return int(rows or 0)
