"""The ledger: what is to do, what is out and what is done, in memory and in the journal, always in step.

The coordinator tells it what happened to a range; it decides what becomes of the range and writes that down. It knows
nothing of processes, queues or clocks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from shardload.dispatch import Dispatcher
from shardload.errors import GaveUp
from shardload.journal import Journal
from shardload.limits import MOST_WORKERS
from shardload.model import UNKNOWN_LIFE, Ack, Outcome, SetAside, Task
from shardload.progress import share_done
from shardload.shortfall import is_short

MOST_SINGLE_FAILURES = 1000  # rows that fail one by one, each after several tries: something else is wrong

_log = logging.getLogger("shardload.ledger")


class Ledger:
    """`say` is told what a person should know. `life` is the target's at the beginning."""

    def __init__(self, journal: Journal, key_name: str, life: int, say: Callable[[str], None]) -> None:
        self._journal = journal
        self._key_name = key_name
        self._life = life
        self._past_lives: set[int] = set()
        self._say = say
        self._single_failures = 0
        self._has_shrunk = False
        self.dispatcher = Dispatcher(journal.todo(), MOST_WORKERS)
        self.totals = journal.totals()
        self.retries = 0

    @property
    def is_committed(self) -> bool:
        """True if a kill would undo nothing that was settled."""
        return self._journal.is_committed

    def settle(self, ack: Ack, task: Task, told: list[SetAside]) -> None:
        """What a loader says of a range that it held; `told` is its report. GaveUp if the job cannot go on."""
        if ack.outcome is Outcome.DONE:
            self._finish(ack, task, told)
        elif ack.outcome in (Outcome.HANDED_BACK, Outcome.NOT_BEGUN):
            self.dispatcher.put_back(task, was_begun=ack.outcome is Outcome.HANDED_BACK)
        else:
            reason = told[-1].reason if told else "no reason given"
            self.fail(task, reason, is_blamed=ack.outcome in (Outcome.BROKEN_OFF, Outcome.REFUSED))
            if ack.outcome is Outcome.HOPELESS:
                raise GaveUp(f"the job cannot go on: {reason}", "mend it, then resume")

    def is_plain(self, ack: Ack, task: Task | None) -> bool:
        """True if a loader has nothing to tell of a range beside its counts."""
        is_short_ = task is not None and is_short(ack.counts.rows_read, self.dispatcher.estimated_rows(task))
        return ack.outcome is Outcome.DONE and not ack.counts.rows_failed and not is_short_

    def fail(self, task: Task, reason: str, *, is_blamed: bool) -> None:
        """An attempt failed: the range is to be done again, if it is to blame in halves, or is set aside."""
        self.retries += 1
        _log.warning("%s, attempt %d: %s", task.keys, task.attempt, reason, extra={"range_id": task.range_id})
        self._journal.note_attempt(task.range_id, task.attempt)
        if not is_blamed or not self.dispatcher.blame(task):
            self.dispatcher.put_back(task)
        elif task.keys.span_keys > 1:
            self._say(f"range {task.range_id} {task.keys} keeps failing ({reason}); halving it")
            self.dispatcher.replace(self._journal.split(self.dispatcher.record(task)))
            self.totals = self._journal.totals()
        else:
            self._set_aside(task, reason)

    def heed_life(self, life: int) -> None:
        """The target's present life. If it is a new one, whatever an earlier one confirmed may be gone: do it again."""
        if life in (self._life, UNKNOWN_LIFE):
            return
        self._past_lives.add(self._life)
        self._life = life
        before = {record.range_id for record in self._journal.todo()}
        reopened = self._journal.reopen_other_lives(life)
        self.dispatcher.add(record for record in self._journal.todo() if record.range_id not in before)
        self.totals = self._journal.totals()
        self.retries += reopened
        if reopened:
            self._say(f"Redis was restarted: the keys of {reopened} confirmed ranges may be gone; loading them again")

    def share(self, in_hand: Iterable[tuple[int, int]]) -> float:
        """The share of the plan that is done; of each range in hand the rows read, and its estimate."""
        return share_done(
            self.totals.estimated_rows,
            self.totals.estimated_rows_done,
            in_hand,
            self.totals.ranges,
            self.totals.ranges_done + self.totals.ranges_set_aside,
        )

    def _finish(self, ack: Ack, task: Task, told: list[SetAside]) -> None:
        if ack.target_life in self._past_lives:
            self.dispatcher.put_back(task)
            return
        self._journal.finish(ack.range_id, ack.counts, ack.target_life, ack.attempt, told)
        self.totals = self.totals.with_done(self.dispatcher.estimated_rows(task), ack.counts)
        if told and not ack.counts.rows_failed:
            self._note_shrunk(told[-1])
        self.heed_life(ack.target_life)

    def _note_shrunk(self, told: SetAside) -> None:
        _log.warning("%s: %s", told.key, told.reason)
        self.totals = self._journal.totals()
        if not self._has_shrunk and self.totals.rows_lost:
            self._has_shrunk = True
            self._say(f"the table has lost rows since it was planned: {told.key}: {told.reason}")

    def _set_aside(self, task: Task, reason: str) -> None:
        row = f"{self._key_name}={task.keys.low}"
        self._say(f"row {row} is set aside: {reason}")
        self._journal.set_aside(task.range_id, task.attempt, SetAside(row, reason))
        self.totals = self._journal.totals()
        self._single_failures += 1
        if self._single_failures > MOST_SINGLE_FAILURES:
            raise GaveUp(
                f"more than {MOST_SINGLE_FAILURES} rows failed one by one, the last reason: {reason}",
                "mend it, then resume",
            )
