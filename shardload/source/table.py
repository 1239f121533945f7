"""A table's columns and indexes, as MySQL describes them to this user."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pymysql.connections import Connection

from shardload.errors import SourceDenied, SpecError
from shardload.model.columns import Kind, kind_of
from shardload.source.connection import translated
from shardload.source.keys import quoted

_ORDERED = ("BTREE", "RTREE", "")  # kinds of indexes whose entries are in order; of a HASH they are not
_JSON_CHECK = re.compile(r"json_valid\(`((?:[^`]|``)+)`\)", re.IGNORECASE)


@dataclass(frozen=True)
class Column:
    """A column's name as the table spells it, its type as MySQL writes it, and of a text its character set."""

    name: str
    type: str
    charset: str = ""
    is_nullable: bool = False
    is_visible: bool = True
    collation: str = ""

    @property
    def kind(self) -> Kind:
        """What it holds."""
        return kind_of(self.type)


@dataclass(frozen=True)
class Index:
    """An index: its columns in order. `is_whole`: they are whole columns, in order, not prefixes or expressions."""

    name: str
    columns: tuple[str, ...]
    is_unique: bool
    is_whole: bool = True


@dataclass(frozen=True)
class Table:
    """A table, a view or a query: columns that this user may read, the primary key's columns, and all indexes."""

    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    indexes: tuple[Index, ...] = ()
    is_view: bool = False

    def column_names(self) -> tuple[str, ...]:
        """The names of all columns that a SELECT * would give, in the table's order."""
        return tuple(column.name for column in self.columns if column.is_visible)

    def column(self, name: str) -> Column:
        """The column with this name, spelled as the table does. KeyError if there is none."""
        return {column.name: column for column in self.columns}[name]

    def resolve_column(self, name: str, flag: str) -> str:
        """The column's name as the table spells it. SpecError, naming `flag`, if there is no such column."""
        for is_same in (lambda one: one == name, lambda one: one.lower() == name.lower()):
            for column in self.columns:
                if is_same(column.name):
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

    def identifying_columns(self) -> tuple[str, ...]:
        """The primary key's columns, or those of the smallest unique index without NULLs; none if there is neither."""
        if self.primary_key:
            return self.primary_key
        nullable = {column.name for column in self.columns if column.is_nullable}
        names = {column.name for column in self.columns}
        unique = [index.columns for index in self.indexes if index.is_unique and set(index.columns) <= names - nullable]
        return min(unique, key=lambda columns: (len(columns), columns), default=())

    def integer_columns(self) -> frozenset[str]:
        """The names of the integer columns."""
        return frozenset(column.name for column in self.columns if column.kind is Kind.INTEGER)

    def identifies_row(self, columns: Sequence[str]) -> bool:
        """True if no two rows have the same values in all these columns. Rows with a NULL in them do not count."""
        unique = [frozenset(index.columns) for index in self.indexes if index.is_unique and index.is_whole]
        return any(key and key <= set(columns) for key in (frozenset(self.primary_key), *unique))


def describe(connection: Connection[Any], table: str) -> Table:
    """Ask MySQL for the table's columns and indexes.

    SpecError if there is no such table, SourceDenied if this user may not read the primary key, or no column at all.
    """
    operation = f"cannot read table {table}"
    with translated(operation), connection.cursor() as cursor:
        _check_there(cursor, table)
        cursor.execute(f"SHOW FULL COLUMNS FROM {quoted(table)}")
        columns, in_primary = [], set()
        for name, type_, collation, null, key, _, extra, privileges, *_ in cursor.fetchall():
            if key == "PRI":
                in_primary.add(name)
            charset = _charset_of(collation) if collation else ""
            is_visible = "INVISIBLE" not in extra.upper()
            found = Column(name, type_, charset, null == "YES", is_visible, collation or "")
            columns.append((found, "select" in privileges))
        cursor.execute(f"SHOW INDEX FROM {quoted(table)}")
        named = [item[0] for item in cursor.description]
        indexes = _indexes_of([dict(zip(named, row, strict=True)) for row in cursor.fetchall()])
        json_columns = _json_columns(cursor, table)
        cursor.execute(
            "SELECT TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = %s",
            (table,),
        )
        is_view = any("VIEW" in str(type_) for (type_,) in cursor.fetchall())
    readable = tuple(_with_json(column, json_columns) for column, may_read in columns if may_read)
    if not readable:
        raise SourceDenied(f"{operation}: this user may not read any of its columns", "GRANT SELECT on it")
    primary = next((index.columns for index in indexes if index.name == "PRIMARY"), ())
    hidden = (in_primary | set(primary)) - {column.name for column in readable}
    if hidden:
        raise SourceDenied(
            f"{operation}: this user may not read its primary key {', '.join(sorted(hidden))}",
            "give this user the right to read it: GRANT SELECT",
        )
    return Table(table, readable, primary, indexes, is_view)


