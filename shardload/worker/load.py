"""Loading a range: stream its rows out of MySQL, encode them, write them to Redis, acknowledge what Redis confirmed.

A range's last batches are still in flight when the next range begins: Redis works while MySQL is read.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from shardload.errors import ShardloadError, SourceDoubtful, TargetError
from shardload.ipc import Phase
from shardload.jobdir.fingerprints import FingerprintWriter, Try
from shardload.model.counts import Counts
from shardload.model.tasks import Outcome, Task
from shardload.worker.connections import Connections
from shardload.worker.inflight import Inflight, Sent
from shardload.worker.outcome import Interrupted, Unconfirmed
from shardload.worker.reader import Cut, Reader
from shardload.worker.session import Session
from shardload.worker.settings import WorkerSettings
from shardload.worker.throttle import Throttle
from shardload.worker.writer import Writer


@dataclass
class _Range:
    """The current range. `epoch` is the target's when it was begun; `counts` are of all batches that were read."""

    task: Task
    epoch: int
    tried: Try
    counts: Counts = field(default_factory=Counts)


class Load:
    """The kind of work that an import does. It opens MySQL and Redis itself, after the fork."""

    def __init__(self, settings: WorkerSettings, session: Session) -> None:
        self._settings = settings
        self._session = session
        self._reader = Reader(settings)
        self._writer = Writer(settings, session.slot)
        self._connections = Connections(session, self._reader, self._writer)
        self._inflight = Inflight()
        self._fingerprints = FingerprintWriter(settings.directory.path, session.slot)
        self._range: _Range
        self._has_written = False  # keys of the current range
        self._kept: dict[Task, tuple[int, int]] = {}  # keys and lookups of ranges that are not acknowledged
        self._throttle = Throttle(
            session.board,
            beat=lambda: session.beat(Phase.HELD_BACK),
            must_stop=session.must_hand_back,
            settle=self._settle,
            renew=lambda: self._writer.renew(has_written=self._has_written),
        )

    @property
    def in_flight(self) -> bool:
        """True if batches were sent that Redis has not confirmed."""
        return bool(self._inflight)

    @property
    def is_connected(self) -> bool:
        """True if there are connections to both servers."""
        return self._connections.are_open

    @property
    def epoch(self) -> int:
        """The target's, as the newest connection saw it."""
        return self._writer.epoch

    def do(self, task: Task) -> None:
        """Load one range. Its ack follows when Redis has confirmed it, while the next range is begun."""
        self._connect()
        self._session.beat(Phase.READING)
        self._reader.ask(task.keys, snapshot=task.attempt > 1)  # then it has to be certain whether its result is whole
        self._confirm(len(self._inflight) - 1)  # meanwhile; Redis still has a batch to go on with
        self._session.beat(Phase.READING)
        self._reader.begin()
        tried = Try(task.range_id, task.attempt, time.time_ns())
        self._range, self._has_written, ended = _Range(task, self.epoch, tried), False, False
        self._fingerprints.begin()
        while not ended:
            if self._session.must_hand_back():
                self._settle()
                raise Interrupted(self._without_kept(task, self._range.counts, is_last=True))
            ended = self._read_batch()
            if ended or self._throttle.is_limiting or self._writer.is_full:
                self._send_batches(ended=ended)
                self._confirm(self._inflight.due(time.monotonic()))

    def finish(self) -> None:
        """Wait until Redis has confirmed everything in flight. Unconfirmed if it does not, or if the last result goes
        on behind its end."""
        try:
            self._reader.check_end()
        except SourceDoubtful as error:
            raise Unconfirmed(self._inflight.give_up(), error, blames_all=True) from error
        self._confirm(len(self._inflight))

    def cut(self, task: Task) -> Cut:
        """Cut one range. SourceLost or SourceError if MySQL cannot say where. Nothing may be in flight."""
        return self._connections.cut(task)

    def close(self) -> None:
        """Close both connections, and give up what is in flight."""
        self._connections.close()
        self._inflight.give_up()
        self._kept.clear()

    def _connect(self) -> None:
        if not self._inflight and self._connections.are_stale:
            self.close()
        self._connections.open()

    def _read_batch(self) -> bool:
        """Read and encode what has arrived, and have it written. True if the range ended."""
        self._session.beat(Phase.READING)
        self._reader.route(self._writer.routes)
        batch = self._reader.batch(self._throttle.piece_bytes())
        current = self._range
        if batch.set_aside:
            self._settings.directory.reports.write(current.task.range_id, current.task.attempt, batch.set_aside)
        if batch.fingerprints:
            self._fingerprints.add(current.tried, batch.fingerprints)
        self._throttle.hold_back(batch.rows_read, batch.consumed_bytes)
        self._writer.add(batch)
        current.counts += Counts(
            rows_read=batch.rows_read,
            keys_written=batch.keys,
            rows_skipped=batch.rows_skipped,
            rows_failed=len(batch.set_aside),
            source_bytes=batch.consumed_bytes,
            target_bytes=batch.target_bytes,
            lookups_written=batch.lookups,
        )
        return batch.ended

    def _send_batches(self, *, ended: bool) -> None:
        """Send the batches that were added, as one; `ended` says that the range ended with them."""
        current = self._range
        self._session.beat(Phase.WRITING)
        replies, size_bytes = self._writer.send()
        self._has_written |= bool(replies)
        if ended:
            self._check(current.task, current.counts)
        now_s = time.monotonic()
        self._inflight.add(Sent(current.task, current.counts, ended, replies, size_bytes, now_s, current.epoch))

    def _check(self, task: Task, counts: Counts) -> None:
        """Whether a range that ended was read whole; what there is to tell of it goes into a report."""
        if not counts.adds_up():
            raise ShardloadError(f"the counts of range {task.range_id} do not add up: {counts}")
        self._session.beat(Phase.READING)
        if told := self._reader.check_length(task, counts):
            self._settings.directory.reports.write(task.range_id, task.attempt, [told])
        if self._settings.form.fingerprints:
            self._fingerprints.end(self._range.tried)

    def _settle(self) -> None:
        """Send what was added, and wait until Redis has confirmed everything in flight."""
        if self._writer.has_unsent:
            self._send_batches(ended=False)
        self._confirm(len(self._inflight))

    def _confirm(self, count: int) -> None:
        """Wait until Redis has confirmed the oldest `count` batches in flight; acknowledge the ranges that end in them.

        Unconfirmed if it does not: the first range that the node with the error did not confirm is to blame.
        """
        if count < 1 or not self._writer.is_connected:
            return
        try:
            self._writer.confirm(self._inflight.replies_behind(count), lambda: self._session.beat(Phase.WRITING))
        except TargetError as error:
            unconfirmed, node = self._writer.unconfirmed(error)
            self._note_confirmed(self._inflight.take_confirmed(unconfirmed))
            blamed = self._inflight.first_unconfirmed(unconfirmed, node)
            raise Unconfirmed(self._inflight.give_up(), error, blamed=blamed) from error
        self._note_confirmed(self._inflight.take(count))

    def _note_confirmed(self, confirmed: list[Sent]) -> None:
        for sent in confirmed:
            for keys, lookups in self._writer.kept_by(sent.replies):
                before = self._kept.get(sent.task, (0, 0))
                self._kept[sent.task] = before[0] + keys, before[1] + lookups
            counts = self._without_kept(sent.task, sent.counts, is_last=sent.ended)
            if sent.ended:
                if self._session.shows(sent.task):  # one that was never shown is counted by its ack
                    self._session.show(sent.task, counts)  # until it is settled
                self._session.acknowledge(sent.task, Outcome.DONE, sent.epoch, counts)
            elif sent is confirmed[-1]:
                self._session.show(sent.task, counts)

    def _without_kept(self, task: Task, counts: Counts, *, is_last: bool) -> Counts:
        """The range's counts, which were made when its keys were sent, without those that Redis turned out to keep."""
        kept = self._kept.pop(task, (0, 0)) if is_last else self._kept.get(task, (0, 0))
        return counts.with_kept(*kept) if any(kept) else counts
