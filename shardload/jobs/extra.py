"""Finds keys that no row stands for: `verify --extra`.

While rows are compared, the fingerprint of every key that they make is noted. Then Redis is asked for all keys that
look like the job's own (SCAN); those whose fingerprint nobody noted are candidates. Rows may have come meanwhile: the
table is read once more, and a candidate that a row makes now, or that is gone, is none. A row whose time to expire is
past makes no key.
"""

from __future__ import annotations

import re
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from shardload import source
from shardload.encoding import Encoder, Tally, fingerprint_of, make_encoder, make_tally, slots_in
from shardload.encoding.fingerprints import BYTES, END, most_of
from shardload.encoding.layout import Text
from shardload.errors import GaveUp, JobError
from shardload.jobdir.fingerprints import remove_fingerprints
from shardload.jobdir.made import made_keys
from shardload.jobs.afterwards import Afterwards
from shardload.jobs.mapping import key_texts
from shardload.jobs.prepare import Job, plan
from shardload.jobs.targets import uses_native
from shardload.model.differences import EXTRA_FACT
from shardload.reporting.facts import SEARCHING
from shardload.target import Target, TargetConnection, open_target

MEMORY_BYTES = 256 * 1024 * 1024  # of the table of fingerprints; Redis is asked for all keys once for each filled table
MOST_FOUND = 1_000_000
_SCAN_COUNT = 1000
_ASK_KEYS = 500
_EXPIRED_JUST_NOW_MS = 5000  # a row whose time passed no longer ago may still have its key
_PLAN_S = 5.0  # before the table is read again; what is not split by then is read in one piece


def find(job: Job, after: Afterwards, note: Callable[[str], None]) -> None:
    """Look for them, and note them in the journal. StoppedBySignal if the job was told to stop meanwhile; GaveUp if
    there are far too many; SourceError or TargetError if a server cannot be asked."""
    note("every row is compared; looking for keys that no row stands for")
    job.directory.write_run(replace(job.directory.read_run(), phase=SEARCHING))
    job.journal.note_fact(EXTRA_FACT, {"is_known": False})
    target = open_target(job.spec.redis)
    try:
        search = _Search(job, target, after)
        job.journal.note_extra(sorted(search.extra()))
    finally:
        target.close()
    job.journal.note_fact(EXTRA_FACT, {"is_known": True})
    remove_fingerprints(job.directory.path)


class _Search:
    """One search."""

    def __init__(self, job: Job, target: Target, after: Afterwards) -> None:
        self._job = job
        self._target = target
        self._after = after
        self._row_bytes = 100.0  # a mean of what was read
        texts = key_texts(job.subject.layout)
        self._patterns = [re.compile(_pattern(text), re.DOTALL) for text in texts]
        starts = {text[0] for text in texts}
        (only,) = starts if len(starts) == 1 else (b"",)
        self._match = _escaped(only if isinstance(only, bytes) else b"") + b"*"

    def extra(self) -> set[bytes]:
        """The keys that no row stands for."""
        found = self._candidates()
        if found:
            found = self._without_new_rows(found)
        return {key for several in _groups(sorted(found)) for key in self._there(several)}

    def _candidates(self) -> set[bytes]:
        """The keys whose fingerprints nobody noted, in as many passes as keep the memory bounded."""
        made = made_keys(self._job.directory, self._job.journal)
        if made.ranges_lost:
            raise JobError(f"the fingerprints of {made.ranges_lost} ranges are gone", "start a new verify with --extra")
        slots = slots_in(min(MEMORY_BYTES, 2 * BYTES * (made.keys + 1)))
        tally = make_tally(slots, 0, native=uses_native(self._job.spec))
        width = -(-END // max(1, -(-made.keys * 21 // (most_of(slots) * 20))))
        found: set[bytes] = set()
        low = 0
        while low < END:
            high = min(END, low + width)
            tally.begin(low, high)
            if all(self._go_on() and tally.add(record.fingerprints) for record in made.records()):
                self._collect(tally, found)
                low = high
            else:
                width = max(1, width // 2)
        return found

    def _collect(self, tally: Tally, found: set[bytes]) -> None:
        for _, connection in self._target.masters():
            for keys in self._scan(connection):
                prints = b"".join(fingerprint_of(key).to_bytes(BYTES, "little") for key in keys)
                found.update(keys[place] for place in tally.missing(prints))
                if len(found) > MOST_FOUND:
                    raise GaveUp(
                        f"more than {MOST_FOUND:,} keys look like the job's own, and no row stands for them",
                        "is the key's prefix another program's, too? compare without --extra",
                    )

    def _scan(self, connection: TargetConnection) -> Iterator[list[bytes]]:
        cursor: bytes = b"0"
        while self._go_on():
            cursor, keys = connection.call("SCAN", cursor, "MATCH", self._match, "COUNT", _SCAN_COUNT)
            mine = [key for key in keys if any(pattern.fullmatch(key) for pattern in self._patterns)]
            if mine:
                yield mine
            if cursor == b"0":
                return

    def _without_new_rows(self, found: set[bytes]) -> set[bytes]:
        """Without those that a row makes now."""
        job = self._job
        wanted = {fingerprint_of(key) for key in found}
        encoder = make_encoder(job.subject.layout, job.form_with_fingerprints, native=uses_native(job.spec))
        connection = source.connect(job.spec.mysql)
        try:
            head = job.subject.selection.head(job.subject.layout.columns, job.subject.layout.readings)
            stream = source.RangeStream(connection)
            for planned in plan(connection, job.spec, job.subject, _PLAN_S):
                stream.send_query(job.subject.selection.select(head, planned.keys))
                encoder.begin(stream.read_head(), int(time.time() * 1000) - _EXPIRED_JUST_NOW_MS)
                for fingerprints in self._encoded(encoder, stream):
                    wanted.difference_update(fingerprints)
        finally:
            source.abandon(connection)
        return {key for key in found if fingerprint_of(key) in wanted}

    def _encoded(self, encoder: Encoder, stream: source.RangeStream) -> Iterator[array[int]]:
        """The fingerprints of a result's keys, batch by batch, at the rate that is allowed."""
        ended = False
        while not ended:
            rows = self._after.piece_rows()
            batch = encoder.encode(stream.read(None if rows is None else max(1, int(rows * self._row_bytes))))
            stream.consume(batch.consumed_bytes)
            if batch.error_packet is not None:
                source.raise_error_packet("reading the table again", batch.error_packet)
            if batch.rows_read:
                self._row_bytes = batch.consumed_bytes / batch.rows_read
            yield array("Q", batch.fingerprints)
            ended = batch.ended
            self._after.hold_back(batch.rows_read)
        stream.check_end()

    def _there(self, keys: Sequence[bytes]) -> list[bytes]:
        """Those that are there now."""
        self._go_on()
        replies = self._target.call_keys([("EXISTS", key) for key in keys])
        return [key for key, is_there in zip(keys, replies, strict=True) if is_there]

    def _go_on(self) -> bool:
        self._after.go_on()
        return True


def _pattern(text: Text) -> bytes:
    """What a key with this text looks like."""
    return b"".join(re.escape(piece) if isinstance(piece, bytes) else b".*" for piece in text)


def _escaped(text: bytes) -> bytes:
    """The text in a pattern of Redis's."""
    return re.sub(rb"([*?\[\]^\\])", rb"\\\1", text)


def _groups(keys: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for at in range(0, len(keys), _ASK_KEYS):
        yield keys[at : at + _ASK_KEYS]
