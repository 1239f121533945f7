"""Finds the keys that a job made more than once: several rows gave one, and of them one is left.

Where that is possible, workers note the fingerprint of every key (`jobdir/fingerprints.py`). When every range is done
they are counted here, in as many passes as keep the memory bounded, and an example is looked up in the table.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from shardload import source
from shardload.encoding import Form, Layout, Shape, fingerprint_of, make_tally, slots_in
from shardload.encoding.fingerprints import BYTES, END, Tally, most_of
from shardload.errors import ShardloadError
from shardload.jobdir.fingerprints import Record, remove_fingerprints
from shardload.jobdir.made import made_keys
from shardload.jobs.prepare import Job
from shardload.jobs.targets import uses_native
from shardload.model.printable import bounded, shown_bytes
from shardload.model.shared import SHARED, Shared
from shardload.model.wording import counted

MEMORY_BYTES = 64 * 1024 * 1024  # of the table in which fingerprints are counted
_MOST_EXAMPLES = 4  # that are looked up until one is found
_MOST_RANGES = 4  # that are read for one of them
_EXAMPLE_S = 5.0
_MOST_SHOWN = 200  # characters of a key


@dataclass
class Counted:
    """What the files say: the keys that came more than once, and the fingerprints of a few of them."""

    keys: int = 0
    examples: list[int] = field(default_factory=list)


class _Stopped(Exception):
    """A signal asked the command to end."""


def shared_keys(job: Job, must_stop: Callable[[], bool]) -> Shared:
    """Count the keys that the job's done ranges made more than once. What an earlier run found of a complete job stays:
    its files are gone. Never fails: what hinders is told."""
    try:
        stored = job.journal.fact(SHARED, {})
        if stored.get("is_final"):
            return Shared.from_json(stored)
        return _look(job, must_stop)
    except _Stopped:
        told = "whether rows share keys was not found out, because the command was stopped; resume does so"
        return Shared(told=told, is_unsure=True)
    except (ShardloadError, OSError, MemoryError) as error:
        return Shared(told=f"whether rows share keys could not be found out: {error}", is_unsure=True)


def doubt(job: Job, left: int) -> Shared:
    """What a verify tells at its end, after which so many keys differ, if rows may share a key."""
    if not left:
        return Shared()
    return Shared(told=f"{job.subject.collision()}: a key that several rows make may be reported as different")


def keep(job: Job, shared: Shared, *, is_final: bool) -> None:
    """Note what was found in the journal. With `is_final` the files are removed. JournalError or OSError if not."""
    job.journal.note_fact(SHARED, shared.as_json(is_final=is_final))
    if is_final:
        remove_fingerprints(job.directory.path)


def _look(job: Job, must_stop: Callable[[], bool]) -> Shared:
    made = made_keys(job.directory, job.journal)

    def valid() -> Iterator[Record]:
        for record in made.records():
            if must_stop():
                raise _Stopped
            yield record

    slots = slots_in(min(MEMORY_BYTES, 2 * BYTES * (made.keys + 1)))
    tally = make_tally(slots, _MOST_EXAMPLES, native=uses_native(job.spec))
    found = count(tally, valid, made.keys, most_of(slots))
    example = _example(job, found, valid) if found.keys else ""
    return _told(job, found.keys, example, made.ranges_lost)


def count(tally: Tally, valid: Callable[[], Iterator[Record]], total: int, most: int) -> Counted:
    """Count the fingerprints in passes, each of which takes a part of them that fits: they are spread evenly. A pass
    that does not fit begins again with half of its part."""
    found = Counted()
    width = -(-END // max(1, -(-total * 21 // (most * 20))))
    low = 0
    while low < END:
        high = min(END, low + width)
        tally.begin(low, high)
        if all(tally.add(record.fingerprints) for record in valid()):
            found.keys += tally.shared
            found.examples = (found.examples + tally.examples)[:_MOST_EXAMPLES]
            low = high
        else:
            width = max(1, width // 2)
    return found


def _example(job: Job, found: Counted, valid: Callable[[], Iterator[Record]]) -> str:
    """An example in words: the key, and the rows if they have a name. Takes from `found` what were different keys with
    one fingerprint."""
    late_s = time.monotonic() + _EXAMPLE_S
    where: dict[int, list[int]] = {one: [] for one in found.examples}
    for record in valid():
        for one, ranges in where.items():
            if len(ranges) < _MOST_RANGES and _has(record.fingerprints, one) and record.of.range_id not in ranges:
                ranges.append(record.of.range_id)
    try:
        for one, ranges in where.items():
            rows = _rows_with(job, one, ranges, late_s)
            for key, names in rows.items():
                if len(names) > 1:
                    return f": {_example_text(key, names)}"
            if len(rows) > 1:
                found.keys -= 1
    except TimeoutError:
        return f"; no example was found in {_EXAMPLE_S:.0f} s"
    except ShardloadError as error:
        return f"; no example could be read: {error}"
    return "; the rows have changed since, so there is no example"


def _has(fingerprints: bytes, one: int) -> bool:
    wanted = one.to_bytes(BYTES, "little")
    at = fingerprints.find(wanted)
    while at >= 0 and at % BYTES:
        at = fingerprints.find(wanted, at + 1)
    return at >= 0


def _rows_with(job: Job, fingerprint: int, ranges: list[int], late_s: float) -> dict[bytes, list[str]]:
    """The keys with this fingerprint that the rows of these ranges make, and what names each row. Of a key that two
    rows make no more is looked for. TimeoutError if it takes too long, SourceError if MySQL cannot be read."""
    layout, now_ms = job.subject.layout, int(time.time() * 1000)
    found: dict[bytes, list[str]] = {}
    connection = source.connect(job.spec.mysql)
    try:
        for number in ranges:
            for values in source.rows_of(connection, job.subject.selection, layout, job.journal.record(number).keys):
                if time.monotonic() > late_s:
                    raise TimeoutError
                made = [layout.key_of(values), *[key for key, _ in layout.lookups_of(values)]]
                if all(key is None or fingerprint_of(key) != fingerprint for key in made):
                    continue
                for key in _keys_of(layout, job.form, values, now_ms):
                    if fingerprint_of(key) == fingerprint:
                        found.setdefault(key, []).append(layout.name_of(values) if layout.row_id else "")
                        if len(found[key]) > 1:
                            return found
    finally:
        source.abandon(connection)
    return found


def _keys_of(layout: Layout, form: Form, values: source.Values, now_ms: int) -> list[bytes]:
    """The keys that a row makes: its own, and its lookups; none if it makes none."""
    key, expiry_ms = layout.key_of(values), layout.expiry_of(values)
    is_empty = form.shape in (Shape.HASH, Shape.STRING) and not layout.values_of(values)
    if key is None or expiry_ms is None or is_empty or (expiry_ms and expiry_ms <= now_ms):
        return []
    return [key, *[name for name, _ in layout.lookups_of(values)]]


def _example_text(key: bytes, names: list[str]) -> str:
    shown = bounded(shown_bytes(key), _MOST_SHOWN)
    if not names[0]:
        return shown
    return f"{shown} ({names[0]}, twice)" if names[0] == names[1] else f"{shown} ({names[0]} and {names[1]})"


def _told(job: Job, keys: int, example: str, lost: int) -> Shared:
    told = []
    if keys:
        which, were = "first" if job.spec.keeps else "last", "was" if keys == 1 else "were"
        told.append(f"{counted(keys, 'key')} {were} made more than once, the {which} one written stays{example}")
    if lost:
        told.append(f"the keys of {counted(lost, 'range')} were not looked at: their fingerprints are not there")
    return Shared(keys, "; ".join(told))
