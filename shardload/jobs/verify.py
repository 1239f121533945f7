"""Compare every row with its key, byte for byte. One process; reads only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from shardload import source
from shardload.encoding import Layout
from shardload.encoding.packets import split_rows
from shardload.errors import ShardloadError, SourceError
from shardload.model.keys import KeyRange
from shardload.model.printable import shown_bytes
from shardload.target import TargetConnection, hash_of

Values = list[bytes | None]
_PIPELINE_ROWS = 500
_PIPELINE_BYTES = 4 * 1024 * 1024  # of values, so that a pipeline of large rows stays small
_MOST_ANSWER_BYTES = 1 << 30  # to a pipeline: whatever the keys hold now
MOST_SHOWN = 20


@dataclass
class Differences:
    """What `verify` found. The first twenty are kept in words."""

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
        """Keep it, if it is among the first."""
        if len(self.shown) < MOST_SHOWN:
            self.shown.append(what)


def rows_of(
    connection: source.Connection[Any], table: str, key_column: str, layout: Layout, keys: KeyRange
) -> Iterator[Values]:
    """Every row of a range, with values as the workers see them. SourceError on anything but a clean end.

    A caller that stops early must not use the connection again.
    """
    stream = source.RangeStream(connection)
    stream.ask(source.select_sql(table, layout.columns, key_column, keys))
    sequence = stream.begin()
    ended = False
    while not ended:
        found = split_rows(bytes(stream.read()), len(layout.columns), sequence)
        stream.consume(found.consumed_bytes)
        if found.error_packet is not None:
            source.raise_error_packet("reading a range", found.error_packet)
        sequence, ended = found.sequence, found.ended
        yield from found.rows
    stream.check_end()


def compare(target: TargetConnection, layout: Layout, rows: Sequence[Values], found: Differences) -> None:
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
    replies = target.call_many(hgetalls, errors=True, most_bytes=_MOST_ANSWER_BYTES)
    for (key, fields), reply in zip(expected, replies, strict=True):
        shown = shown_bytes(key)
        if isinstance(reply, ShardloadError):
            if "WRONGTYPE" not in reply.message:
                raise reply
            found.other_type += 1
            found.note(f"{shown}: is not a hash")
            continue
        there, wanted = hash_of(reply), dict(fields)
        if not there:
            found.missing += 1
            found.note(f"{shown}: missing")
        elif there != wanted:
            found.different += 1
            names = sorted(name for name in there.keys() | wanted.keys() if there.get(name) != wanted.get(name))
            found.note(f"{shown}: different in {', '.join(map(shown_bytes, names))}")


def verify(
    connection: source.Connection[Any], target: TargetConnection, table: str, key_column: str, layout: Layout
) -> Differences:
    """Compare the whole table, as it is now: rows and MySQL's own count of them are of one moment (where the storage
    engine has snapshots). SourceError if MySQL sends fewer rows than it counts."""
    found = Differences()
    source.begin_snapshot(connection)
    space = source.TableKeys(connection, table, key_column)
    whole = space.bounds()
    if whole is None:
        return found
    waiting: list[Values] = []
    waiting_bytes = 0
    for values in rows_of(connection, table, key_column, layout, whole):
        waiting.append(values)
        waiting_bytes += sum(len(value) for value in values if value is not None)
        if len(waiting) >= _PIPELINE_ROWS or waiting_bytes >= _PIPELINE_BYTES:
            compare(target, layout, waiting, found)
            waiting.clear()
            waiting_bytes = 0
    compare(target, layout, waiting, found)
    counted = space.counted_rows(whole)
    if counted > found.rows_compared:
        raise SourceError(
            f"MySQL sent {found.rows_compared:,} rows of table {table} and counts {counted:,}: not all were compared",
            "something cuts results short, a proxy with a limit for rows perhaps; or rows came in meanwhile",
        )
    return found