def check_readable(connection: Connection[Any], relation: str, columns: Sequence[str], what: str) -> None:
    """Raise SourceDenied if this user may not select these columns. `what` is for the message."""
    listed = ", ".join(map(quoted, columns))
    with translated(f"cannot read {what}"), connection.cursor() as cursor:
        cursor.execute(f"SELECT {listed} FROM {relation} LIMIT 0")


def readable_tables(connection: Connection[Any]) -> int:
    """The number of tables in the database with a column that this user may select."""
    with translated("cannot look for tables"), connection.cursor() as cursor:
        cursor.execute(
            "SELECT COUNT(DISTINCT table_name) FROM information_schema.columns "
            "WHERE table_schema = DATABASE() AND FIND_IN_SET('select', privileges)"
        )
        return int(cursor.fetchone()[0])


def _check_there(cursor: Any, table: str) -> None:
    """SpecError or SourceDenied if the table cannot be read. A name with a point may mean another database."""
    with translated(f"cannot read table {table}"):
        try:
            cursor.execute(f"SELECT 1 FROM {quoted(table)} LIMIT 0")
        except Exception as error:
            if "." not in table or getattr(error, "args", (0,))[0] != 1146:
                raise
            raise SpecError(
                f"there is no table {table!r}: --table is a name without its database",
                "put the database at the end of --mysql, and the table's name alone into --table",
            ) from error


def _indexes_of(rows: Sequence[dict[str, Any]]) -> tuple[Index, ...]:
    """The indexes that SHOW INDEX lists; those whose entries are in no order are not whole."""
    parts: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        parts.setdefault(row["Key_name"], []).append(row)
    found = []
    for name, columns in parts.items():
        columns.sort(key=lambda row: int(row["Seq_in_index"]))
        is_whole = all(
            row["Column_name"] is not None and row["Sub_part"] is None and row["Index_type"] in _ORDERED
            for row in columns
        ) and _may_be_used(columns[0])
        names = tuple(row["Column_name"] or "" for row in columns)
        if is_whole or name == "PRIMARY":
            found.append(Index(name, names, not int(columns[0]["Non_unique"]), is_whole))
        elif all(names) and not any(row["Sub_part"] for row in columns):  # unique as a whole, in no order
            found.append(Index(name, names, not int(columns[0]["Non_unique"]), is_whole=False))
    return tuple(found)


def _may_be_used(row: dict[str, Any]) -> bool:
    """False for an index that MySQL keeps but does not use: invisible, MariaDB's ignored, MyISAM's disabled."""
    return (row.get("Visible", "YES"), row.get("Ignored", "NO")) == ("YES", "NO") and row.get("Comment") != "disabled"


def _json_columns(cursor: Any, table: str) -> frozenset[str]:
    """Of MariaDB, the columns that were made as JSON: LONGTEXT with a check. MySQL has a type of its own."""
    try:
        cursor.execute(
            "SELECT CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS "
            "WHERE CONSTRAINT_SCHEMA = DATABASE() AND TABLE_NAME = %s",
            (table,),
        )
    except Exception as error:
        if getattr(error, "args", (0,))[0] in (1054, 1109, 1142, 1146):  # MySQL's table has no such column
            return frozenset()
        raise
    matches = [_JSON_CHECK.fullmatch(str(clause)) for (clause,) in cursor.fetchall()]
    return frozenset(match[1].replace("``", "`") for match in matches if match)


def _with_json(column: Column, json_columns: frozenset[str]) -> Column:
    if column.name not in json_columns or column.type != "longtext":
        return column
    return replace(column, type="json")


def _charset_of(collation: str) -> str:
    """The character set of a collation; its name is the part before the first underscore. MariaDB's uca1400 collations
    leave it out in some lists, and are of utf8mb4 there."""
    charset = collation.partition("_")[0]
    return "utf8mb4" if charset.startswith("uca1400") else charset


def data_bytes(connection: Connection[Any], table: str) -> int:
    """How large the table's rows are in MySQL, by its statistics, which may be out of date; 0 if nothing is known."""
    with translated(f"cannot read about {table}"), connection.cursor() as cursor:
        cursor.execute(
            "SELECT DATA_LENGTH FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = %s",
            (table,),
        )
        row = cursor.fetchone()
    return int(row[0] or 0) if row else 0
