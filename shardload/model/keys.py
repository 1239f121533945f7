"""Keys and ranges of keys. Every range, everywhere, is half-open: `[low, high)`.

A key is a tuple of values, one for each of the first columns by which a table is split. MySQL alone compares keys: a
collation, a calendar or a scale may order values otherwise than Python does. So keys have no order here, and a range is
the two keys that MySQL gave for its ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shardload.model.printable import shown_bytes

KeyValue = int | str | bytes
"""A number (also an ENUM's ordinal); text as MySQL writes it (a date, a DECIMAL); or the bytes of a string in its
column's own character set."""

Key = tuple[KeyValue, ...]


@dataclass(frozen=True, slots=True)
class KeyRange:
    """The keys `low <= key < high`; None leaves an end open. A bound may have fewer values than the key has columns:
    `(5,)` stands before every key that begins with 5.

    With `nulls` it has the rows with NULL in a column of the key instead, and no bounds. ValueError if it is surely
    empty, or has bounds and `nulls`.
    """

    low: Key | None = None
    high: Key | None = None
    nulls: bool = False

    def __post_init__(self) -> None:
        if self.low is not None and (self.low == self.high or self.span_keys == 0):
            raise ValueError(f"empty key range {self}")
        if self.nulls and (self.low is not None or self.high is not None):
            raise ValueError("a range of NULLs has no bounds")

    @property
    def span_keys(self) -> int | None:
        """How many integers are between bounds of one integer each; None if it has other bounds."""
        if self.low is None or self.high is None or (len(self.low), len(self.high)) != (1, 1):
            return None
        low, high = self.low[0], self.high[0]
        return max(0, high - low) if isinstance(low, int) and isinstance(high, int) else None

    def __str__(self) -> str:
        if self.nulls:
            return "[NULL]"
        return f"[{shown_key(self.low)}, {shown_key(self.high)})"


def integer_range(low: int, high: int) -> KeyRange:
    """The integers `low <= key < high`. ValueError if there are none."""
    return KeyRange((low,), (high,))


@dataclass(frozen=True, slots=True)
class PlannedRange:
    """A range and the planner's estimate of its rows. An estimate of 0 does not prove that there are none."""

    keys: KeyRange
    estimated_rows: int


@dataclass(frozen=True, slots=True)
class RangeRecord:
    """A range in the journal. `attempts` is the number of its last recorded attempt; 0: none."""

    range_id: int
    keys: KeyRange
    estimated_rows: int
    attempts: int


def shown_key(key: Key | None) -> str:
    """A key for people: `42`, `(7, berlin)`; an open end is `...`."""
    if key is None:
        return "..."
    shown = [shown_bytes(value) if isinstance(value, bytes) else str(value) for value in key]
    return shown[0] if len(shown) == 1 else f"({', '.join(shown)})"


def key_in_json(key: Key | None) -> list[Any] | None:
    """The key as JSON types: a string of bytes is `{"hex": "..."}`."""
    if key is None:
        return None
    return [{"hex": value.hex()} if isinstance(value, bytes) else value for value in key]


def key_of_json(found: Any) -> Key | None:
    """From JSON types. ValueError if it is no key."""
    if found is None:
        return None
    if not isinstance(found, list) or not found:
        raise ValueError("a key is not a list of values")
    return tuple(_value_of_json(value) for value in found)


def _value_of_json(value: Any) -> KeyValue:
    if isinstance(value, dict) and isinstance(value.get("hex"), str):
        return bytes.fromhex(value["hex"])
    if isinstance(value, (int, str)) and not isinstance(value, bool):
        return value
    raise ValueError("a value of a key is neither a number nor text")
