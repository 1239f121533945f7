"""Who holds which range: credits, returns and blame. Pure; the coordinator carries out what is decided here.

A slot holds at most two ranges, one in hand and one waiting. Near the end no range waits behind another while a worker
could begin it at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from shardload.model.keys import RangeRecord
from shardload.model.limits import CREDITS
from shardload.model.tasks import Ack, Task

MOST_BLAME = 3  # failures of its own before a range is halved, or a single row set aside


class Dispatcher:
    """Ranges to do, ranges that are out, and what is held against each."""

    def __init__(self, records: Iterable[RangeRecord], slots: int) -> None:
        self._records: dict[int, RangeRecord] = {}
        self._attempts: dict[int, int] = {}
        self._blame: dict[int, int] = {}
        self._todo: deque[int] = deque()
        self._out: list[list[Task]] = [[] for _ in range(slots)]
        self.slots_in_use = slots
        """How many slots are to have work: with fewer ranges left than that, none waits behind another."""
        self.add(records)

    def add(self, records: Iterable[RangeRecord]) -> None:
        """More ranges to do, after those that are there."""
        for record in records:
            self._remember(record)
            self._todo.append(record.range_id)

    @property
    def open_ranges(self) -> int:
        """How many ranges are to do or out."""
        return len(self._todo) + sum(map(len, self._out))

    @property
    def ranges_out(self) -> int:
        """How many ranges are out."""
        return sum(map(len, self._out))

    def held(self, slot: int) -> list[Task]:
        """What a slot holds, in the order in which it was sent."""
        return list(self._out[slot])

    def estimated_rows(self, task: Task) -> int:
        """The plan's estimate of a task's range."""
        return self._records[task.range_id].estimated_rows

    def record(self, task: Task) -> RangeRecord:
        """The range of a task, with its attempts so far."""
        was = self._records[task.range_id]
        return RangeRecord(was.range_id, was.keys, was.estimated_rows, self._attempts[task.range_id])

    def next_task(self, slot: int) -> Task | None:
        """The task to send to a slot now, noted as out; None if it has no credit or there is nothing for it."""
        held = len(self._out[slot])
        if not self._todo or held >= CREDITS or (held and len(self._todo) < self.slots_in_use):
            return None
        range_id = self._todo.popleft()
        self._attempts[range_id] += 1
        record = self._records[range_id]
        task = Task(range_id, self._attempts[range_id], record.keys, estimated_rows=record.estimated_rows)
        self._out[slot].append(task)
        return task

    def next_tasks(self, slot: int, most: int = CREDITS) -> list[Task]:
        """All that may be sent to a slot now, so that it holds no more than `most` ranges."""
        tasks: list[Task] = []
        while len(self._out[slot]) < most and (task := self.next_task(slot)) is not None:
            tasks.append(task)
        return tasks

    def release(self, slot: int, task: Task) -> None:
        """A task is no longer out."""
        self._out[slot].remove(task)

    def lost(self, slot: int, range_id: int) -> list[tuple[Task, bool]]:
        """What a worker that died had begun is no longer out: each task, and whether it was in its hand.

        That is the range which it was at, and those behind it go back as if never sent. If it is not known, it may have
        begun all of them, and the first has to bear it.
        """
        held = list(enumerate(self._out[slot]))
        known = next((place for place, task in held if task.range_id == range_id), None)
        begun = []
        for place, task in reversed(held):
            if known is not None and place > known:
                self.take_from(slot, task)
            else:
                self.release(slot, task)
                begun.append((task, place == (known or 0)))
        return begun

    def acknowledged(self, ack: Ack) -> Task | None:
        """The task that an ack is about, no longer out; None for an ack that is out of date."""
        for task in self._out[ack.slot]:
            if (task.range_id, task.attempt) == (ack.range_id, ack.attempt):
                self.release(ack.slot, task)
                return task
        return None

    def take_from(self, slot: int, task: Task) -> None:
        """A task that a slot was sent and will not do goes back, as if it had never been sent."""
        self.release(slot, task)
        self.put_back(task, was_begun=False)

    def put_back(self, task: Task, *, was_begun: bool = True) -> None:
        """A task that is no longer out is to be done next: again, or as if it had never been sent."""
        self._attempts[task.range_id] -= not was_begun
        self._todo.appendleft(task.range_id)

    def blame(self, task: Task) -> bool:
        """Hold a failure against a range. True if that was once too often."""
        self._blame[task.range_id] = self._blame.get(task.range_id, 0) + 1
        return self._blame[task.range_id] >= MOST_BLAME

    def replace(self, halves: Iterable[RangeRecord]) -> None:
        """The halves of a range that failed too often come next. One failure more halves them again:
        their parent's tries count for them, except for a single row, which gets its own."""
        for half in reversed(list(halves)):
            self._remember(half)
            if half.keys.span_keys > 1:
                self._blame[half.range_id] = MOST_BLAME - 1
            self._todo.appendleft(half.range_id)

    def _remember(self, record: RangeRecord) -> None:
        self._records[record.range_id] = record
        self._attempts[record.range_id] = record.attempts
        self._blame.pop(record.range_id, None)
