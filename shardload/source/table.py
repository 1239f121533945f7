"""A table's columns and primary key, and the SELECT of one range."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pymysql.connections import Connection

from shardload.errors import SourceDenied, SpecError
from shardload.model.columns import Reading
from shardload.model.keys import KeyRange
from shardload.source.connection import translated
from shardload.source.session import NO_LIMIT

_NOT_A_COLUMN = ""  # in an index: a prefix of a column, or an expression
_INTEGER = re.compile(r"(tiny|small|medium|big)?int\b", re.IGNORECASE)


@dataclass(frozen=True)
class Column:
    """A column's name as the table spells it, and its type as MySQL writes it."""

    name: str
    type: str


@dataclass(frozen=True)
class Table:
    """A table: columns that this user may read, the primary key's columns in order, and other unique indexes."""

    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    unique: tuple[frozenset[str], ...] = ()

    def column_names(self) -> tuple[str, ...]:
        """The names of all columns, in the table's order."""
        return tuple(column.name for column in self.columns)

    def resolve_column(self, name: str, flag: str) -> str:
        """The column's name as the table spells it. SpecError, naming `flag`, if there is no such column."""
        for column in self.columns:
            if column.name.lower() == name.lower():
                return column.name
        hint = f"it has: {', '.join(self.column_names())}"
        raise SpecError(f"{flag}: table {self.name} has no column {name!r}", hint)

    def choose_columns(self, names: Sequence[str]) -> list[str]:
        """The names of --columns as the table spells them. SpecError if one does not exist, or is named twice."""
        found: dict[str, str] = {}
        for name in names:
            column = self.resolve_column(name, "--columns")
            if column in found:
                raise SpecError(f"--columns names column {column} twice, as {found[column]} and {name}", "name it once")
            found[column] = name
        return list(found)

    def key_column(self) -> str:
        """The name of the primary key's only column, an integer. SpecError if the key is different or missing."""
        if not self.primary_key:
            raise SpecError(
                f"table {self.name} has no primary key, or this user may not see it; it cannot be split into ranges",
                "import a table with a single integer primary key, or GRANT SELECT on the key",
            )
        if len(self.primary_key) > 1:
            raise SpecError(
                f"table {self.name} has a primary key of several columns ({', '.join(self.primary_key)}), "
                "which is not supported yet",
                "import a table with a single integer primary key",
            )
        column = next(column for column in self.columns if column.name == self.primary_key[0])
        if not _INTEGER.match(column.type):
            raise SpecError(
                f"table {self.name} has the primary key {column.name} of type {column.type}, "
                "which is not supported yet",
                "import a table with a single integer primary key",
            )
        return column.name

    def integer_columns(self) -> frozenset[str]:
        """The names of the integer columns."""
        return frozenset(column.name for column in self.columns if _INTEGER.match(column.type))

    def identifies_row(self, columns: Sequence[str]) -> bool:
        """True if no two rows have the same values in all these columns. Rows with a NULL in them do not count."""
        return any(key and key <= set(columns) for key in (frozenset(self.primary_key), *self.unique))


