"""The SQL of keys: how a key's values are asked for, written as literals, and compared. MySQL does the comparing.

- A text travels as the bytes of its column's own character set, and comes back as a literal of that set: an index is
  only used if nothing has to be converted, and a conversion may make one text of two.
- A bound of several columns is written out, `a > 1 OR (a = 1 AND b >= 2)`: MySQL and MariaDB read the whole index for
  `(a, b) >= (1, 2)`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from shardload.errors import SourceError
from shardload.model.columns import KeyColumn, Kind
from shardload.model.keys import Key, KeyRange, KeyValue

_ORDINALS = (Kind.ENUM, Kind.SET, Kind.BIT, Kind.YEAR)  # sorted, and compared, as numbers
_FLOATS = (Kind.FLOAT, Kind.DOUBLE)
_STRINGS = (Kind.TEXT, Kind.BINARY)


@functools.lru_cache
def quoted(name: str) -> str:
    """The name as a quoted SQL identifier."""
    return "`" + name.replace("`", "``") + "`"


def sorted_sql(column: KeyColumn) -> str:
    """The column as it is sorted: a result column of a UNION keeps this order."""
    if column.kind in _ORDINALS:
        return f"{quoted(column.name)} + 0"
    return f"{quoted(column.name)} + 0e0" if column.kind in _FLOATS else quoted(column.name)


def value_sql(column: KeyColumn, sql: str) -> str:
    """The expression for a value of the column, which `sql` gives as `sorted_sql` does, so that `value_of` reads it."""
    if column.kind is Kind.TEXT and not column.charset:
        return f"HEX(CONVERT({sql} USING utf8mb4))"
    return f"HEX({sql})" if column.kind in _STRINGS else f"CAST({sql} AS CHAR)"


def value_of(column: KeyColumn, found: str | bytes) -> KeyValue:
    """A key's value from what MySQL sent."""
    text = found.decode() if isinstance(found, bytes) else found
    if column.kind in _STRINGS:
        return bytes.fromhex(text)
    return int(text) if column.kind is Kind.INTEGER or column.kind in _ORDINALS else text


def literal(column: KeyColumn, value: KeyValue) -> str:
    """The value as an SQL literal that is compared as the column is sorted."""
    if isinstance(value, int):
        return str(value)
    if isinstance(value, bytes):
        return f"_{column.charset or 'utf8mb4'} x'{value.hex()}'" if column.kind is Kind.TEXT else f"x'{value.hex()}'"
    if column.kind is Kind.DECIMAL:
        return _number(value)
    if column.kind in _FLOATS:
        return _number(value) + ("" if "e" in value else "e0")
    return f"'{_plain(value)}'"


def condition(columns: Sequence[KeyColumn], keys: KeyRange) -> str:
    """The condition that a row's key is in the range. Of one column that has integers it is a BETWEEN."""
    nullable = [quoted(column.name) for column in columns if column.is_nullable]
    if keys.nulls:
        return f"({' OR '.join(f'{name} IS NULL' for name in nullable)})" if nullable else "FALSE"
    if not columns:
        return "TRUE"
    terms = [f"{name} IS NOT NULL" for name in nullable]
    if len(columns) == 1 and columns[0].kind is Kind.INTEGER and keys.span_keys is not None:
        assert keys.low is not None
        least = keys.low[0]
        assert isinstance(least, int)
        return " AND ".join([f"{quoted(columns[0].name)} BETWEEN {least} AND {least + keys.span_keys - 1}", *terms])
    low: Key = keys.low or ()
    high: Key = keys.high or ()
    same = 0
    while same < min(len(low), len(high)) and low[same] == high[same]:
        terms.append(f"{quoted(columns[same].name)} = {literal(columns[same], low[same])}")
        same += 1
    if low[same:]:
        terms.append(from_key(columns[same:], low[same:]))
    if high[same:]:
        terms.append(_beyond(columns[same:], high[same:], "<", "<"))
    return " AND ".join(terms) or "TRUE"


def after(columns: Sequence[KeyColumn], key: Key) -> str:
    """The condition that a row's key is greater than this one."""
    return _beyond(columns, key, ">", ">")


def from_key(columns: Sequence[KeyColumn], key: Key) -> str:
    """The condition that a row's key is this one or greater."""
    return _beyond(columns, key, ">", ">=")


def _beyond(columns: Sequence[KeyColumn], key: Key, sign: str, last_sign: str) -> str:
    """The condition that a key is on one side of another one; `last_sign` compares its last value."""
    equal: list[str] = []
    cases = []
    for at, (column, value) in enumerate(zip(columns, key, strict=False)):
        cases.append(" AND ".join([*equal, _compared(column, last_sign if at == len(key) - 1 else sign, value)]))
        equal.append(f"{quoted(column.name)} = {literal(column, value)}")
    return cases[0] if len(cases) == 1 else "(" + " OR ".join(f"({case})" for case in cases) + ")"


def _compared(column: KeyColumn, sign: str, value: KeyValue) -> str:
    """The condition that a column is on one side of a value. The members of an ENUM are listed: an index serves for
    `=` and IN, but not for `<`."""
    if column.kind is not Kind.ENUM or not column.members or not isinstance(value, int):
        return f"{quoted(column.name)} {sign} {literal(column, value)}"
    least = 0 if sign == "<" else value + (sign == ">")
    found = range(least, value if sign == "<" else column.members + 1)
    return f"{quoted(column.name)} IN ({', '.join(map(str, found))})" if found else "FALSE"


def _number(value: str) -> str:
    if not value or not set(value) <= set("0123456789.+-eE"):
        raise SourceError(f"a key's value {value!r} is not a number")
    return value


def _plain(value: str) -> str:
    """A value of a type that has no quotes or backslashes in its text."""
    if set(value) & set("'\"\\\0"):
        raise SourceError(f"a key's value {value!r} cannot be written as a literal")
    return value
