"""The tracker: which ranges are to do, which are out and which are done, in memory and in the store, always in step.

The coordinator tells it what happened to a range; it decides what becomes of the range and notes that in the store. It
knows nothing of processes, queues or clocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from shardload.errors import GaveUp, Hopeless, TargetBusy
from shardload.model.counts import SetAside
from shardload.model.keys import PlannedRange
from shardload.model.limits import CREDITS, MOST_WORKERS
from shardload.model.nodes import NodeFacts
from shardload.model.shortfall import is_short
from shardload.model.tasks import HALVES, UNKNOWN_EPOCH, Ack, Assignment, Outcome, Report, Task
from shardload.ranges.dispatch import Dispatcher
from shardload.ranges.lineage import Checkpoint, Lineage, several_servers, who_has_what
from shardload.ranges.split import covers
from shardload.ranges.store import RangeStore

MOST_SINGLE_FAILURES = 1000  # if more rows fail one by one, each after several attempts, something else is wrong
MOST_RETURNS = 3  # of ranges that a past epoch confirmed, beside those in the slots: a name may lead to an old master
MOST_PAST_LOOKS = 10  # one after the other that see a past epoch: a Sentinel may name an old master for some seconds
MOST_STRANGE_LOOKS = 100  # that find ranges which other servers confirmed; a cluster that changes has a few


class Tracker:
    """The ranges of one run. It calls `say` with what a person should know, `note` with what the log should have of a
    range (text, range id), and `renew` when the workers have to be replaced, because connections that are older than a
    new epoch report the old one. `epoch` and `nodes` are the target's at the beginning, `job` is for texts,
    `range_rows` about how many rows a range should have, `credits_` how many of them a slot may hold. `wants_look` is
    true if a worker met servers that the last look did not see."""

    def __init__(
        self,
        store: RangeStore,
        *,
        job: str,
        range_rows: int,
        epoch: int,
        nodes: tuple[NodeFacts, ...],
        say: Callable[[str], None],
        note: Callable[[str, int], None],
        renew: Callable[[], None],
        credits_: int = CREDITS,
    ) -> None:
        self._store = store
        self._job = job
        self._lineage = Lineage(store.checkpoints())
        self._look = self._lineage.last.number if self._lineage.last else 0
        self._epoch = epoch
        self._same_epochs = {epoch}  # others with the same data: the first replica of a master makes a new one
        self._past_epochs: set[int] = set()
        self._out_at_change: set[tuple[int, int]] = set()  # range and attempt: older workers held them when it began
        self._distrusted: set[tuple[int, int]] = set()  # the same, of what was out when keys were lost
        self._returns = self._past_looks = self._strange_looks = 0
        self._has_settled = self._has_settled_before_look = True  # ranges since the last checkpoint
        self._has_strange = False  # ranges are done that other servers confirmed than the last look saw
        self.wants_look = False
        self._say = say
        self._note = note
        self._renew = renew
        self._single_failures = 0
        self._has_shrunk = False
        self._dispatcher = Dispatcher(store.todo(), MOST_WORKERS, range_rows, credits_)
        self._told_whole: dict[int, tuple[str, int]] = {}  # ranges that cannot be cut: what they are, their rows
        self.totals = store.totals()
        self.retries = 0
        self.handed_back: dict[int, int] = {}  # of ranges that are not done: how many rows were written
        self.unsure: set[int] = set()  # ranges that are not done, of which nobody could say how many
        self._note_checkpoint(self.begin_look(), nodes)

    @property
    def is_committed(self) -> bool:
        """True if a kill would undo nothing that was settled."""
        return self._store.is_committed

    @property
    def open_ranges(self) -> int:
        """How many ranges are to do or out."""
        return self._dispatcher.open_ranges

    @property
    def ranges_out(self) -> int:
        """How many ranges are out."""
        return self._dispatcher.ranges_out

    def held(self, slot: int) -> list[Task]:
        """The ranges that a slot holds, in the order in which they were sent."""
        return self._dispatcher.held(slot)

    def use_slots(self, slots: int) -> None:
        """From now on the first `slots` slots get work."""
        self._dispatcher.slots_in_use = slots

    def next_tasks(self, slot: int, most: int) -> list[Task]:
        """Take the tasks that are to be sent to a slot now, so that it holds no more than `most` ranges."""
        return self._dispatcher.next_tasks(slot, most)

    def take_back(self, slot: int, assignments: list[Assignment]) -> None:
        """Take back what the slot has not received: it is to do, as if it had never been sent."""
        for assignment in reversed(assignments):
            self._dispatcher.taken_back(slot, assignment)

    def acknowledged(self, ack: Ack) -> Task | None:
        """Take from its slot the task that an ack is about. None for an ack that is out of date."""
        return self._dispatcher.acknowledged(ack)

    def return_from_dead_worker(self, slot: int, range_id: int, words: str) -> None:
        """Take what a dead worker held. Its current range (`range_id`) is blamed; ranges that it had sent but that were
        not confirmed are retried without blame; the others are to do, as if they had never been sent."""
        for task, was_current in self._dispatcher.return_from_dead_worker(slot, range_id):
            self._fail(task, f"its worker {words}", is_blamed=was_current)

    def settle(self, ack: Ack, task: Task, report: Report) -> None:
        """Note how a range ended; `report` is the worker's. Hopeless if the job cannot go on, GaveUp if it makes no
        sense to."""
        told = report.told
        if ack.outcome is Outcome.DONE:
            self._finish(ack, task, report)
        elif ack.outcome is Outcome.CUT:
            self._replace(task, report.parts)
        elif ack.outcome is Outcome.WHOLE:
            if task.parts == HALVES and told:
                self._told_whole[task.range_id] = (told[-1].key, ack.counts.rows_read)
            self._dispatcher.note_whole(task)
        elif ack.outcome is Outcome.HANDED_BACK:
            self._dispatcher.put_back(task)
            if ack.counts.keys_written:
                self.handed_back[ack.range_id] = ack.counts.keys_written
        else:
            reason = told[-1].reason if told else "no reason given"
            self._fail(task, reason, is_blamed=ack.outcome in (Outcome.CONNECTION_LOST, Outcome.REFUSED))
            if ack.outcome is Outcome.JOB_REFUSED:
                raise Hopeless(f"the job cannot go on: {reason}")

    def is_plain(self, ack: Ack, task: Task | None) -> bool:
        """True if a worker writes no report of a range with this ack."""
        is_short_ = task is not None and is_short(ack.counts.rows_read, task.estimated_rows)
        return ack.outcome is Outcome.DONE and not ack.counts.rows_failed and not is_short_

    def _fail(self, task: Task, reason: str, *, is_blamed: bool) -> None:
        """Note a failed attempt. The range is to do again; if it was to blame too often, in halves, or it is set
        aside."""
        self.retries += 1
        self.unsure.add(task.range_id)
        self._note(f"{task.keys}, attempt {task.attempt}: {reason}", task.range_id)
        self._store.note_attempt(task.range_id, task.attempt)
        if not is_blamed or not self._dispatcher.blame(task):
            self._dispatcher.put_back(task)
        elif self._dispatcher.is_whole(task):
            self._set_aside(task, reason)
        elif task.parts:
            self._dispatcher.note_whole(task)
        else:
            self._say(f"range {task.range_id} {task.keys} keeps failing ({reason}); halving it")
            self._dispatcher.halve(task)

    def _replace(self, task: Task, parts: Sequence[PlannedRange]) -> None:
        """Take the parts of a range that was cut in its place."""
        if len(parts) < HALVES or not covers(parts, task.keys):
            self._fail(task, f"its {len(parts)} parts do not make up {task.keys}", is_blamed=True)
            return
        self._dispatcher.replace(task, self._store.replace(task.range_id, parts))
        self.totals = self._store.totals()

    def begin_look(self) -> int:
        """Somebody begins to look at the target: ranges that are settled from now on may not be in what it sees. The
        result is the number of the look."""
        self._look += 1
        self.wants_look = False
        self._has_settled_before_look |= self._has_settled
        self._has_settled = False
        return self._look

    def note_target(self, look: int, epoch: int, nodes: tuple[NodeFacts, ...]) -> None:
        """Note what a look saw. Ranges whose keys may be gone, or that other servers confirmed, are to do again.

        TargetBusy if the epoch is a past one; GaveUp if it stays so: the address leads to two servers.
        """
        if epoch == UNKNOWN_EPOCH:
            return
        if epoch in self._past_epochs:
            self._past_looks += 1
            if self._past_looks >= MOST_PAST_LOOKS:
                raise several_servers()
            raise TargetBusy("--redis leads to a server that another one has replaced", "wait for the failover to end")
        self._past_looks = 0
        if self._epoch == UNKNOWN_EPOCH:
            self._epoch, self._same_epochs = epoch, {epoch}
        until = self._lineage.survives_until(nodes)
        if until is None:
            is_new = epoch not in self._same_epochs
            self._same_epochs.add(epoch)
            reopened = self._adopt(epoch, None) if is_new or self._has_strange else 0
            self._strange_looks += reopened > 0
            if self._strange_looks >= MOST_STRANGE_LOOKS:
                raise several_servers()
        else:
            is_new = True
            reopened = self._begin_epoch(epoch, until, look)
        if reopened:
            self._say(
                "Redis was restarted, was a replica meanwhile, or another server took its place: the keys of "
                f"{reopened} confirmed ranges may be gone; loading them again"
            )
        if reopened or is_new:
            self._renew()
        self._note_checkpoint(look, nodes)

    def _begin_epoch(self, epoch: int, until: int, look: int) -> int:
        """The target may have lost what was settled after the look `until`. The result: how many ranges that are.

        The epoch may be one that was there before: a node came, and died with what it had got. Then the ranges of now
        get another number, and what is out is done again, because that node may have had keys of it.
        """
        out = {(task.range_id, task.attempt) for slot in range(MOST_WORKERS) for task in self._dispatcher.held(slot)}
        is_back = epoch in self._same_epochs
        self._distrusted = out if is_back else set()
        self._past_epochs |= self._same_epochs - {epoch}
        was, self._epoch = self._epoch, epoch + look if is_back else epoch
        self._same_epochs = {epoch, self._epoch}
        self._returns = 0
        return self._adopt(was, until)

    def _adopt(self, known: int, before_look: int | None) -> int:
        """Take over what survived. The result: how many ranges did not."""
        self._has_strange = False
        before = {record.range_id for record in self._store.todo()}
        reopened = self._store.adopt_epoch(self._epoch, known, before_look)
        self._dispatcher.add(record for record in self._store.todo() if record.range_id not in before)
        self.totals = self._store.totals()
        self.retries += reopened
        if reopened or before_look is not None:
            out = [task for slot in range(MOST_WORKERS) for task in self._dispatcher.held(slot)]
            self._out_at_change = {(task.range_id, task.attempt) for task in out}
            self.handed_back.clear()
        return reopened

    def _note_checkpoint(self, look: int, nodes: tuple[NodeFacts, ...]) -> None:
        """Keep what a look saw, unless it is as the last one and no range was settled between them."""
        last = self._lineage.last
        is_same = last is not None and (last.epoch, who_has_what(last.nodes)) == (self._epoch, who_has_what(nodes))
        is_news = self._has_settled_before_look or not is_same
        if self._epoch != UNKNOWN_EPOCH and is_news:
            self._has_settled_before_look = False
            checkpoint = Checkpoint(look, self._epoch, nodes)
            self._store.note_checkpoint(checkpoint, self._lineage.add(checkpoint))

    def share(self, in_hand: Iterable[tuple[int, int]]) -> float:
        """The share of the plan that is done, 0 to 1. `in_hand`: each current range's rows read, and its estimate."""
        return self.totals.share(in_hand)

    def _finish(self, ack: Ack, task: Task, report: Report) -> None:
        if ack.epoch in self._past_epochs or (ack.range_id, ack.attempt) in self._distrusted:
            self._put_back_from_the_past(task)
            return
        self._has_settled = True
        epoch = self._epoch if ack.epoch in self._same_epochs else ack.epoch
        if epoch not in (self._epoch, UNKNOWN_EPOCH):
            self.wants_look = self._has_strange = True
        self._store.finish(ack.range_id, ack.counts, epoch, ack.attempt, report, look=self._look)
        self.handed_back.pop(ack.range_id, None)
        self.unsure.discard(ack.range_id)
        self.totals = self.totals.with_done(task.estimated_rows, ack.counts)
        if report.told and not ack.counts.rows_failed:
            self._note_shrunk(report.told[-1], ack.range_id)

    def _note_shrunk(self, told: SetAside, range_id: int) -> None:
        self._note(f"{told.key}: {told.reason}", range_id)
        self.totals = self._store.totals()
        if not self._has_shrunk and self.totals.rows_lost:
            self._has_shrunk = True
            self._say(f"the table has lost rows since it was planned: {told.key}: {told.reason}")

    def _put_back_from_the_past(self, task: Task) -> None:
        """Make a range that a past epoch confirmed the next to do. GaveUp if workers that connected since the change
        meet that epoch several times."""
        self._note(f"{task.keys} was confirmed by a Redis that is gone", task.range_id)
        self._dispatcher.put_back(task)
        if (task.range_id, task.attempt) not in self._out_at_change:
            self._returns += 1
            if self._returns >= MOST_RETURNS + 2 * self._dispatcher.credits * self._dispatcher.slots_in_use:
                raise several_servers()

    def _set_aside(self, task: Task, reason: str) -> None:
        about = f"about {task.estimated_rows:,} rows, range {task.keys}"  # MySQL could not count them
        what, rows = self._told_whole.get(task.range_id, (about, task.estimated_rows))
        self._say(f"{what} is set aside: {reason}")
        self._store.set_aside(task.range_id, task.attempt, SetAside(what, reason), max(1, rows))
        self.totals = self._store.totals()
        self._single_failures += 1
        if self._single_failures > MOST_SINGLE_FAILURES:
            raise GaveUp(
                f"more than {MOST_SINGLE_FAILURES} rows failed one by one, the last reason: {reason}",
                f"fix the cause, then run: shardload resume {self._job}",
            )
