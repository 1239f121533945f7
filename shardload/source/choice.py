"""Chooses by which key a table, a view or a query is split, and says what it became."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from shardload.errors import SpecError
from shardload.model.columns import KeyColumn, Kind, members_of
from shardload.source.keys import quoted
from shardload.source.select import Selection
from shardload.source.table import Index, Table

MOST_KEY_COLUMNS = 16
_UNORDERED = (Kind.JSON, Kind.SET)  # SET: no index serves for `<`


@dataclass(frozen=True)
class Chosen:
    """A selection, and in words what a person should know of it; empty if it is as one expects."""

    selection: Selection
    word: str = ""


def choose_key(table: Table, split_by: Sequence[str] | None) -> Chosen:
    """The selection of a whole table, split by its primary key, or by the columns `split_by`; without a primary key by
    a unique index, else not at all. SpecError if `split_by` names no column, or none that an index leads with."""
    base = Selection(f"table {table.name}", quoted(table.name), {column.name: column.kind for column in table.columns})
    if split_by:
        return Chosen(_split_by(table, base, [table.resolve_column(name, "--split-by") for name in split_by]))
    if table.is_view:
        raise SpecError(
            f"{table.name} is a view, which has no key of its own",
            "name the table that it reads, or the column by which to split it: --split-by COLUMN, and --key",
        )
    primary = next((index for index in table.indexes if index.name == "PRIMARY"), None)
    if primary is not None and primary.is_whole and _is_usable(table, primary):
        return Chosen(_by_index(table, base, primary))
    unique = [index for index in table.indexes if index.is_unique and index.is_whole and _is_usable(table, index)]
    if unique:
        best = min(unique, key=lambda index: _preference(table, index))
        told = f"table {table.name} has no primary key: it is split by its unique index {best.name}"
        return Chosen(_by_index(table, base, best), told)
    return Chosen(
        base,
        f"table {table.name} has no unique index in order that this user may read: it is read in one piece, which "
        "begins anew if it is broken off (--split-by COLUMN splits it by a column with an index; GRANT SELECT shows "
        "hidden ones)",
    )


def _by_index(table: Table, base: Selection, index: Index) -> Selection:
    return replace(base, key=_key(table, index.columns), index=index.name, is_unique=index.is_unique)


def _split_by(table: Table, base: Selection, names: list[str]) -> Selection:
    """A selection that is split by these columns, in an index that begins with them."""
    if len(set(names)) != len(names):
        raise SpecError("--split-by names a column twice", "name it once")
    key = _key(table, names)
    wrong = next((column.name for column in key if column.kind in _UNORDERED), None)
    if wrong is not None:
        raise SpecError(f"--split-by: column {wrong} has no order", "name a column that has an index")
    if table.is_view:
        return replace(base, key=key)
    leading = [index for index in table.indexes if index.is_whole and list(index.columns[: len(names)]) == names]
    if not leading:
        has = "; ".join(", ".join(index.columns) for index in table.indexes if index.is_whole) or "none"
        raise SpecError(
            f"--split-by: no index of table {table.name} begins with {', '.join(names)}: every range would read it all",
            f"name the first columns of an index (it has: {has}), or make one",
        )
    index = min(leading, key=lambda one: (not one.is_unique, len(one.columns)))
    return replace(base, key=key, index=index.name, is_unique=table.identifies_row(names) and not _has_null(key))


def _key(table: Table, names: Sequence[str]) -> tuple[KeyColumn, ...]:
    columns = [table.column(name) for name in names]
    return tuple(KeyColumn(one.name, one.kind, one.charset, one.is_nullable, members_of(one.type)) for one in columns)


def _has_null(key: Sequence[KeyColumn]) -> bool:
    return any(column.is_nullable for column in key)


def _is_usable(table: Table, index: Index) -> bool:
    kinds = {column.name: column.kind for column in table.columns}
    return all(name in kinds and kinds[name] not in _UNORDERED for name in index.columns)


def _preference(table: Table, index: Index) -> tuple[bool, int, bool, str]:
    """Which unique index serves best: one without NULLs, of few columns, of integers."""
    key = _key(table, index.columns)
    is_integer = all(column.kind is Kind.INTEGER for column in key)
    return _has_null(key), len(key), not is_integer, index.name
