"""How a worker reads a range: one query on its connection to MySQL, whose rows are encoded as they arrive."""

from __future__ import annotations

import random
import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

from shardload import source
from shardload.encoding import Batch, Encoder, Form, make_encoder
from shardload.errors import SourceError
from shardload.model.counts import Counts, SetAside
from shardload.model.keys import Key, KeyRange, PlannedRange
from shardload.model.shortfall import Proven, is_short
from shardload.model.tasks import HALVES, Task
from shardload.ranges.split import MOST_PARTS, refine
from shardload.worker.outcome import Interrupted
from shardload.worker.settings import WorkerSettings

_CUT_S = 1.0  # a range is cut for about so long; parts that are still too large are cut again


@dataclass(frozen=True)
class Cut:
    """Into what a range was cut; without `parts` it cannot be. `rows` are its rows, an estimate if it was not to be
    halved; `what` is what cannot be halved, in words."""

    parts: list[PlannedRange]
    rows: int = 0
    what: str = ""


class Reader:
    """One worker's reader. Connect, ask, begin, then take batches until one says that the range ended."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._select = settings.selection.head(settings.layout.columns, settings.layout.readings)
        self._routes: array[int] | None = None
        self._encoders: dict[Form, Encoder] = {}
        self._encoder = self.encode_as(settings.form)
        self._connection: source.Connection | None = None
        self._stream: source.RangeStream | None = None
        self._is_open = False  # a result was asked for and has not ended
        self._has_snapshot = False  # the connection reads, and counts, the table as it was at one moment
        self._proven = Proven()

    def encode_as(self, form: Form) -> Encoder:
        """Encode the results that begin from now on in this form."""
        if form not in self._encoders:
            self._encoders[form] = make_encoder(self._settings.layout, form, native=self._settings.native)
        self._encoder = self._encoders[form]
        self._encoder.route(self._routes)
        return self._encoder

    @property
    def is_connected(self) -> bool:
        """True between `connect` and `close`."""
        return self._stream is not None

    def connect(self) -> None:
        """Open the connection. SourceLost, SourceError or SpecError if MySQL cannot be reached, or refuses."""
        self._connection = source.connect(self._settings.mysql)
        self._stream = source.RangeStream(self._connection)

    def is_alive(self) -> bool:
        """False if MySQL has closed the connection, or said something unasked. Ask only while no result is open."""
        return self._connection is not None and source.is_open(self._connection)

    def close(self) -> None:
        """Close the connection, whatever its state."""
        if self._connection is not None:
            source.abandon(self._connection)
        self._connection = self._stream = None
        self._is_open = self._has_snapshot = False

    def ask(self, keys: KeyRange, *, snapshot: bool = False) -> None:
        """Send the query for a range. With `snapshot` rows that are counted later are counted at the same moment.
        SourceLost if it cannot be sent."""
        assert self._stream is not None
        assert self._connection is not None
        if snapshot or self._has_snapshot:
            self._stream.check_end()
            source.end_snapshot(self._connection)
            if snapshot:
                source.begin_snapshot(self._connection)
            self._has_snapshot = snapshot
        self._stream.send_query(self._settings.selection.select(self._select, keys))
        self._is_open = True

    def route(self, routes: array[int] | None) -> None:
        """Encode later batches for the nodes of these routes (see `Encoder.route`)."""
        if routes is not self._routes:
            self._routes = routes
            self._encoder.route(routes)

    def begin(self) -> None:
        """Wait for the answer. SourceLost or SourceError if it is no result, SourceDoubtful if the last result goes on
        behind its end."""
        assert self._stream is not None
        self._encoder.begin(self._stream.read_head(), int(time.time() * 1000))

    def check_end(self) -> None:
        """SourceDoubtful if more came behind the end of the last result. Does nothing while a result is open."""
        if self._stream is not None and (not self._is_open or self._stream.is_doubtful):
            self._stream.check_end()

    def batch(self, most_bytes: int | None) -> Batch:
        """The next rows of the range, encoded; `most_bytes` bounds how much is read from MySQL at once.

        SourceLost, SourceError or MalformedPacket if there is no clean end.
        """
        assert self._stream is not None
        batch = self._encoder.encode(self._stream.read(most_bytes))
        self._stream.consume(batch.consumed_bytes)
        if batch.error_packet is not None:
            source.raise_error_packet("reading a range", batch.error_packet)
        self._is_open = not batch.ended
        return batch

    def cut(self, task: Task) -> Cut:
        """Cut a range as its task asks: into halves of as many rows, or into parts of about so many by the estimates.
        SourceLost or SourceError if MySQL cannot say where. Ask only while no result is open."""
        self.check_end()
        space, keys = self._key_space(), task.keys
        if task.parts != HALVES:
            return Cut(self._refined(space, task), task.estimated_rows)
        rows, parts = space.halves(keys)
        if parts or not rows:
            return Cut(parts, rows)
        return Cut([], rows, self._settings.selection.shown(keys, space.first_key(keys), rows))

    def sample(self, task: Task, share: float, chance: random.Random) -> KeyRange:
        """A part of the range with about this share of its rows: it is cut by the estimates, again and again, and a
        part is chosen by chance, a larger one more often. SourceError if MySQL cannot say where."""
        space, chosen = self._key_space(), PlannedRange(task.keys, task.estimated_rows)
        wanted_rows = max(1, round(task.estimated_rows * share))
        while chosen.estimated_rows > 2 * wanted_rows:
            rows = max(wanted_rows, chosen.estimated_rows // MOST_PARTS)
            parts = refine(space, chosen, rows)
            if len(parts) < HALVES:
                break
            chosen = chance.choices(parts, [part.estimated_rows for part in parts])[0]
        return chosen.keys

    def keyed_rows(self, keys: KeyRange) -> Iterator[tuple[source.Values, Key]]:
        """Every row of a range that has bounds, with its key, in their order. SourceError on anything but a clean end;
        whoever stops early has to close the connection. Ask only while no result is open."""
        assert self._connection is not None
        self.check_end()
        yield from source.keyed_rows_of(self._connection, self._settings.selection, self._settings.layout, keys)

    def _refined(self, space: source.TableKeys, task: Task) -> list[PlannedRange]:
        late_s = time.monotonic() + _CUT_S
        planned = PlannedRange(task.keys, task.estimated_rows)
        parts = refine(space, planned, self._settings.range_rows, is_late=lambda: time.monotonic() > late_s)
        return parts if len(parts) > 1 else []

    def check_length(self, task: Task, counts: Counts) -> SetAside | None:
        """Check that a range which ended with these counts was read whole. Where that is doubtful, MySQL counts.

        The result is what to tell if the range has lost rows since it was planned. Interrupted if MySQL counts more
        rows than it sent, which may be new ones: the next attempt reads a snapshot, where that is a SourceError.
        SourceDoubtful if more came behind the end of the result.
        """
        rows = counts.rows_read
        has_filter = bool(self._settings.selection.where)  # which no estimate knows
        may_be_short = not has_filter and is_short(rows, task.estimated_rows)
        most_rows = self._settings.selection.most_rows(task.keys)
        if may_be_short or self._proven.is_doubtful(rows, counts.source_bytes, most_rows):
            self._count(task, counts)
        self._proven.add(rows, counts.source_bytes)
        if not may_be_short or not self._key_space().is_beyond(task.keys):
            return None  # within the table's bounds a gap is possible; a plan has none before and behind them
        return SetAside(f"range {task.keys}", f"about {task.estimated_rows:,} rows were planned, {rows:,} are left")

    def _count(self, task: Task, counts: Counts) -> None:
        assert self._stream is not None
        self._stream.check_end()
        rows, counted = counts.rows_read, self._key_space().counted_rows(task.keys)
        if counted <= rows:
            return
        if not self._has_snapshot:
            raise Interrupted(counts)
        raise SourceError(
            f"MySQL sent {rows:,} rows of {task.keys} and counts {counted:,}",
            "something cuts results short: a proxy with a limit for rows, perhaps",
        )

    def _key_space(self) -> source.TableKeys:
        assert self._connection is not None
        return source.TableKeys(self._connection, self._settings.selection, may_scan=True)
