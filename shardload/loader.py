"""A loader: receive a range, stream it, encode it, write it, acknowledge it; again, until told to leave.

It opens MySQL and Redis itself, after the fork, and keeps them for its next range. Whatever goes wrong with a range
becomes an outcome for the coordinator, which alone decides what happens next.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType

from shardload import source
from shardload.encoding import Form, Layout, make_encoder
from shardload.errors import (
    IpcError,
    ShardloadError,
    SourceDenied,
    SourceLost,
    SpecError,
    TargetBusy,
    TargetDenied,
    TargetError,
    TargetLost,
)
from shardload.ipc import AckQueue, Board, Cell, LoaderView, Phase, Stop, TaskQueue
from shardload.jobdir import JobDirectory
from shardload.limits import MOST_HELD
from shardload.model import Ack, Counts, Outcome, SetAside, Task
from shardload.process import die_with_parent, set_title, start_time
from shardload.target import TargetConnection, describe_server
from shardload.urls import SourceUrl, TargetUrl

_RECONNECT_AFTER_S = 60.0  # a connection that was idle for so long may be closed by its server: take a new one
_PIECE_S = 0.1  # under a rate limit no more is read at once than may be sent in this time
_IN_FLIGHT_BYTES = 256 * 1024  # sent before the batch in hand, while Redis has not confirmed it: several small batches
_SHOW_AFTER_S = 0.1  # or fewer, if they are slow
_LONGEST_NAP_S = 0.5  # under a rate limit: a sign of life, and a look at what was asked, after each

_log = logging.getLogger("shardload.loader")


@dataclass(frozen=True)
class Work:
    """What every loader of a job needs to know."""

    directory: JobDirectory
    mysql: SourceUrl
    redis: TargetUrl
    table: str
    key_column: str
    layout: Layout
    form: Form
    native: bool


class _Interrupted(Exception):
    """The range in hand goes back, through no fault of its own."""


class Loader:
    """One loader process's life. Create it after the fork."""

    def __init__(self, slot: int, work: Work, tasks: TaskQueue, acks: AckQueue, board: Board, doorbell: int) -> None:
        self._slot = slot
        self._work = work
        self._tasks = tasks
        self._acks = acks
        self._board = board
        self._doorbell = doorbell
        self._coordinator = os.getppid()
        self._encoder = make_encoder(work.layout, work.form, native=work.native)
        self._source: source.Connection | None = None
        self._stream: source.RangeStream | None = None
        self._target: TargetConnection | None = None
        self._life = 0
        self._sent: tuple[Task, Counts] | None = None  # a range whose last batch is not confirmed yet
        self._asked_to_leave = False
        self._is_up = False  # both servers were reached once
        self._idle_since_s = self._rang_s = 0.0
        self._row_bytes = 100.0  # of the source, a mean of what was seen
        self._sequence = 0
        self._cells: tuple[Cell, ...] = ()
        self._pid, self._start = os.getpid(), start_time(os.getpid())

    def run(self) -> int:
        """Until STOP, or until the coordinator or the queue is gone. The result is the exit code."""
        set_title(f"shardload: loader {self._work.directory.name} #{self._slot}")
        signal.signal(signal.SIGTERM, self._leave)
        if not die_with_parent(self._coordinator):
            return 1
        self._publish(Phase.IDLE)
        try:
            while not self._must_leave():
                if self._sent is None:
                    self._beat(Phase.IDLE)
                    self._ring()  # for those acks, too, that were to wait for a later one's ring
                message = self._tasks.receive(self._slot, wait=self._sent is None)
                if isinstance(message, Stop):
                    break
                if message is not None:
                    self._load(message)
                elif self._sent is not None:
                    self._settle_quietly()
            self._settle_quietly()
        except (IpcError, BrokenPipeError):
            return 1  # the coordinator is gone, or says so by removing the queue
        finally:
            self._disconnect()
        return 0

    def _leave(self, _number: int, _frame: FrameType | None) -> None:
        self._asked_to_leave = True

    def _must_hand_back(self) -> bool:
        return self._must_leave() or self._board.is_paused()

    def _must_leave(self) -> bool:
        return self._asked_to_leave or self._board.stop_asked() or os.getppid() != self._coordinator

    # ---- one range

    def _load(self, task: Task) -> None:
        """Load one range, whatever comes. Its ack follows when Redis has confirmed it: while the next is begun."""
        is_connected = False
        try:
            self._connect()
            is_connected = True
            self._sent = task, self._transfer(task)
        except _Interrupted:
            self._acknowledge(task, Outcome.HANDED_BACK)
            self._disconnect()
        except (ShardloadError, MemoryError) as error:
            if isinstance(error, IpcError):
                raise
            self._settle_quietly()  # the range before this one may be whole
            self._fail(task, error, is_connected=is_connected)

    def _settle(self, leave: int = 0) -> None:
        """Have Redis confirm what was sent of the range before, and acknowledge it: as done, or as failed.

        `leave` replies are the range in hand's. If the one before failed, that one is interrupted: the connection
        is of no use any more, and the fault is not its own.
        """
        if self._sent is None or self._target is None:
            return
        (task, counts), self._sent = self._sent, None
        try:
            self._target.confirm(leave)
        except TargetError as error:
            self._fail(task, error, is_connected=True)
            raise _Interrupted from error
        self._show(task, counts)
        self._acknowledge(task, Outcome.DONE, counts)

    def _settle_quietly(self) -> None:
        with suppress(_Interrupted):  # told in the ack
            self._settle()

    def _fail(self, task: Task, error: BaseException, *, is_connected: bool) -> None:
        """Acknowledge a failure, with its reason in a report, and begin the next range on new connections."""
        reason = str(error) or type(error).__name__
        _log.info("%s, attempt %d: %s", task.keys, task.attempt, reason, extra={"range_id": task.range_id})
        self._work.directory.write_report(task.range_id, task.attempt, [SetAside("", reason)])
        self._disconnect()  # neither connection's state is known now
        self._acknowledge(task, _outcome_of(error, is_connected=is_connected))

    def _acknowledge(self, task: Task, outcome: Outcome, counts: Counts | None = None) -> None:
        self._acks.send(Ack(self._slot, task.range_id, task.attempt, outcome, counts or Counts(), self._life))
        self._idle_since_s = now_s = time.monotonic()
        if task.rings or outcome is not Outcome.DONE or now_s - self._rang_s >= _SHOW_AFTER_S:
            self._ring()

    def _ring(self) -> None:
        self._rang_s = time.monotonic()
        with suppress(BlockingIOError):  # it is full of rings: one more says no more
            os.write(self._doorbell, b".")

    def _connect(self) -> None:
        """Both connections, kept from range to range. The coordinator is told the first time: this loader is up."""
        if time.monotonic() - self._idle_since_s > _RECONNECT_AFTER_S and self._sent is None:
            self._disconnect()
        if self._stream is not None and self._target is not None:
            return
        self._beat(Phase.CONNECTING)
        if self._stream is None:
            self._source = source.connect(self._work.mysql)
            self._stream = source.RangeStream(self._source)
        if self._target is None:
            self._target = TargetConnection(self._work.redis, shortest_reply_bytes=self._work.form.shortest_reply_bytes)
            self._life = describe_server(self._target).life
        if not self._is_up:
            self._is_up = True
            self._beat(Phase.READING)
            self._ring()

    def _disconnect(self) -> None:
        if self._source is not None:
            source.abandon(self._source)
        if self._target is not None:
            self._target.close()
        self._source = self._stream = self._target = None

    def _transfer(self, task: Task) -> Counts:
        """Every row of the range, from MySQL to Redis. The counts hold when Redis has confirmed what is outstanding."""
        stream, target, work = self._stream, self._target, self._work
        assert stream is not None and target is not None  # noqa: PT018
        sql = source.select_sql(work.table, work.layout.columns, work.key_column, task.keys)
        self._beat(Phase.READING)
        self._encoder.begin(stream.begin(sql))
        counts_sent = Counts()
        shown, shown_s = 0, time.monotonic()
        ended = False
        while not ended:
            if self._must_hand_back():
                self._settle()
                target.confirm()
                raise _Interrupted
            counts, ended = self._send_batch(task, stream, target)
            replies = counts.keys_written * self._encoder.replies_per_key
            self._settle(leave=replies)  # the range before: Redis was not kept waiting between the two
            is_much = (
                counts_sent.target_bytes - shown >= _IN_FLIGHT_BYTES or time.monotonic() - shown_s >= _SHOW_AFTER_S
            )
            if is_much and not ended:  # at the end MySQL begins the next range while Redis works on this one
                target.confirm(leave=replies)
                self._show(task, counts_sent)
                shown, shown_s = counts_sent.target_bytes, time.monotonic()
            counts_sent += counts
        if not counts_sent.adds_up():
            raise ShardloadError(f"the counts of range {task.range_id} do not add up: {counts_sent}")
        return counts_sent

    def _send_batch(self, task: Task, stream: source.RangeStream, target: TargetConnection) -> tuple[Counts, bool]:
        """Read, encode and send what has arrived. Its counts, to be confirmed yet, and whether the range ended."""
        self._beat(Phase.READING)
        batch = self._encoder.encode(stream.read(self._piece_bytes()))
        stream.consume(batch.consumed_bytes)
        if batch.error_packet is not None:
            source.raise_error_packet("reading a range", batch.error_packet)
        if batch.set_aside:
            self._work.directory.write_report(task.range_id, task.attempt, batch.set_aside)
        self._hold_back(batch.rows_read, batch.consumed_bytes)
        self._beat(Phase.WRITING)
        if batch.keys:
            target.send(batch.commands, batch.keys * self._encoder.replies_per_key)
        counts = Counts(
            batch.rows_read, batch.keys, batch.rows_skipped, len(batch.set_aside),
            batch.consumed_bytes, len(batch.commands),
        )  # fmt: skip
        return counts, batch.ended

    def _piece_bytes(self) -> int | None:
        """How much to read at once, so that a rate limit lets rows go a few at a time; None: whatever is there."""
        rate_rows = self._board.rate()
        return max(1, int(rate_rows * _PIECE_S * self._row_bytes)) if rate_rows else None

    def _hold_back(self, rows: int, source_bytes: int) -> None:
        """Wait until the rate limit lets these rows go, or until there is none or this loader has to leave."""
        if rows:
            self._row_bytes = source_bytes / rows
        rate_rows = self._board.rate()
        left_s = self._board.take_tokens(rows, time.monotonic())
        while left_s > 0 and rate_rows and not self._must_hand_back():
            self._beat(Phase.HELD_BACK)
            began_s = time.monotonic()
            time.sleep(min(left_s, _LONGEST_NAP_S))
            left_s -= time.monotonic() - began_s
            was_rows, rate_rows = rate_rows, self._board.rate()
            if rate_rows:
                left_s *= was_rows / rate_rows  # what is owed is rows

    def _show(self, task: Task, counts: Counts) -> None:
        """The range's counts so far, on the board. Those of the ranges before stay until they are surely settled."""
        before = [cell for cell in self._cells if cell[:2] != (task.range_id, task.attempt)]
        self._cells = ((task.range_id, task.attempt, counts), *before[: MOST_HELD - 1])
        self._publish(Phase.READING)

    def _beat(self, phase: Phase) -> None:
        self._board.beat(self._slot, time.monotonic(), phase)

    def _publish(self, phase: Phase) -> None:
        view = LoaderView(self._pid, self._start, time.monotonic(), self._cells, phase)
        if self._board.publish(self._slot, self._sequence + 1, view):
            self._sequence += 1


def _outcome_of(error: BaseException, *, is_connected: bool) -> Outcome:
    """What an error means for the range: nobody's fault, perhaps its own, surely its own, or the whole job's."""
    if isinstance(error, (SpecError, SourceDenied, TargetDenied)):
        return Outcome.HOPELESS
    if isinstance(error, TargetBusy):
        return Outcome.UNREACHABLE
    if isinstance(error, (SourceLost, TargetLost)):
        return Outcome.BROKEN_OFF if is_connected else Outcome.UNREACHABLE
    return Outcome.REFUSED
