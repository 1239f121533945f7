"""Compares rows with their keys, byte for byte. It only reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from shardload.encoding import Layout
from shardload.errors import ShardloadError
from shardload.model.printable import shown_bytes
from shardload.source import Values
from shardload.target import Target, parse_hash

_MOST_ANSWER_BYTES = 1 << 30  # to a pipeline: the keys may hold anything now
MOST_SHOWN = 20


@dataclass
class Differences:
    """What was found in this target. The first MOST_SHOWN differences are kept in words."""

    target: str
    rows_compared: int = 0
    rows_without_key: int = 0
    missing: int = 0
    different: int = 0
    other_type: int = 0
    shown: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """How many keys are not what their rows say."""
        return self.missing + self.different + self.other_type

    def note(self, what: str) -> None:
        """Keep this difference in words, if it is among the first."""
        if len(self.shown) < MOST_SHOWN:
            self.shown.append(what)


def compare(target: Target, layout: Layout, rows: Sequence[Values], found: Differences) -> None:
    """Look up these rows' keys in one pipeline, and add what differs to `found`."""
    expected = []
    for values in rows:
        key, fields = layout.key_of(values), layout.fields_of(values)
        found.rows_compared += 1
        if key is None or not fields:
            found.rows_without_key += 1
        else:
            expected.append((key, fields))
    hgetalls = [("HGETALL", key) for key, _ in expected]
    replies = target.call_keys(hgetalls, errors=True, most_bytes=_MOST_ANSWER_BYTES)
    for (key, fields), reply in zip(expected, replies, strict=True):
        shown = shown_bytes(key)
        if isinstance(reply, ShardloadError):
            if "WRONGTYPE" not in reply.message:
                raise reply
            found.other_type += 1
            found.note(f"{shown}: is not a hash")
            continue
        there, wanted = parse_hash(reply), dict(fields)
        if not there:
            found.missing += 1
            found.note(f"{shown}: missing")
        elif there != wanted:
            found.different += 1
            names = sorted(name for name in there.keys() | wanted.keys() if there.get(name) != wanted.get(name))
            found.note(f"{shown}: different in {', '.join(map(shown_bytes, names))}")
