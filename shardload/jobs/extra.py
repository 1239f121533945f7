"""Finds keys that no row stands for: `verify --extra`.

While rows are compared, the fingerprint of every key that they make is noted. Then Redis is asked for all keys that
look like the job's own (SCAN); those whose fingerprint nobody noted are candidates. Rows may have come meanwhile: the
table is read once more, and a candidate that a row makes now, or that is gone, is none.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterator, Sequence

from shardload import source
from shardload.encoding import Tally, fingerprint_of, make_encoder, make_tally, slots_in
from shardload.encoding.fingerprints import BYTES, END, most_of
from shardload.encoding.layout import Text
from shardload.errors import GaveUp, JobError, StoppedAsAsked
from shardload.jobdir.fingerprints import remove_fingerprints
from shardload.jobdir.made import made_keys
from shardload.jobs.mapping import key_texts
from shardload.jobs.prepare import Job
from shardload.jobs.targets import uses_native
from shardload.target import Target, TargetConnection, open_target

MEMORY_BYTES = 256 * 1024 * 1024  # of the table of fingerprints; Redis is asked for all keys once for each filled table
MOST_FOUND = 1_000_000
_SCAN_COUNT = 1000
_ASK_KEYS = 500


def find(job: Job, must_stop: Callable[[], bool], note: Callable[[str], None]) -> None:
    """Look for them, and note them in the journal. StoppedAsAsked if a signal came meanwhile; GaveUp if there are far
    too many; SourceError or TargetError if a server cannot be asked."""
    if not job.checks.get("finds_extra"):
        return
    note("every row is compared; looking for keys that no row stands for")
    target = open_target(job.spec.redis)
    try:
        search = _Search(job, target, must_stop)
        job.journal.note_extra(sorted(search.extra()))
    finally:
        target.close()
    remove_fingerprints(job.directory.path)


class _Search:
    """One search."""

    def __init__(self, job: Job, target: Target, must_stop: Callable[[], bool]) -> None:
        self._job = job
        self._target = target
        self._must_stop = must_stop
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
            space = source.TableKeys(connection, job.subject.selection)
            stream = source.RangeStream(connection)
            for root in space.roots():
                stream.send_query(job.subject.selection.select(head, root))
                encoder.begin(stream.read_head(), 0)
                ended = False
                while not ended and self._go_on():
                    batch = encoder.encode(stream.read(None))
                    stream.consume(batch.consumed_bytes)
                    if batch.error_packet is not None:
                        source.raise_error_packet("reading the table again", batch.error_packet)
                    wanted.difference_update(array("Q", batch.fingerprints))
                    ended = batch.ended
                stream.check_end()
        finally:
            source.abandon(connection)
        return {key for key in found if fingerprint_of(key) in wanted}

    def _there(self, keys: Sequence[bytes]) -> list[bytes]:
        """Those that are there now."""
        self._go_on()
        replies = self._target.call_keys([("EXISTS", key) for key in keys])
        return [key for key, is_there in zip(keys, replies, strict=True) if is_there]

    def _go_on(self) -> bool:
        if self._must_stop():
            raise StoppedAsAsked
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
