"""A worker's way out of MySQL: one query at a time, for a range or for several neighbours, encoded range by range."""

from __future__ import annotations

from shardload import source
from shardload.encoding import Batch, make_encoder
from shardload.errors import SourceError
from shardload.model.counts import Counts, SetAside
from shardload.model.keys import KeyRange
from shardload.model.shortfall import Proven, is_short
from shardload.model.tasks import Task
from shardload.worker.outcome import Interrupted
from shardload.worker.settings import WorkerSettings


class Reader:
    """One worker's. Connect, ask, begin, then take each range's batches until one says that the range ended."""

    def __init__(self, work: WorkerSettings) -> None:
        self._settings = work
        self._encoder = make_encoder(work.layout, work.form, native=work.native)
        self._connection: source.Connection | None = None
        self._stream: source.RangeStream | None = None
        self._end: int | None = None  # of the open result's last range; None: there is no open result
        self._has_ended = False  # MySQL has sent all of it
        self._asked = KeyRange(0, 1)  # what the last query was for
        self._result = (0, 0)  # its rows and bytes so far
        self._has_all = self._is_proven = False  # MySQL has sent all of it; and it is certain that it is all
        self._has_snapshot = False  # it reads, and counts, the table as it was at one moment
        self._proven = Proven()
        self.replies_per_key = self._encoder.replies_per_key

    @property
    def is_connected(self) -> bool:
        """True between `connect` and `close`."""
        return self._stream is not None

    @property
    def is_open(self) -> bool:
        """True if the next range was asked for together with one that is done."""
        return self._end is not None

    def connect(self) -> None:
        """SourceLost, SourceError or SpecError if MySQL cannot be reached, or refuses."""
        self._connection = source.connect(self._settings.mysql)
        self._stream = source.RangeStream(self._connection)

    def is_alive(self) -> bool:
        """False if MySQL has closed the connection, or said something unasked. For one on which no result is open."""
        return self._connection is not None and source.is_open(self._connection)

    def close(self) -> None:
        """Let go of the connection, whatever its state."""
        if self._connection is not None:
            source.abandon(self._connection)
        self._connection = self._stream = self._end = None
        self._has_ended = self._has_snapshot = False

    def ask(self, keys: KeyRange, end: int, *, snapshot: bool = False) -> None:
        """Send the query for a range and its neighbours up to the key `end`; with `snapshot` what is counted later is
        of the same moment. SourceLost if it cannot be sent."""
        assert self._stream is not None
        assert self._connection is not None
        if snapshot or self._has_snapshot:
            self._stream.check_end()
            source.end_snapshot(self._connection)
            if snapshot:
                source.begin_snapshot(self._connection)
            self._has_snapshot = snapshot
        work, whole = self._settings, KeyRange(keys.low, end)
        self._asked, self._result, self._is_proven = whole, (0, 0), False
        sql = source.select_sql(work.table, work.layout.columns, work.key_column, whole, in_order=whole != keys)
        self._stream.ask(sql)
        self._end = end

    def begin(self) -> None:
        """Wait for the answer. SourceLost or SourceError if it is no result, SourceDoubtful if that before goes on."""
        assert self._stream is not None
        self._encoder.begin(self._stream.begin())

    def check_end(self) -> None:
        """SourceDoubtful if more came behind the end of the last result than belongs to the next one."""
        if self._stream is not None and (self._end is None or self._has_ended or self._stream.is_doubtful):
            self._stream.check_end()

    def batch(self, keys: KeyRange, most_bytes: int | None) -> Batch:
        """What came next of a range. It `ended` with the result, or at the first row of the next one.

        SourceLost, SourceError or MalformedPacket if there is no clean end.
        """
        assert self._stream is not None
        if self._has_ended:  # after the last row of a range before
            batch = Batch(0, 0, 0, 0, b"", ended=True)
        else:
            batch = self._encoder.encode(self._stream.read(most_bytes), None if keys.high == self._end else keys.high)
            self._stream.consume(batch.consumed_bytes, reads_on=batch.reached)
        if batch.error_packet is not None:
            source.raise_error_packet("reading a range", batch.error_packet)
        self._result = self._result[0] + batch.rows_read, self._result[1] + batch.consumed_bytes
        self._has_ended = self._has_all = batch.ended
        batch.ended |= batch.reached
        if batch.ended and keys.high == self._end:
            self._end, self._has_ended = None, False
        return batch

    def counted_rows(self, keys: KeyRange) -> int:
        """How many rows MySQL counts in a range now. SourceLost or SourceError if it cannot say."""
        return self._space().counted_rows(keys)

    def check_length(self, task: Task, counts: Counts) -> SetAside | None:
        """Has a range that ended with these counts come whole? Where that is doubtful MySQL counts.

        What to tell of it if it has lost rows since it was planned. Interrupted if MySQL counts more rows than it sent,
        which may be new: the next attempt reads a snapshot, where that is a SourceError. SourceDoubtful if more came
        behind the end of the result.
        """
        rows = counts.rows_read
        if not self._has_all:
            return None  # a row behind this range has come: nothing was cut off
        if not self._is_proven:
            self._prove(task, counts)
            self._is_proven = True
        if not is_short(rows, task.estimated_rows) or not task.keys.is_outside(self._space().bounds()):
            return None  # within the table's bounds a gap is a gap; but a plan has none before and behind them
        return SetAside(f"range {task.keys}", f"about {task.estimated_rows:,} rows were planned, {rows:,} are left")

    def _prove(self, task: Task, counts: Counts) -> None:
        """The result ended in this range: is that where it should? Its neighbours behind it then have no row."""
        rows = counts.rows_read
        rest = KeyRange(task.keys.low, self._asked.high)
        is_cut_within = task.keys.high != self._asked.high
        is_doubtful = self._proven.is_doubtful(*self._result, self._asked.span_keys)
        if is_cut_within or is_doubtful or is_short(rows, task.estimated_rows):
            assert self._stream is not None
            self._stream.check_end()
            if (counted := self._space().counted_rows(rest)) > rows:
                if not self._has_snapshot:
                    raise Interrupted(counts)
                raise SourceError(
                    f"MySQL sent {rows:,} rows of {rest} and counts {counted:,}",
                    "something cuts results short: a proxy with a limit for rows, perhaps",
                )
        self._proven.add(*self._result)

    def _space(self) -> source.TableKeys:
        assert self._connection is not None
        return source.TableKeys(self._connection, self._settings.table, self._settings.key_column)
