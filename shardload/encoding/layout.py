"""Which selected column becomes which hash field, and which make the key. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shardload.encoding.template import KeyTemplate
from shardload.model.counts import SetAside

Values = Sequence[bytes | None]


@dataclass(frozen=True)
class Layout:
    """How a row's values are used; `columns` is the order of the SELECT.

    The first `written` columns become hash fields; the rest are selected for the key alone.
    `key_parts` holds literal bytes, or an index into the columns.
    """

    columns: tuple[str, ...]
    written: int
    key_parts: tuple[bytes | int, ...]
    row_id: int
    null_as_empty: bool

    def key_of(self, values: Values) -> bytes | None:
        """The Redis key, or None if a column of the key is NULL."""
        parts = []
        for part in self.key_parts:
            piece = values[part] if isinstance(part, int) else part
            if piece is None:
                return None
            parts.append(piece)
        return b"".join(parts)

    def fields_of(self, values: Values) -> list[tuple[bytes, bytes]]:
        """Names and values of the hash; empty if every column is NULL and NULLs are left out."""
        named = zip(self.columns[: self.written], values, strict=False)
        if self.null_as_empty:
            return [(name.encode(), b"" if value is None else value) for name, value in named]
        return [(name.encode(), value) for name, value in named if value is not None]

    def set_aside(self, values: Values) -> SetAside:
        """A row whose key cannot be made: as a person would look it up (`id=42`), and the column that is NULL."""
        value = values[self.row_id]
        shown = "NULL" if value is None else value.decode("utf-8", "backslashreplace")
        column = next(self.columns[part] for part in self.key_parts if isinstance(part, int) and values[part] is None)
        return SetAside(f"{self.columns[self.row_id]}={shown}", f"column {column} of the key is NULL")


def selected_columns(chosen: Sequence[str], template: KeyTemplate, key_column: str) -> tuple[str, ...]:
    """The SELECT's columns: the chosen ones, then those that only the key template or the range needs."""
    return tuple(dict.fromkeys([*chosen, *template.columns, key_column]))


def make_layout(chosen: Sequence[str], template: KeyTemplate, key_column: str, null: str) -> Layout:
    """The layout for these columns; `null` is `"omit"` or `"empty"`. All names must be the table's own spelling."""
    columns = selected_columns(chosen, template, key_column)
    parts = tuple(columns.index(text) if kind == "column" else text.encode() for kind, text in template.parts)
    return Layout(columns, len(chosen), parts, columns.index(key_column), null == "empty")
