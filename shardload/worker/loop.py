"""A worker: receive a range, stream it, encode it, write it, acknowledge it; again, until told to leave.

It opens MySQL and Redis itself, after the fork, and keeps them for its next range. Whatever goes wrong with a range
becomes an outcome for the coordinator, which alone decides what happens next.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections import deque
from contextlib import suppress
from types import FrameType

from shardload.errors import IpcError, ShardloadError, SourceDoubtful, SourceLost, TargetError, why_hopeless
from shardload.ipc import AckQueue, Board, Phase, Stop, TaskQueue
from shardload.model.counts import Counts, SetAside
from shardload.model.keys import KeyRange
from shardload.model.tasks import Ack, Outcome, Task
from shardload.process import die_with_parent, set_title
from shardload.worker.channel import Channel
from shardload.worker.inflight import SLOW_S, Inflight, Sent
from shardload.worker.outcome import Interrupted, outcome_of
from shardload.worker.reader import Reader
from shardload.worker.session import Session
from shardload.worker.settings import WorkerSettings
from shardload.worker.throttle import Throttle

_RECONNECT_AFTER_S = 60.0  # a connection that was idle for so long may be closed by its server: take a new one

_log = logging.getLogger("shardload.worker.loop")


class Worker:
    """One worker process's life. Create it after the fork."""

    def __init__(
        self, slot: int, work: WorkerSettings, tasks: TaskQueue, acks: AckQueue, board: Board, doorbell: int
    ) -> None:
        self._slot = slot
        self._settings = work
        self._tasks = tasks
        self._acks = acks
        self._board = board
        self._doorbell = doorbell
        self._coordinator = os.getppid()
        self._reader = Reader(work)
        self._channel = Channel(work)
        self._inflight = Inflight()
        self._in_hand: Task | None = None
        self._ahead: deque[Task | Stop] = deque()  # received and not begun: neighbours, and who comes behind them
        self._asked_to_leave = False
        self._has_written = False  # keys of the range in hand
        self._is_up = False  # both servers were reached once
        self._idle_since_s = self._rang_s = 0.0
        self._session = Session(board, slot)
        self._throttle = Throttle(
            board, lambda: self._session.beat(Phase.HELD_BACK), self._must_hand_back,
            lambda: self._land(len(self._inflight)), lambda: self._channel.renew(has_written=self._has_written),
        )  # fmt: skip

    def run(self) -> int:
        """Until STOP, or until the coordinator or the queue is gone. The result is the exit code."""
        set_title(f"shardload: worker {self._settings.directory.name} #{self._slot}")
        signal.signal(signal.SIGTERM, self._leave)
        if not die_with_parent(self._coordinator):
            return 1
        self._session.beat(Phase.IDLE)
        try:
            while not self._must_leave():
                if not self._inflight and not self._ahead:
                    self._take_up(None)
                    self._session.beat(Phase.IDLE)
                    self._ring()  # for those acks, too, that were to wait for a later one's ring
                message = self._next_message()
                if isinstance(message, Stop):
                    break
                if message is not None:
                    self._load(message)
                else:
                    self._land_quietly()
            self._land_quietly()
            self._give_back_ahead()
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

    def _next_message(self) -> Task | Stop | None:
        return self._ahead.popleft() if self._ahead else self._tasks.receive(self._slot, wait=not self._inflight)

    def _take_up(self, task: Task | None) -> None:
        self._in_hand = task
        self._session.take_up(task)

    def _load(self, task: Task) -> None:
        """Load one range, whatever comes. Its ack follows when Redis has confirmed it: while the next is begun."""
        self._take_up(task)
        is_connected = False
        try:
            self._connect()
            is_connected = True
            self._transfer(task)
            self._in_hand = None  # but in flight
        except Interrupted as interrupted:
            self._land_quietly()
            self._give_back_ahead()
            self._acknowledge(task, Outcome.HANDED_BACK, interrupted.counts)
            self._disconnect()
        except (ShardloadError, MemoryError) as error:
            if isinstance(error, IpcError):
                raise
            self._land_quietly()  # the ranges before this one may be whole
            self._give_back_ahead()
            self._fail(task, error, is_connected=is_connected)

    def _give_back_ahead(self) -> None:
        """What was received and will not be begun: its result is cut off, or this worker leaves."""
        for task in reversed([message for message in self._ahead if isinstance(message, Task)]):
            self._ahead.remove(task)
            self._acknowledge(task, Outcome.NOT_BEGUN)

    def _land(self, count: int) -> None:
        """Have Redis confirm the oldest `count` batches in flight; acknowledge the ranges that end in them.

        If it does not, the range of the first that it did not confirm has failed. Those behind it are interrupted: the
        connection is of no use any more, and the fault is not their own.
        """
        target = self._channel.connection
        if target is None or count < 1:
            return
        try:
            target.confirm(self._inflight.replies_behind(count), lambda: self._session.beat(Phase.WRITING))
        except TargetError as error:
            confirmed = self._inflight.replies_behind(0) - target.outstanding_replies - error.is_reply
            self._note_landed(self._inflight.land_confirmed(confirmed))
            tasks = self._inflight.give_up()
            if not tasks or tasks[0] == self._in_hand:  # the rest is whoever's in hand, or nobody's
                self._disconnect()
                raise
            self._hand_back(tasks[1:])
            self._fail(tasks[0], error, is_connected=True)
            raise Interrupted from error
        self._note_landed(self._inflight.land(count))

    def _note_landed(self, landed: list[Sent]) -> None:
        for sent in landed:
            if sent.ended:
                if self._session.shows(sent.task):
                    self._session.show(sent.task, sent.counts)  # until it is settled; one never seen is seen by its ack
                self._acknowledge(sent.task, Outcome.DONE, sent.counts)
            elif sent is landed[-1]:
                self._session.show(sent.task, sent.counts)

    def _land_quietly(self) -> None:
        """As many as can be; what fails is told in its ack, except the range in hand. None if the result goes on."""
        try:
            with suppress(Interrupted, TargetError):
                self._reader.check_end()
                self._land(len(self._inflight))
        except SourceDoubtful as error:
            for task in reversed([task for task in self._inflight.give_up() if task != self._in_hand]):
                self._fail(task, error, is_connected=True)
            self._disconnect()
        self._inflight.give_up()

    def _hand_back(self, tasks: list[Task]) -> None:
        for task in reversed(tasks):  # what comes back first is the last to be given out again
            if task != self._in_hand:
                self._acknowledge(task, Outcome.HANDED_BACK)

    def _fail(self, task: Task, error: BaseException, *, is_connected: bool) -> None:
        """Acknowledge a failure, with its reason in a report, and begin the next range on new connections."""
        outcome = outcome_of(error, is_connected=is_connected)
        reason = why_hopeless(error) if outcome is Outcome.HOPELESS else str(error) or type(error).__name__
        _log.info("%s, attempt %d: %s", task.keys, task.attempt, reason, extra={"range_id": task.range_id})
        self._disconnect()  # neither connection's state is known now
        if outcome in (Outcome.BROKEN_OFF, Outcome.REFUSED) and task.keys.span_keys == 1:
            outcome = self._outcome_of_key(task.keys, outcome)
        if outcome is not Outcome.DONE:
            self._settings.directory.write_report(task.range_id, task.attempt, [SetAside("", reason)])
        self._acknowledge(task, outcome)

    def _outcome_of_key(self, keys: KeyRange, outcome: Outcome) -> Outcome:
        """What a failure means for a range of a single key: a key without a row is no failed row, it is done."""
        try:
            self._reader.connect()
            return outcome if self._reader.counted_rows(keys) else Outcome.DONE
        except SourceLost:
            return Outcome.UNREACHABLE  # so MySQL is the trouble, not this key
        except ShardloadError:
            return outcome

    def _acknowledge(self, task: Task, outcome: Outcome, counts: Counts | None = None) -> None:
        self._acks.send(Ack(self._slot, task.range_id, task.attempt, outcome, counts or Counts(), self._channel.epoch))
        self._idle_since_s = now_s = time.monotonic()
        if task.rings or outcome is not Outcome.DONE or now_s - self._rang_s >= SLOW_S:
            self._ring()

    def _ring(self) -> None:
        self._rang_s = time.monotonic()
        with suppress(BlockingIOError):  # it is full of rings: one more says no more
            os.write(self._doorbell, b".")

    def _connect(self) -> None:
        """Both connections, kept from range to range. The coordinator is told the first time: this worker is up."""
        is_amid = bool(self._inflight) or self._reader.is_open
        is_old = time.monotonic() - self._idle_since_s > _RECONNECT_AFTER_S
        if not is_amid and (is_old or not self._channel.is_open() or not self._reader.is_alive()):
            self._disconnect()
        if self._reader.is_connected and self._channel.connection is not None:
            return
        self._session.beat(Phase.CONNECTING)
        if not self._reader.is_connected:
            self._reader.connect()
        self._channel.connect()
        if not self._is_up:
            self._is_up = True
            self._session.beat(Phase.READING)
            self._ring()

    def _disconnect(self) -> None:
        self._reader.close()
        self._channel.close()

    def _transfer(self, task: Task) -> None:
        """Every row of the range, from MySQL into flight to Redis."""
        self._session.beat(Phase.READING)
        if not self._reader.is_open:
            is_again = task.attempt > 1  # then it is to be certain whether its result comes whole
            end = task.keys.high if is_again else self._neighbours_end(task)
            self._reader.ask(task.keys, end, snapshot=is_again)
            self._land(len(self._inflight) - 1)  # meanwhile; Redis still has a batch to go on with
            self._session.beat(Phase.READING)
            self._reader.begin()
        counts, ended, self._has_written = Counts(), False, False
        while not ended:
            if self._must_hand_back():
                self._land(len(self._inflight))
                raise Interrupted(counts)
            batch, ended = self._send_batch(task)
            counts += batch
            if ended:
                if not counts.adds_up():
                    raise ShardloadError(f"the counts of range {task.range_id} do not add up: {counts}")
                self._session.beat(Phase.READING)
                if told := self._reader.check_length(task, counts):
                    self._settings.directory.write_report(task.range_id, task.attempt, [told])
            now_s = time.monotonic()
            replies = batch.keys_written * self._reader.replies_per_key
            self._inflight.add(Sent(task, counts, ended, replies, batch.target_bytes, now_s))
            self._land(self._inflight.due(now_s))

    def _neighbours_end(self, task: Task) -> int:
        """Up to which key one query is to read: to the end of the last of the ranges that wait and lie side by side.

        Where ranges are tiny there is a third one, beside this one and that which Redis has not confirmed yet. A query
        for each would cost MySQL, and us, a waking and some work more. Not so under a rate limit: who is told to leave
        would have much to do first.
        """
        end, at = task.keys.high, 0
        while True:
            takes_more = at == len(self._ahead) and self._inflight and not self._board.rate()
            if takes_more and (message := self._tasks.receive(self._slot, wait=False)):
                self._ahead.append(message)
            following = self._ahead[at] if at < len(self._ahead) else None
            if not isinstance(following, Task) or following.keys.low != end:
                return end
            end, at = following.keys.high, at + 1

    def _send_batch(self, task: Task) -> tuple[Counts, bool]:
        """Read, encode and send what has arrived. Its counts, to be confirmed yet, and whether the range ended."""
        self._session.beat(Phase.READING)
        batch = self._reader.batch(task.keys, self._throttle.piece_bytes())
        if batch.set_aside:
            self._settings.directory.write_report(task.range_id, task.attempt, batch.set_aside)
        self._throttle.hold_back(batch.rows_read, batch.consumed_bytes)
        self._session.beat(Phase.WRITING)
        if batch.keys:
            assert self._channel.connection is not None
            self._channel.connection.send(batch.commands, batch.keys * self._reader.replies_per_key)
            self._has_written = True
        counts = Counts(
            batch.rows_read, batch.keys, batch.rows_skipped, len(batch.set_aside),
            batch.consumed_bytes, len(batch.commands),
        )  # fmt: skip
        return counts, batch.ended
