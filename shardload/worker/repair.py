"""Writes the keys of a range again that differ. What somebody else writes meanwhile is newer, and stays.

A key is watched, then just its row is read, then the key is written if nobody has changed it since, and then it is
compared again. Neighbours on one server are done together; in a cluster each key has a transaction of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace

from shardload.encoding import Part
from shardload.model.differences import Difference, Fault
from shardload.model.keys import Key, KeyRange
from shardload.source import Values
from shardload.target import Ages, Unwatchable, connection_of, watch, write_if_same
from shardload.worker.second_look import MOST_LOOKS, Found, Item, SecondLook
from shardload.worker.settings import WorkerSettings
from shardload.worker.writer import Writer

_NEIGHBOURS = 100  # that are done together
_ANYWHERE = 1000  # the same of keys whose rows may be anywhere: for each group the whole range is read

_log = logging.getLogger("shardload.repair")


@dataclass
class _Place:
    """Where the row of a key is: its number in the range, and the keys by which the table is split, from its own up to
    the next row's. If several rows make the key: from the first of them up to behind the last one."""

    key: bytes
    first: int
    last: int
    keys: KeyRange


@dataclass
class _Left:
    """Keys that are not right yet: what their rows made of them at the last try, and whose row had changed since the
    one before."""

    places: list[_Place]
    rows: dict[bytes, list[Item]] = field(default_factory=dict)
    changed: set[bytes] = field(default_factory=set)


class Repair:
    """One worker's. `keyed_rows` gives the rows of a range in order; `on_wait` is called before each wait for Redis."""

    def __init__(
        self,
        settings: WorkerSettings,
        writer: Writer,
        look: SecondLook,
        *,
        keyed_rows: Callable[[KeyRange], Iterator[tuple[Values, Key]]],
        on_wait: Callable[[], None],
    ) -> None:
        self._selection = settings.selection
        self._layout = settings.layout
        self._form = replace(settings.form, fingerprints=False)
        self._writer = writer
        self._look = look
        self._keyed_rows = keyed_rows
        self._on_wait = on_wait
        self._watches = True

    def repair(self, keys: KeyRange, found: Found, ages: Ages) -> None:
        """Write the differing keys of the range again, as their rows are now. Those that are right then are marked;
        those that somebody else made right are none any more. SourceError or TargetError if a server refuses."""
        differing = {one.key: one for one in found.differences}
        places = self._places(keys, differing)
        found.rows_gone += len(differing) - len(places)
        found.differences = []
        for group in self._groups(places):
            left = _Left(group)
            self._try(left, differing, found, ages)
            for place in left.places:
                self._repair_one(place, left.rows, differing, found, ages)

    def _repair_one(
        self, place: _Place, rows: dict[bytes, list[Item]], differing: dict[bytes, Difference], found: Found, ages: Ages
    ) -> None:
        """Try again with a key that was not right after the first try."""
        left = _Left([place], rows)
        for _ in range(MOST_LOOKS - 1):
            self._try(left, differing, found, ages)
            if not left.places:
                return
        if left.changed:
            found.changing += 1
        else:
            found.differences.append(differing[place.key])

    def _try(self, left: _Left, differing: dict[bytes, Difference], found: Found, ages: Ages) -> None:
        """Write keys, and compare them. Takes those out of `left` that are settled."""
        keys = [one.key for one in left.places]
        first, last = min(left.places, key=lambda one: one.first), max(left.places, key=lambda one: one.last)
        span = KeyRange(first.keys.low, last.keys.high, nulls=first.keys.nulls)
        is_written = self._write(span, keys)
        rows = self._look.items(span, self._look.asks, keys)
        verdicts = self._look.verdicts(rows, ages)
        wrong = []
        for place in left.places:
            verdict = verdicts.get(place.key)
            if verdict is None:
                found.rows_gone += 1
            elif verdict.is_expired:
                found.expired += 1
            elif verdict.fault is None:
                found.differences += [replace(differing[place.key], is_repaired=True)] if is_written else []
            elif self._form.keeps and verdict.fault is not Fault.MISSING:
                found.kept += 1
            else:
                wrong.append(place)
        left.changed = {one.key for one in wrong if rows[one.key] != left.rows.get(one.key)}
        left.places, left.rows = wrong, rows

    def _write(self, span: KeyRange, keys: Collection[bytes]) -> bool:
        """Write these keys as their rows are now. False if nothing was written, because one has changed meanwhile."""
        if self._watches:
            try:
                return self._write_watched(span, keys)
            except Unwatchable as error:
                self._watches = False
                _log.warning("keys are repaired without WATCH, so what others write meanwhile may be lost: %s", error)
        items = [item for several in self._look.items(span, self._form, keys).values() for item in several]
        self._writer.check_lease()
        parts = [Part(one.node, 1, b"".join(one.commands), self._replies(one), one.is_lookup) for one in items]
        self._writer.target.send(parts)
        self._writer.target.confirm({}, self._on_wait)
        return bool(parts)

    def _write_watched(self, span: KeyRange, keys: Collection[bytes]) -> bool:
        connection = connection_of(self._writer.target, next(iter(keys)))
        self._on_wait()
        if not watch(connection, list(keys)):
            return False
        items = [item for several in self._look.items(span, self._form, keys).values() for item in several]
        self._on_wait()
        commands = [command for item in items for command in self._bare(item)]
        self._writer.check_lease()
        return write_if_same(connection, commands) and bool(commands)

    def _bare(self, item: Item) -> list[bytes]:
        """The commands that write a key, without MULTI and EXEC around them."""
        is_wrapped = self._form.whole and not self._form.is_single and not item.is_lookup
        return item.commands[1:-1] if is_wrapped else item.commands

    def _replies(self, item: Item) -> int:
        return self._form.replies_per_lookup if item.is_lookup else self._form.replies_per_key

    def _places(self, keys: KeyRange, wanted: Collection[bytes]) -> list[_Place]:
        """Where the rows of these keys are, in their order; the whole range if nothing tells its rows apart."""
        if not self._has_places(keys):
            return [_Place(key, 0, 0, keys) for key in wanted]
        places: dict[bytes, _Place] = {}
        here: list[_Place] = []  # which end where the next row begins
        for row, (values, key) in enumerate(self._keyed_rows(keys)):
            for place in here:
                place.keys = KeyRange(place.keys.low, key)
            made = [self._layout.key_of(values), *[name for name, _ in self._layout.lookups_of(values)]]
            mine = [one for one in made if one is not None and one in wanted]
            here = [places.setdefault(one, _Place(one, row, row, KeyRange(key))) for one in mine]
            for place in here:
                place.last, place.keys = row, KeyRange(place.keys.low, keys.high)
        return sorted(places.values(), key=lambda one: one.last)

    def _has_places(self, keys: KeyRange) -> bool:
        return bool(self._selection.key) and self._selection.is_unique and not keys.nulls

    def _groups(self, places: list[_Place]) -> Iterator[list[_Place]]:
        """Keys that are tried together: of rows that stand beside each other, or that may be anywhere."""
        has_one_node = self._writer.target.routes is None
        group: list[_Place] = []
        for place in places:
            is_anywhere = bool(group) and place.keys == group[-1].keys
            most = (_ANYWHERE if is_anywhere else _NEIGHBOURS) if has_one_node else 1
            if group and (len(group) >= most or place.first > group[-1].last + 1):
                yield group
                group = []
            group.append(place)
        if group:
            yield group
