"""A person's own SQL: a query in the place of a table, and a condition on rows. MySQL tries both before a job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pymysql.connections import Connection
from pymysql.constants import FIELD_TYPE, FLAG

from shardload.errors import SourceError, SpecError
from shardload.model.columns import KeyColumn, Kind
from shardload.source.connection import translated
from shardload.source.select import Selection
from shardload.source.table import Column, Table

_BINARY_CHARSET = 63  # in a result's description: no text
_ALIAS = "`shardload rows`"
_NUMBERS = {
    FIELD_TYPE.TINY: "tinyint", FIELD_TYPE.SHORT: "smallint", FIELD_TYPE.INT24: "mediumint", FIELD_TYPE.LONG: "int",
    FIELD_TYPE.LONGLONG: "bigint", FIELD_TYPE.DECIMAL: "decimal", FIELD_TYPE.NEWDECIMAL: "decimal",
    FIELD_TYPE.FLOAT: "float", FIELD_TYPE.DOUBLE: "double", FIELD_TYPE.BIT: "bit", FIELD_TYPE.YEAR: "year",
    FIELD_TYPE.DATE: "date", FIELD_TYPE.NEWDATE: "date", FIELD_TYPE.DATETIME: "datetime",
    FIELD_TYPE.TIMESTAMP: "timestamp", FIELD_TYPE.TIME: "time", FIELD_TYPE.JSON: "json",
    FIELD_TYPE.GEOMETRY: "geometry",
}  # fmt: skip
_VECTOR = 242  # MySQL 9


def describe_query(connection: Connection[Any], query: str) -> tuple[Table, Selection]:
    """Ask MySQL for a query's columns. SpecError, with MySQL's words, if it refuses the query."""
    relation = f"({query}\n) AS {_ALIAS}"
    with _refused("--query"), translated("the query is refused"), connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {relation} LIMIT 0")
        fields = cursor._result.fields  # `description` has no flags and no character set
    columns = tuple(_column(field) for field in fields)
    table = Table("query", columns)
    return table, Selection("the query", relation, {column.name: column.kind for column in columns})


def split_query(table: Table, base: Selection, split_by: Sequence[str] | None) -> Selection:
    """The selection of a query, split by these columns. SpecError if it has no such column."""
    names = [table.resolve_column(name, "--split-by") for name in split_by or ()]
    if len(set(names)) != len(names):
        raise SpecError("--split-by names a column twice", "name it once")
    columns = [table.column(name) for name in names]
    if wrong := [column.name for column in columns if column.kind is Kind.JSON]:
        raise SpecError(f"--split-by: column {wrong[0]} has no order", "name another column")
    return replace(base, key=tuple(KeyColumn(one.name, one.kind, "", one.is_nullable) for one in columns))


def check_where(connection: Connection[Any], selection: Selection) -> None:
    """Ask MySQL whether the job's condition is one. SpecError, with MySQL's words, if not.

    It has to be whole as an argument of a function, and in brackets: one with a bracket too many would end the range's
    condition.
    """
    relation, where = selection.relation, f"{selection.where}\n"
    with _refused("--where"), translated("the condition is refused"), connection.cursor() as cursor:
        cursor.execute(f"SELECT IFNULL({where}, 0) FROM {relation} LIMIT 0")
        cursor.execute(f"SELECT 1 FROM {relation} WHERE TRUE AND ({where}) LIMIT 0")


def check_time_zone(connection: Connection[Any], time_zone: str) -> None:
    """SpecError if MySQL does not know the time zone."""
    with translated("cannot ask for the time zone"), connection.cursor() as cursor:
        cursor.execute("SELECT CONVERT_TZ('2020-01-01 00:00:00', '+00:00', %s)", (time_zone,))
        if cursor.fetchone()[0] is None:
            raise SpecError(
                f"--time-zone: MySQL does not know {time_zone!r}",
                "write an offset such as +02:00, or load MySQL's time zone tables (mysql_tzinfo_to_sql)",
            )


class _refused:  # noqa: N801 - a context manager, named as contextlib's are
    """Turns MySQL's refusal of a person's SQL into a SpecError that names the flag."""

    def __init__(self, flag: str) -> None:
        self._flag = flag

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if type(error) is SourceError or isinstance(error, SpecError):
            raise SpecError(f"{self._flag}: {error.message}", "try it in the mysql client first") from error


def _column(field: Any) -> Column:
    """A column from the description of a result."""
    code, flags = field.type_code, field.flags
    is_binary = field.charsetnr == _BINARY_CHARSET
    if flags & FLAG.ENUM or flags & FLAG.SET:
        type_ = "enum" if flags & FLAG.ENUM else "set"
    elif code == _VECTOR:
        type_ = "vector"
    elif code in _NUMBERS:
        type_ = _NUMBERS[code] + (" unsigned" if flags & FLAG.UNSIGNED else "")
    else:
        type_ = "varbinary" if is_binary else "varchar"
    return Column(field.name, type_, is_nullable=not flags & FLAG.NOT_NULL)
