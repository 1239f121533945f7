"""Compares rows with their keys, byte for byte. It only reads."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from shardload.encoding import Form, Layout, Shape
from shardload.errors import ShardloadError
from shardload.model.printable import shown_bytes
from shardload.source import Values
from shardload.target import Target, parse_hash

_MOST_ANSWER_BYTES = 1 << 30  # to a pipeline: the keys may hold anything now
MOST_SHOWN = 20
_READS = {Shape.HASH: "HGETALL", Shape.REDISJSON: "JSON.GET"}
_NAMES = {Shape.HASH: "a hash", Shape.REDISJSON: "a JSON document"}


@dataclass
class Differences:
    """What was found in this target. The first MOST_SHOWN differences are kept in words.

    `kept` counts keys that hold something else, and that the job was told to keep if they were there before it.
    """

    target: str
    rows_compared: int = 0
    rows_without_key: int = 0
    missing: int = 0
    different: int = 0
    other_type: int = 0
    kept: int = 0
    shown: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """How many keys are not what their rows say."""
        return self.missing + self.different + self.other_type

    def note(self, what: str) -> None:
        """Keep this difference in words, if it is among the first."""
        if len(self.shown) < MOST_SHOWN:
            self.shown.append(what)


@dataclass(frozen=True)
class _Expected:
    """A key that should be there: how it is read, what its value is (as `read` gives it), and when it expires."""

    key: bytes
    command: str
    kind: str
    value: Any
    expiry_ms: int
    read: Callable[[Any], Any]


def compare(target: Target, layout: Layout, form: Form, rows: Sequence[Values], found: Differences) -> None:
    """Look up these rows' keys and lookups in one pipeline, and add what differs to `found`."""
    expected: list[_Expected] = []
    now_ms = int(time.time() * 1000)
    for values in rows:
        keys = _expected_of(layout, form, values, now_ms)
        found.rows_compared += 1
        found.rows_without_key += not keys
        expected += keys
    commands = [(one.command, one.key) for one in expected]
    replies = target.call_keys(commands, errors=True, most_bytes=_MOST_ANSWER_BYTES)
    for one, reply in zip(expected, replies, strict=True):
        _compare_key(one, reply, found, keeps=form.keeps)


def _compare_key(one: _Expected, reply: Any, found: Differences, *, keeps: bool) -> None:
    """Add to `found` how the reply differs from what is expected, if it does."""
    shown = shown_bytes(one.key)
    if isinstance(reply, ShardloadError):
        if "WRONGTYPE" not in reply.message and "wrong Redis type" not in reply.message:
            raise reply
        if keeps:
            found.kept += 1
            return
        found.other_type += 1
        found.note(f"{shown}: is not {one.kind}")
        return
    there = one.read(reply)
    if there is None:
        if not one.expiry_ms or one.expiry_ms > time.time() * 1000:  # else it expired meanwhile
            found.missing += 1
            found.note(f"{shown}: missing")
    elif there != one.value and keeps:
        found.kept += 1
    elif there != one.value:
        found.different += 1
        found.note(f"{shown}: different{_difference(there, one.value)}")


def keys_of(layout: Layout, form: Form, values: Values, now_ms: int) -> list[bytes]:
    """The keys that a row makes: its own, and its lookups."""
    return [one.key for one in _expected_of(layout, form, values, now_ms)]


def _expected_of(layout: Layout, form: Form, values: Values, now_ms: int) -> list[_Expected]:
    """The row's own key, and its lookups; empty if the row makes no key."""
    key, expiry_ms = layout.key_of(values), layout.expiry_of(values)
    if key is None or expiry_ms is None or (expiry_ms and expiry_ms <= now_ms):
        return []
    value: Any
    if form.shape is Shape.HASH:
        value = dict(layout.fields_of(values)) or None
    elif form.shape is Shape.STRING:
        value = layout.text_of(values)
    else:
        value = layout.json_of(values)
        value = json.loads(value) if form.shape is Shape.REDISJSON else value
    if value is None:
        return []
    command, kind = _READS.get(form.shape, "GET"), _NAMES.get(form.shape, "a string")
    own = _Expected(key, command, kind, value, expiry_ms, _READERS.get(form.shape, _same))
    return [own, *[_Expected(k, "GET", "a string", v, expiry_ms, _same) for k, v in layout.lookups_of(values)]]


def _same(reply: Any) -> Any:
    return reply


_READERS: dict[Shape, Callable[[Any], Any]] = {
    Shape.HASH: lambda reply: parse_hash(reply) or None,
    Shape.REDISJSON: lambda reply: None if reply is None else json.loads(reply),
}


def _difference(there: Any, wanted: Any) -> str:
    """In which fields two hashes or documents differ; empty for strings."""
    if not isinstance(there, dict) or not isinstance(wanted, dict):
        return ""
    names = sorted(name for name in there.keys() | wanted.keys() if there.get(name) != wanted.get(name))
    return " in " + ", ".join(shown_bytes(name) if isinstance(name, bytes) else repr(name) for name in names)
