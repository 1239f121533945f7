"""Layouts for tests."""

from __future__ import annotations

from collections.abc import Sequence

from shardload.encoding import Field, Layout, NullRule, Slot
from shardload.model.columns import Reading


def straight(
    names: Sequence[str] = ("id",),
    written: int | None = None,
    key: tuple[bytes | Slot, ...] = (b"k:", Slot(0)),
    null: NullRule = NullRule(),  # noqa: B008 - it is immutable
) -> Layout:
    """A layout whose first columns (by default all) become fields as they are, and whose first one names the row."""
    fields = tuple(Field(name, at) for at, name in enumerate(names[:written]))
    return Layout(tuple(names), (Reading.PLAIN,) * len(names), fields, key, (Slot(0),), null)
