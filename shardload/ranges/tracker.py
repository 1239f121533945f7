"""The tracker: what is to do, what is out and what is done, in memory and in the journal, always in step.

The coordinator tells it what happened to a range; it decides what becomes of the range and writes that down. It knows
nothing of processes, queues or clocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from shardload.errors import GaveUp, Hopeless
from shardload.model.counts import SetAside, share_done
from shardload.model.limits import MOST_WORKERS
from shardload.model.shortfall import is_short
from shardload.model.tasks import UNKNOWN_EPOCH, Ack, Outcome, Task
from shardload.ranges.dispatch import Dispatcher
from shardload.ranges.store import RangeStore

MOST_SINGLE_FAILURES = 1000  # rows that fail one by one, each after several tries: something else is wrong
MOST_RETURNS = 3  # of a epoch that was over: a name may lead to an old primary for a moment, while it changes


class Tracker:
    """`say` is told what a person should know, `note` what the log should have of a range (text, range id). `epoch` is
    the target's at the beginning. `renew` replaces the workers: a connection that is older than a new epoch bears the
    name of the old one."""

    def __init__(
        self,
        store: RangeStore,
        key_name: str,
        epoch: int,
        say: Callable[[str], None],
        note: Callable[[str, int], None],
        renew: Callable[[], None],
    ) -> None:
        self._store = store
        self._key_name = key_name
        self._epoch = epoch
        self._past_epochs: set[int] = set()
        self._out_at_change: set[tuple[int, int]] = set()  # range and attempt: an older worker's, when a epoch began
        self._returns = 0
        self._say = say
        self._note = note
        self._renew = renew
        self._single_failures = 0
        self._has_shrunk = False
        self.dispatcher = Dispatcher(store.todo(), MOST_WORKERS)
        self.totals = store.totals()
        self.retries = 0
        self.handed_back: dict[int, int] = {}  # of ranges that are not done: how many rows were written
        self.unsure: set[int] = set()  # and of which nobody could say it

    @property
    def is_committed(self) -> bool:
        """True if a kill would undo nothing that was settled."""
        return self._store.is_committed

    def settle(self, ack: Ack, task: Task, told: list[SetAside]) -> None:
        """What a worker says of a range that it held; `told` is its report. Hopeless if the job cannot go on."""
        if ack.outcome is Outcome.DONE:
            self._finish(ack, task, told)
        elif ack.outcome is Outcome.HANDED_BACK:
            self.dispatcher.put_back(task)
            if ack.counts.keys_written:
                self.handed_back[ack.range_id] = ack.counts.keys_written
        else:
            reason = told[-1].reason if told else "no reason given"
            self.fail(task, reason, is_blamed=ack.outcome in (Outcome.BROKEN_OFF, Outcome.REFUSED))
            if ack.outcome is Outcome.HOPELESS:
                raise Hopeless(f"the job cannot go on: {reason}")

    def is_plain(self, ack: Ack, task: Task | None) -> bool:
        """True if a worker has nothing to tell of a range beside its counts."""
        is_short_ = task is not None and is_short(ack.counts.rows_read, self.dispatcher.estimated_rows(task))
        return ack.outcome is Outcome.DONE and not ack.counts.rows_failed and not is_short_

    def fail(self, task: Task, reason: str, *, is_blamed: bool) -> None:
        """An attempt failed: the range is to be done again, if it is to blame in halves, or is set aside."""
        self.retries += 1
        self.unsure.add(task.range_id)
        self._note(f"{task.keys}, attempt {task.attempt}: {reason}", task.range_id)
        self._store.note_attempt(task.range_id, task.attempt)
        if not is_blamed or not self.dispatcher.blame(task):
            self.dispatcher.put_back(task)
        elif task.keys.span_keys > 1:
            self._say(f"range {task.range_id} {task.keys} keeps failing ({reason}); halving it")
            self.dispatcher.replace(self._store.split(self.dispatcher.record(task)))
            self.totals = self._store.totals()
        else:
            self._set_aside(task, reason)

    def note_epoch(self, epoch: int) -> None:
        """The target's present epoch, by a new connection. If it is a new one, whatever an earlier one confirmed may be
        gone: do it again. GaveUp if it is an earlier one: no life comes back, so two servers are alive."""
        if epoch in (self._epoch, UNKNOWN_EPOCH):
            return
        if epoch in self._past_epochs:
            raise _several_servers()
        if self._epoch != UNKNOWN_EPOCH:
            self._past_epochs.add(self._epoch)
        self._epoch = epoch
        out = [task for slot in range(MOST_WORKERS) for task in self.dispatcher.held(slot)]
        self._out_at_change = {(task.range_id, task.attempt) for task in out}
        self.handed_back.clear()
        before = {record.range_id for record in self._store.todo()}
        reopened = self._store.reopen_other_epochs(epoch)
        self.dispatcher.add(record for record in self._store.todo() if record.range_id not in before)
        self.totals = self._store.totals()
        self.retries += reopened
        if reopened:
            self._say(
                f"Redis was restarted, or was a replica meanwhile: the keys of {reopened} confirmed ranges may be "
                "gone; loading them again"
            )
        self._renew()

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
        if ack.epoch in self._past_epochs:
            self._put_back_from_the_past(task)
            return
        self._store.finish(ack.range_id, ack.counts, ack.epoch, ack.attempt, told)
        self.handed_back.pop(ack.range_id, None)
        self.unsure.discard(ack.range_id)
        self.totals = self.totals.with_done(self.dispatcher.estimated_rows(task), ack.counts)
        if told and not ack.counts.rows_failed:
            self._note_shrunk(told[-1], ack.range_id)
        self.note_epoch(ack.epoch)

    def _note_shrunk(self, told: SetAside, range_id: int) -> None:
        self._note(f"{told.key}: {told.reason}", range_id)
        self.totals = self._store.totals()
        if not self._has_shrunk and self.totals.rows_lost:
            self._has_shrunk = True
            self._say(f"the table has lost rows since it was planned: {told.key}: {told.reason}")

    def _put_back_from_the_past(self, task: Task) -> None:
        """A epoch that is over confirmed it. GaveUp if workers that connected later meet that epoch again and again."""
        self._note(f"{task.keys} was confirmed by a Redis that is no more", task.range_id)
        self.dispatcher.put_back(task)
        if (task.range_id, task.attempt) not in self._out_at_change:
            self._returns += 1
            if self._returns >= MOST_RETURNS:
                raise _several_servers()

    def _set_aside(self, task: Task, reason: str) -> None:
        row = f"{self._key_name}={task.keys.low}"
        self._say(f"row {row} is set aside: {reason}")
        self._store.set_aside(task.range_id, task.attempt, SetAside(row, reason))
        self.totals = self._store.totals()
        self._single_failures += 1
        if self._single_failures > MOST_SINGLE_FAILURES:
            raise GaveUp(
                f"more than {MOST_SINGLE_FAILURES} rows failed one by one, the last reason: {reason}",
                "mend it, then resume",
            )


def _several_servers() -> GaveUp:
    return GaveUp(
        "--redis leads to several servers that do not have the same data: keys were confirmed by one and by another",
        "have that address lead to one alone, then resume; or name one, the primary, in a new job",
    )