def describe(connection: Connection[Any], table: str) -> Table:
    """Ask MySQL for the table's columns and keys.

    SpecError if there is no such table, SourceDenied if this user may not read the primary key, or no column at all.
    """
    operation = f"cannot read table {table}"
    with translated(operation), connection.cursor() as cursor:
        cursor.execute(f"SELECT 1 FROM {quoted(table)} LIMIT 0")
        cursor.execute(f"SHOW FULL COLUMNS FROM {quoted(table)}")
        columns, primary_in_order = [], {}
        in_primary = set()
        for name, type_, _, _, key, _, extra, privileges, *_ in cursor.fetchall():
            if key == "PRI":
                in_primary.add(name)
            if "INVISIBLE" not in extra.upper():
                columns.append((Column(name, type_), "select" in privileges))
        cursor.execute(f"SHOW INDEX FROM {quoted(table)}")
        named = [item[0] for item in cursor.description]
        unique: dict[str, set[str]] = {}
        for row in cursor.fetchall():
            index = dict(zip(named, row, strict=True))
            if index["Key_name"] == "PRIMARY":
                primary_in_order[int(index["Seq_in_index"])] = index["Column_name"]
            elif not int(index["Non_unique"]):
                is_whole = index["Column_name"] is not None and index["Sub_part"] is None
                unique.setdefault(index["Key_name"], set()).add(index["Column_name"] if is_whole else _NOT_A_COLUMN)
    readable = tuple(column for column, may_read in columns if may_read)
    if not readable:
        raise SourceDenied(f"{operation}: this user may not read any of its columns", "GRANT SELECT on it")
    primary_key = tuple(primary_in_order[position] for position in sorted(primary_in_order))
    hidden = (in_primary | set(primary_key)) - {column.name for column in readable}
    if hidden:
        raise SourceDenied(
            f"{operation}: its primary key {', '.join(sorted(hidden))} is invisible, or this user may not read it",
            "make the column visible, or give this user the right to read it: GRANT SELECT",
        )
    return Table(
        table, readable, primary_key, tuple(frozenset(names) for names in unique.values() if None not in names)
    )


def check_readable(connection: Connection[Any], table: str, columns: Sequence[str]) -> None:
    """Raise SourceDenied if this user may not select these columns."""
    listed = ", ".join(map(quoted, columns))
    with translated(f"cannot read table {table}"), connection.cursor() as cursor:
        cursor.execute(f"SELECT {listed} FROM {quoted(table)} LIMIT 0")


def readable_tables(connection: Connection[Any]) -> int:
    """The number of tables in the database with a column that this user may select."""
    with translated("cannot look for tables"), connection.cursor() as cursor:
        cursor.execute(
            "SELECT COUNT(DISTINCT table_name) FROM information_schema.columns "
            "WHERE table_schema = DATABASE() AND FIND_IN_SET('select', privileges)"
        )
        return int(cursor.fetchone()[0])


@functools.lru_cache
def quoted(name: str) -> str:
    """The name as a quoted SQL identifier."""
    return "`" + name.replace("`", "``") + "`"


def select_sql(
    table: str, columns: Sequence[str], key_column: str, keys: KeyRange, readings: Sequence[Reading] = ()
) -> str:
    """The SELECT of one range. Its upper bound is inclusive, because 2**64 does not fit into a BIGINT.

    The LIMIT is there because it overrides `sql_select_limit`, which could cut the result short.
    """
    head = _select_between(table, tuple(columns), key_column, tuple(readings))
    return f"{head} {int(keys.low)} AND {int(keys.high) - 1} LIMIT {NO_LIMIT}"


@functools.lru_cache
def _select_between(table: str, columns: tuple[str, ...], key_column: str, readings: tuple[Reading, ...]) -> str:
    listed = ", ".join(map(_read, columns, readings)) if readings else ", ".join(map(quoted, columns))
    return f"SELECT {listed} FROM {quoted(table)} FORCE INDEX (PRIMARY) WHERE {quoted(key_column)} BETWEEN"


def _read(name: str, reading: Reading) -> str:
    column = quoted(name)
    epoch = f"TIMESTAMPDIFF(MICROSECOND, '1970-01-01', {column}) DIV 1000"
    unix = f"IF({column} > 100000000000, {column}, {column} * 1000)"
    return {
        Reading.PLAIN: column,
        Reading.NUMBER: f"{column} + 0",
        Reading.DOUBLE: f"{column} + 0e0",
        Reading.LOWER: f"LOWER({column})",
        Reading.UPPER: f"UPPER({column})",
        Reading.EXPIRY_MS: f"IF(CAST({column} AS CHAR) LIKE '____-%', {epoch}, {unix})",
    }[reading]
