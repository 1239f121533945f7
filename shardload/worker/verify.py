"""Comparing a range: stream its rows out of MySQL, ask Redis for their keys, and compare the answers byte for byte.

A batch is asked for while the next one is read and encoded. What answers otherwise than it should is looked at again
when the range has ended (`second_look.py`), and with `--repair` written again (`repair.py`).
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from shardload.encoding import Batch, Form
from shardload.ipc import Phase
from shardload.jobdir.fingerprints import FingerprintWriter, Try
from shardload.model.counts import Counts
from shardload.model.keys import Key, KeyRange
from shardload.model.tasks import Outcome, Task
from shardload.model.wording import counted
from shardload.source import Values
from shardload.target import UNKNOWN_MS, Ages
from shardload.worker.connections import Connections
from shardload.worker.outcome import Interrupted
from shardload.worker.reader import Cut, Reader
from shardload.worker.repair import Repair
from shardload.worker.second_look import SecondLook
from shardload.worker.session import Session
from shardload.worker.settings import WorkerSettings
from shardload.worker.throttle import Throttle
from shardload.worker.writer import Writer

_log = logging.getLogger("shardload.verify")

_MOST_ASKED = 6  # batches whose answers are outstanding, so that Redis always has something to do
_LARGE_BYTES = 256 * 1024  # of a batch's answers: of such ones fewer wait in Redis's memory
_SLACK_MS = 2000  # by which what is left of a TTL may differ: clocks, and the time in which a key was written
_ROWS_A_BEAT = 1000


class Verify:
    """The kind of work that compares. See `Kind`. Nothing stays in flight behind a range."""

    in_flight = False

    def __init__(self, settings: WorkerSettings, session: Session) -> None:
        self._settings = settings
        self._session = session
        self._form = replace(settings.form, reads=True, fingerprints=settings.checks.finds_extra)
        self._reader = Reader(settings)
        self._writer = Writer(settings, session.slot)
        self._connections = Connections(session, self._reader, self._writer)
        self._fingerprints = FingerprintWriter(settings.directory.path, session.slot)
        self._second = SecondLook(self._writer, settings.form, read=self._batches, on_wait=self._wait)
        self._repair = Repair(settings, self._writer, self._second, keyed_rows=self._keyed_rows, on_wait=self._wait)
        self._suspects: Counter[bytes] = Counter()
        self._throttle = Throttle(
            session.board,
            beat=lambda: session.beat(Phase.HELD_BACK),
            must_stop=session.must_hand_back,
            settle=lambda: self._ask(leave=0),
            renew=lambda: self._writer.renew(has_written=False),
        )

    @property
    def is_connected(self) -> bool:
        """True if there are connections to both servers."""
        return self._connections.are_open

    @property
    def epoch(self) -> int:
        """The target's, as the newest connection saw it."""
        return self._writer.epoch

    def do(self, task: Task) -> None:
        """Compare one range, and acknowledge it."""
        if self._connections.are_stale:
            self.close()
        self._connections.open()
        keys = self._sampled(task)
        counts = self._compare(task, keys)
        if self._suspects:
            counts = self._look_again(task, keys, counts)
        self._session.show(task, counts)
        self._session.acknowledge(task, Outcome.DONE, self.epoch, counts)

    def finish(self) -> None:
        """Nothing is left to finish."""

    def cut(self, task: Task) -> Cut:
        """See `Connections.cut`."""
        return self._connections.cut(task)

    def close(self) -> None:
        """Close both connections."""
        self._connections.close()

    def _sampled(self, task: Task) -> KeyRange:
        """The part of the range that is compared: by chance, but the same one each time."""
        checks = self._settings.checks
        if checks.sample >= 1:
            return task.keys
        self._session.beat(Phase.READING)
        chance = random.Random(f"{checks.seed} {task.range_id}")
        return self._reader.sample(task, checks.sample, chance)

    def _compare(self, task: Task, keys: KeyRange) -> Counts:
        """Ask for every key of the range. Those that answer otherwise than they should are suspects."""
        counts, self._suspects = Counts(), Counter()
        tried = Try(task.range_id, task.attempt, time.time_ns())
        self._fingerprints.begin()
        for batch in self._batches(keys, self._form, snapshot=task.attempt > 1):
            if batch.set_aside:
                self._settings.directory.reports.write(task.range_id, task.attempt, batch.set_aside)
            if batch.fingerprints:
                self._fingerprints.add(tried, batch.fingerprints)
            self._throttle.hold_back(batch.rows_read, batch.consumed_bytes)
            self._writer.add(batch)
            counts += Counts(
                rows_read=batch.rows_read,
                rows_skipped=batch.rows_skipped,
                rows_failed=len(batch.set_aside),
                source_bytes=batch.consumed_bytes,
                target_bytes=batch.target_bytes,
                keys_equal=batch.keys + batch.lookups,
            )
            if batch.ended or self._throttle.is_limiting or self._writer.is_full:
                self._ask(leave=_MOST_ASKED)
                self._session.show(task, counts)
        self._ask(leave=0)
        if keys == task.keys and (told := self._reader.check_length(task, counts)):
            self._settings.directory.reports.write(task.range_id, task.attempt, [told])
        if self._form.fingerprints:
            self._fingerprints.end(tried)
        return counts

    def _batches(self, keys: KeyRange, form: Form, *, snapshot: bool = False) -> Iterator[Batch]:
        """Read the rows of a range, encoded in this form. Interrupted if this worker has to leave."""
        self._session.beat(Phase.READING)
        self._reader.encode_as(form)
        self._reader.ask(keys, snapshot=snapshot)
        self._reader.begin()
        ended = False
        while not ended:
            if self._session.must_hand_back():
                self._ask(leave=0)
                raise Interrupted
            self._session.beat(Phase.READING)
            self._reader.route(self._writer.routes)
            batch = self._reader.batch(self._throttle.piece_bytes())
            ended = batch.ended
            yield batch

    def _ask(self, *, leave: int) -> None:
        """Ask for what was added, and take answers until so many batches are outstanding."""
        if self._writer.has_unsent:
            self._session.beat(Phase.COMPARING)
            parts, _ = self._writer.take()
            self._writer.target.ask(parts, self._ages())
            leave = min(leave, 1) if sum(len(part.answers) for part in parts) > _LARGE_BYTES else leave
        self._suspects.update(self._writer.target.answers(leave, self._wait))

    def _look_again(self, task: Task, keys: KeyRange, counts: Counts) -> Counts:
        """What is left of the suspects is reported. The result: the counts, without what is not right."""
        ages = self._ages()
        found = self._second.look(keys, self._suspects, ages)
        if self._settings.checks.repairs and found.differences:
            self._repair.repair(keys, found, ages)
        if found.changing:
            _log.info("%s: %s left out, whose rows change all the time", keys, counted(found.changing, "key"))
        differences = found.differences
        if differences:
            self._settings.directory.reports.write_differences(task.range_id, task.attempt, differences)
        return counts + Counts(
            keys_equal=-min(found.not_right, counts.keys_equal),
            keys_differing=len(differences),
            keys_expired=found.expired,
            keys_kept=found.kept,
            keys_written=sum(one.is_repaired for one in differences),
        )

    def _keyed_rows(self, keys: KeyRange) -> Iterator[tuple[Values, Key]]:
        """The rows of a range, with their keys. Interrupted if this worker has to leave."""
        for number, row in enumerate(self._reader.keyed_rows(keys)):
            if not number % _ROWS_A_BEAT:
                if self._session.must_hand_back():
                    raise Interrupted
                self._session.beat(Phase.READING)
            yield row

    def _ages(self) -> Ages:
        """How old keys may be. One that was written again meanwhile has its whole TTL."""
        began_s, native = self._settings.checks.began_s, self._settings.native
        most_ms = int((time.time() - began_s) * 1000) + _SLACK_MS if began_s else UNKNOWN_MS
        return Ages(most_ms, native)

    def _wait(self) -> None:
        self._session.beat(Phase.COMPARING)
