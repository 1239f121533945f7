"""What the values of a row are used for: fields, key, lookups, expiry. Pure. `arrange.py` makes a layout."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from shardload.encoding.conversions import Conversion, converted
from shardload.encoding.document import JsonType, json_object
from shardload.model.columns import Reading
from shardload.model.counts import SetAside

Values = Sequence[bytes | None]

NO_TIME_MS = 0
"""The expiry of a row that has none."""
_MOST_SHOWN_BYTES = 200  # of a value in the report of a row
_TIME_MS = re.compile(rb"(-?\d{1,18})(?:\.\d*)?")


class Field(NamedTuple):
    """A field of what a row becomes: its name; the index of a selected column, or a constant text; what is done with
    the value; and what it is in JSON."""

    name: str
    source: int | bytes
    conversion: Conversion = Conversion.NONE
    json: JsonType = JsonType.TEXT


class Slot(NamedTuple):
    """A place in a text where a value stands: the index of a selected column, and what is done with the value."""

    column: int
    conversion: Conversion = Conversion.NONE


Text = tuple[bytes | Slot, ...]
"""A text piece by piece, literal or a value: a key, for example."""


class Lookup(NamedTuple):
    """A small key beside the row's own, and its value."""

    key: Text
    value: Text


class NullRule(NamedTuple):
    """What becomes of NULL: nothing (both False), an empty text, or JSON's null."""

    as_empty: bool = False
    as_null: bool = False


_LEFT_OUT = NullRule()


@dataclass(frozen=True)
class Layout:
    """How the values of a row are used.

    - `columns` and `readings`: what the SELECT gives, in order. A column may be there twice, with different readings.
    - `fields`: the fields of what the row becomes. `key`: its key.
    - `row_id`: what names the row in a report: indexes of the columns, and whether each is shown as HEX.
    - `null`: what becomes of NULL in a field.
    - `lookups`: the small keys beside the row's own.
    - `expiry`: the index of the column that says when the key expires, in ms; None if there is none.
    """

    columns: tuple[str, ...]
    readings: tuple[Reading, ...]
    fields: tuple[Field, ...]
    key: Text
    row_id: tuple[Slot, ...] = ()
    null: NullRule = _LEFT_OUT
    lookups: tuple[Lookup, ...] = ()
    expiry: int | None = None

    def __post_init__(self) -> None:
        """ValueError if it uses more columns than it has: the native encoder trusts it."""
        texts = [self.key, self.row_id, *[text for lookup in self.lookups for text in lookup]]
        used = [slot.column for text in texts for slot in text if isinstance(slot, Slot)]
        used += [field.source for field in self.fields if isinstance(field.source, int)]
        used += [] if self.expiry is None else [self.expiry]
        if any(not 0 <= column < len(self.columns) for column in used) or len(self.readings) != len(self.columns):
            raise ValueError(f"a layout of {len(self.columns)} columns that uses more of them: {self}")

    @property
    def is_straight(self) -> bool:
        """True if the fields are the first columns, each as MySQL sends it."""
        return all(
            field.source == at and field.conversion is Conversion.NONE for at, field in enumerate(self.fields)
        ) and all(isinstance(field.source, int) for field in self.fields)

    def key_of(self, values: Values) -> bytes | None:
        """The Redis key; None if one of its columns is NULL."""
        return filled(self.key, values)

    def values_of(self, values: Values) -> list[tuple[Field, bytes | None]]:
        """Every field that is written, and its value; None is JSON's null."""
        written: list[tuple[Field, bytes | None]] = []
        for field in self.fields:
            value = values[field.source] if isinstance(field.source, int) else field.source
            if value is not None:
                value = converted(value, field.conversion)
            elif self.null.as_empty:
                value = b""
            elif not self.null.as_null:
                continue
            written.append((field, value))
        return written

    def fields_of(self, values: Values) -> list[tuple[bytes, bytes]]:
        """Names and values of a hash's fields. Empty if NULLs are left out and every column is NULL."""
        return [(field.name.encode(), value) for field, value in self.values_of(values) if value is not None]

    def json_of(self, values: Values) -> bytes:
        """The row as a JSON object."""
        return json_object((field.name.encode(), field.json, value) for field, value in self.values_of(values))

    def text_of(self, values: Values) -> bytes | None:
        """The value of the first field; None if it is NULL and left out."""
        return next((value for _, value in self.values_of(values)[:1]), None)

    def lookups_of(self, values: Values) -> list[tuple[bytes, bytes]]:
        """Keys and values of the row's lookups, without those that a NULL makes impossible."""
        both = [(filled(lookup.key, values), filled(lookup.value, values)) for lookup in self.lookups]
        return [(key, value) for key, value in both if key is not None and value is not None]

    def expiry_of(self, values: Values) -> int | None:
        """When the key expires, as Unix time in ms; NO_TIME_MS if the row does not say, None if it is no time."""
        text = None if self.expiry is None else values[self.expiry]
        if text is None:
            return NO_TIME_MS
        match = _TIME_MS.fullmatch(text)
        return (int(match[1]) or -1) if match else None

    def set_aside(self, values: Values) -> SetAside:
        """Report a row whose key cannot be made, or has no time to expire at: the row (`id=42`), and why."""
        shown = self.name_of(values)
        nulls = [self.columns[one.column] for one in self.key if isinstance(one, Slot) and values[one.column] is None]
        if nulls:
            return SetAside(shown, f"column {nulls[0]} of the key is NULL")
        assert self.expiry is not None
        text = _shown(values[self.expiry], Slot(self.expiry))
        return SetAside(shown, f"column {self.columns[self.expiry]} is no time: {text}")

    def too_long(self, values: Values, size_bytes: int) -> SetAside:
        """Report a row that would become a value of so many bytes, which Redis does not accept."""
        return SetAside(self.name_of(values), f"it would become a value of {size_bytes:,} bytes; Redis takes 512 MB")

    def name_of(self, values: Values) -> str:
        """What names the row in a report: `id=42`."""
        told = [f"{self.columns[slot.column]}={_shown(values[slot.column], slot)}" for slot in self.row_id]
        return ", ".join(told) or "a row"


def filled(text: Text, values: Values) -> bytes | None:
    """The text with these values; None if one of them is NULL."""
    pieces = []
    for one in text:
        if isinstance(one, bytes):
            pieces.append(one)
            continue
        value = values[one.column]
        if value is None:
            return None
        pieces.append(converted(value, one.conversion))
    return b"".join(pieces)


def _shown(value: bytes | None, slot: Slot) -> str:
    if value is None:
        return "NULL"
    if slot.conversion is Conversion.HEX:
        return "0x" + value[:_MOST_SHOWN_BYTES].hex()
    return value[:_MOST_SHOWN_BYTES].decode("utf-8", "backslashreplace")
