"""Ask MySQL about the keys of a table: which there are between two others, and about how many rows.

Every question is a seek in the index, or an estimate from it (an index dive); each takes a fraction of a millisecond.
The number from `EXPLAIN` is InnoDB's estimate: the planner uses it to balance ranges, and nothing else depends on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from pymysql.connections import Connection

from shardload.errors import SourceError
from shardload.model.keys import Key, KeyRange, PlannedRange, integer_range
from shardload.ranges.split import cut_integers
from shardload.source.connection import translated
from shardload.source.guess import between
from shardload.source.keys import after, from_key, quoted, sorted_sql, value_of, value_sql
from shardload.source.select import Selection

_FEW_ROWS = 20  # too few for the rule: InnoDB estimates an empty range as one row
_HALF = 0.45  # less than half, because statistics may be a little out of date
_MOST_STEPS = 64


class TableKeys:
    """The keys of one selection. With `may_scan` a range is cut by reading over its index where nothing else helps."""

    def __init__(self, connection: Connection[Any], selection: Selection, *, may_scan: bool = False) -> None:
        self._connection = connection
        self._selection = selection
        self._may_scan = may_scan
        self._operation = f"cannot plan {selection.name}"
        self._whole: int | None = None
        self._ordered = ", ".join(f"k{at}" for at in range(len(selection.key)))
        self._sorted = ", ".join(f"{sorted_sql(column)} AS k{at}" for at, column in enumerate(selection.key))
        self._values = ", ".join(value_sql(column, f"k{at}") for at, column in enumerate(selection.key))
        self._names = ", ".join(quoted(column.name) for column in selection.key)

    # ---- for the planner

    def roots(self) -> list[KeyRange]:
        """Ranges that together have all keys, those with NULL first; none if there are no rows.

        One of integers goes from the smallest to the largest key. All others are open at both ends.
        """
        if self._selection.has_integer_key:
            key = self._names
            low, high = self._row(f"SELECT MIN({key}), MAX({key}) FROM {self._selection.source_sql('USE')}")
            return [] if low is None else [integer_range(int(low), int(high) + 1)]
        if not self.has_rows(KeyRange()) and not self._has_nulls():
            return []
        return [KeyRange(nulls=True), KeyRange()] if self._has_nulls() else [KeyRange()]

    def most_rows(self, keys: KeyRange) -> int | None:
        """How many rows there can be in a range at most; None if nothing bounds it."""
        return self._selection.most_rows(keys)

    def table_rows(self) -> int:
        """MySQL's estimate of all rows, whatever condition the job has. Asked once, then remembered."""
        if self._whole is None:
            self._whole = self._explain([f"SELECT {self._names or '1'} FROM {self._selection.relation}"])[0]
        return self._whole

    def estimated_rows(self, ranges: Sequence[KeyRange]) -> list[int]:
        """MySQL's estimates of the rows in these ranges, in one round trip.

        InnoDB's estimate for a range is never more than about half the table (btr_estimate_n_rows_in_range). So an
        estimate near half is replaced by the whole table's, and the planner will split that range. The query has USE
        INDEX and not FORCE INDEX, because with FORCE INDEX MySQL 8 and later make no dive.
        """
        whole = self.table_rows()
        if not self._selection.key:
            return [whole for _ in ranges]
        source = self._selection.source_sql("USE")
        where = [self._selection.where_sql(keys, filtered=False) for keys in ranges]
        estimates = self._explain([f"SELECT {self._names} FROM {source} WHERE {one}" for one in where])
        if whole < _FEW_ROWS:
            return estimates
        return [max(estimate, whole) if estimate >= _HALF * whole else estimate for estimate in estimates]

    def cut(self, planned: PlannedRange, count: int) -> list[KeyRange]:
        """About `count` ranges that together are this one, in the order of their keys; one if it cannot be cut.

        Integers are cut into equal spans. Of other keys, some between the first and the last one are guessed, and MySQL
        gives the real keys behind the guesses, in order.
        """
        keys = planned.keys
        if self._selection.has_integer_key:
            return cut_integers(keys, count)
        if keys.nulls or not self._selection.key:
            return [keys]
        try:
            found = self._guessed(keys, count)
        except SourceError as error:
            if type(error) is not SourceError:
                raise
            found = []  # a guess that the column's character set or type does not have
        if not found and self._may_scan:
            found = self._stepped(keys, count, max(1, planned.estimated_rows // count))
        return _between(keys, found)

    # ---- for a worker

    def counted_rows(self, keys: KeyRange) -> int:
        """The exact number of rows in this range now, counted by MySQL. Reads the whole range."""
        source, where = self._selection.source_sql(), self._selection.where_sql(keys)
        with translated(f"cannot count {self._selection.name}"), self._connection.cursor() as cursor:
            cursor.execute(f"SELECT COUNT(*) FROM {source} WHERE {where}")
            return int(cursor.fetchone()[0])

    def halves(self, keys: KeyRange) -> tuple[int, list[PlannedRange]]:
        """The rows that MySQL counts in a range, and its two halves: none if all its rows have the same key.

        The only row of a range of integers is parted from what is beside it: MySQL may be unable to read just that. If
        MySQL cannot read what it takes to find the halves, they are what `cut` makes of the range.
        """
        rows = None
        try:
            rows = self.counted_rows(keys)
            if rows == 1 and self._selection.has_integer_key:
                return rows, self._beside_row(keys)
            middle = self._middle(keys, rows // 2) if rows > 1 else None
        except SourceError as error:
            if type(error) is not SourceError:
                raise
            parts = self.cut(PlannedRange(keys, 2), 2)
            return 1 if rows is None else rows, [PlannedRange(part, 1) for part in parts] if len(parts) > 1 else []
        if middle is None:
            return rows, []
        first = PlannedRange(KeyRange(keys.low, middle), rows // 2)
        return rows, [first, PlannedRange(KeyRange(middle, keys.high), rows - rows // 2)]

    def _beside_row(self, keys: KeyRange) -> list[PlannedRange]:
        """The only row of a range of integers, and what is before and behind it; nothing if that is the range."""
        first = self._key_at(keys, 0)
        if first is None or keys.span_keys == 1:
            return []
        assert isinstance(first[0], int)
        edges = dict.fromkeys([keys.low, first, (first[0] + 1,), keys.high])
        return [PlannedRange(KeyRange(low, high), int(low == first)) for low, high in pairwise(edges)]

    def _middle(self, keys: KeyRange, before_rows: int, *, filtered: bool = True) -> Key | None:
        """A key of the range with about so many rows before it; None if all rows have the same key."""
        if keys.nulls or not self._selection.key:
            return None
        middle = self._key_at(keys, before_rows, filtered=filtered)
        if middle is not None and (middle == keys.low or not self.has_rows(KeyRange(keys.low, middle))):
            middle = self._key_at(keys, 0, after(self._selection.key, middle), filtered=filtered)
        return middle

    def first_key(self, keys: KeyRange) -> Key | None:
        """The first key of a range; None if it has none."""
        return None if keys.nulls or not self._selection.key else self._key_at(keys, 0)

    def is_beyond(self, keys: KeyRange) -> bool:
        """True if the table has no row before the range's end, or none behind its beginning: then it is outside of the
        table's bounds, where a plan has no ranges."""
        if keys.nulls:
            return not self.has_rows(keys)
        return not self.has_rows(KeyRange(None, keys.high)) or not self.has_rows(KeyRange(keys.low, None))

    def has_rows(self, keys: KeyRange) -> bool:
        """True if a row has a key in this range, whatever condition the job has."""
        where = self._selection.where_sql(keys, filtered=False)
        with translated(self._operation), self._connection.cursor() as cursor:
            cursor.execute(f"SELECT 1 FROM {self._selection.source_sql()} WHERE {where} LIMIT 1")
            return cursor.fetchone() is not None

    # ---- how MySQL is asked

    def _has_nulls(self) -> bool:
        return any(column.is_nullable for column in self._selection.key) and self.has_rows(KeyRange(nulls=True))

    def _guessed(self, keys: KeyRange, count: int) -> list[Key]:
        """Keys within a range, in MySQL's order, found behind guesses."""
        first, last = self.ends(keys)
        if first is None or last is None:
            return []
        guesses = between(first, last, self._selection.key, count)
        key = self._selection.key  # a guess may be anywhere, as MySQL sorts it: what is sought is within the range
        seeks = [self._seek(keys, more=from_key(key, guess)) for guess in guesses]
        if not seeks:
            return []
        union = " UNION ".join(f"({seek})" for seek in seeks)
        found = self._keys(f"SELECT {self._values} FROM ({union}) AS found ORDER BY {self._ordered}")
        return [key for key in found if key not in (first, keys.low)]

    def ends(self, keys: KeyRange) -> tuple[Key | None, Key | None]:
        """The first and the last key of a range; None twice if it has none."""
        first, last = (
            self._keys(f"SELECT {self._values} FROM ({self._seek(keys, way)}) AS end") for way in ("", " DESC")
        )
        return (first[0], last[0]) if first and last else (None, None)

    def _stepped(self, keys: KeyRange, count: int, step_rows: int) -> list[Key]:
        """Keys within a range, each so many rows behind the one before."""
        found: list[Key] = []
        while len(found) < min(count, _MOST_STEPS) - 1:
            rest = KeyRange(found[-1] if found else keys.low, keys.high)
            key = self._middle(rest, step_rows, filtered=False)
            if key is None:
                break
            found.append(key)
        return found

    def _key_at(self, keys: KeyRange, offset_rows: int, more: str = "", *, filtered: bool = True) -> Key | None:
        """The key with so many rows of the range before it; if `filtered`, of those that the job wants. Reads over
        them."""
        seek = self._seek(keys, "", offset_rows, more, filtered=filtered)
        found = self._keys(f"SELECT {self._values} FROM ({seek}) AS found")
        return found[0] if found else None

    def _seek(
        self, keys: KeyRange, way: str = "", offset_rows: int = 0, more: str = "", *, filtered: bool = False
    ) -> str:
        """The SELECT of one key of a range: its first one, its last one (`way` " DESC"), or one further on."""
        where = self._selection.where_sql(keys, filtered=filtered) + (f" AND {more}" if more else "")
        order = ", ".join(f"{quoted(column.name)}{way}" for column in self._selection.key)
        offset = f" OFFSET {offset_rows}" if offset_rows else ""
        return (
            f"SELECT {self._sorted} FROM {self._selection.source_sql()} WHERE {where} ORDER BY {order} LIMIT 1{offset}"
        )

    def _keys(self, sql: str) -> list[Key]:
        with translated(self._operation), self._connection.cursor() as cursor:
            cursor.execute(sql)
            rows = cursor.fetchall()
        columns = self._selection.key
        return [tuple(value_of(column, value) for column, value in zip(columns, row, strict=True)) for row in rows]

    def _row(self, sql: str) -> tuple[Any, ...]:
        with translated(self._operation), self._connection.cursor() as cursor:
            cursor.execute(sql)
            row: tuple[Any, ...] = cursor.fetchone()
            return row

    def _explain(self, selects: Sequence[str]) -> list[int]:
        """The `rows` that EXPLAIN gives for each of these SELECTs. A query's steps count as the largest one."""
        if not self._selection.index and len(selects) > 1:
            return [self._explain([select])[0] for select in selects]
        with translated(self._operation), self._connection.cursor() as cursor:
            cursor.execute("EXPLAIN FORMAT = TRADITIONAL " + " UNION ALL ".join(selects))
            names = [item[0].lower() for item in cursor.description]
            steps = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        rows = [int(step["rows"] or 0) for step in steps if step["select_type"] != "UNION RESULT"]
        if len(selects) == 1:
            return [max(rows, default=0)]
        assert len(rows) == len(selects)
        return rows


def _between(keys: KeyRange, cuts: Sequence[Key]) -> list[KeyRange]:
    """The range, cut before each of these keys."""
    edges = [keys.low, *cuts, keys.high]
    return [KeyRange(low, high) for low, high in pairwise(edges)]
