"""Which selected columns become hash fields, and which make the key. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shardload.encoding.template import KeyTemplate
from shardload.model.columns import Reading
from shardload.model.counts import SetAside

Values = Sequence[bytes | None]


@dataclass(frozen=True)
class Layout:
    """How the values of a row are used.

    - `columns`: the columns in the order of the SELECT.
    - `written`: how many of them, from the first on, become hash fields. The others only serve to make the key.
    - `key_parts`: the key, piece by piece: literal bytes, or the index of a column.
    - `row_id`: the indexes of the columns by which the table is split.
    - `null_as_empty`: True writes NULL as an empty string; False leaves the field out.
    """

    columns: tuple[str, ...]
    written: int
    key_parts: tuple[bytes | int, ...]
    row_id: tuple[int, ...]
    null_as_empty: bool

    @property
    def readings(self) -> tuple[Reading, ...]:
        """How the SELECT reads each column."""
        return (Reading.PLAIN,) * len(self.columns)

    def key_of(self, values: Values) -> bytes | None:
        """The Redis key; None if one of its columns is NULL."""
        parts = []
        for part in self.key_parts:
            piece = values[part] if isinstance(part, int) else part
            if piece is None:
                return None
            parts.append(piece)
        return b"".join(parts)

    def fields_of(self, values: Values) -> list[tuple[bytes, bytes]]:
        """Names and values of the hash's fields. Empty if NULLs are left out and every column is NULL."""
        named = zip(self.columns[: self.written], values, strict=False)
        if self.null_as_empty:
            return [(name.encode(), b"" if value is None else value) for name, value in named]
        return [(name.encode(), value) for name, value in named if value is not None]

    def set_aside(self, values: Values) -> SetAside:
        """Report a row whose key cannot be made: its primary key (`id=42`), and the column that is NULL."""
        shown = [(self.columns[at], values[at]) for at in self.row_id]
        named = [
            f"{name}={'NULL' if value is None else value.decode('utf-8', 'backslashreplace')}" for name, value in shown
        ]
        column = next(self.columns[part] for part in self.key_parts if isinstance(part, int) and values[part] is None)
        return SetAside(", ".join(named), f"column {column} of the key is NULL")


def selected_columns(chosen: Sequence[str], template: KeyTemplate, key_columns: Sequence[str] | str) -> tuple[str, ...]:
    """The columns to select, each once: the chosen ones, those of the key template, the primary key's."""
    return tuple(dict.fromkeys([*chosen, *template.columns, *_names(key_columns)]))


def make_layout(chosen: Sequence[str], template: KeyTemplate, key_columns: Sequence[str] | str, null: str) -> Layout:
    """The layout for these columns. `null` is `"omit"` or `"empty"`. Spell every name as the table does."""
    columns = selected_columns(chosen, template, key_columns)
    parts = tuple(columns.index(text) if kind == "column" else text.encode() for kind, text in template.parts)
    return Layout(columns, len(chosen), parts, tuple(map(columns.index, _names(key_columns))), null == "empty")


def _names(key_columns: Sequence[str] | str) -> Sequence[str]:
    return [key_columns] if isinstance(key_columns, str) else key_columns
