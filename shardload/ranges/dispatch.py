"""Which slot holds which range: credits, returns, blame, what has to be cut. It decides; the coordinator sends.

A slot holds at most two ranges, one in hand and one waiting; a machine's slot holds a block, and what waits for
the next one. Near the end no range waits behind another while a worker could begin it at once, and blocks shrink.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from shardload.model.keys import RangeRecord
from shardload.model.limits import CREDITS
from shardload.model.tasks import HALVES, Ack, Assignment, Task
from shardload.ranges.split import MOST_PARTS

MOST_BLAME = 3  # failures of its own before a range is halved, or a single row set aside
_LEAST_BLOCK = 6  # ranges; a larger one has three quarters of a slot's share of what is left
MOST_TIMES = 4  # ranges of up to so many times the wanted rows are loaded as they are; larger ones are cut first


class Dispatcher:
    """Ranges to do, ranges that are out, and how often each was to blame for a failure. `range_rows` is about how many
    rows a range should have, `credits_` how many ranges a slot may hold."""

    def __init__(self, records: Iterable[RangeRecord], slots: int, range_rows: int, credits_: int = CREDITS) -> None:
        self._range_rows = range_rows
        self.credits = credits_
        self._to_halve: set[int] = set()
        self._uncut: set[int] = set()  # ranges that estimates do not cut, however large they are
        self._whole: set[int] = set()  # ranges that cannot be halved either
        self._records: dict[int, RangeRecord] = {}
        self._attempts: dict[int, int] = {}
        self._blame: dict[int, int] = {}
        self._todo: deque[int] = deque()
        self._out: list[list[Task]] = [[] for _ in range(slots)]
        self.slots_in_use = slots
        """How many slots get work. If fewer ranges than that are left, no slot gets a second one."""
        self.add(records)

    def add(self, records: Iterable[RangeRecord]) -> None:
        """Append ranges to those that are to do."""
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
        """The ranges that a slot holds, in the order in which they were sent."""
        return list(self._out[slot])

    def next_task(self, slot: int) -> Task | None:
        """Take the task that is to be sent to a slot now; it is out from here on. None if the slot has no credit, or if
        there is nothing for it."""
        held, left = len(self._out[slot]), len(self._todo)
        share = left // self.slots_in_use
        most = min(self.credits, 1 + share if self.credits == CREDITS else max(_LEAST_BLOCK, share * 3 // 4))
        if not left or held >= most:
            return None
        range_id = self._todo.popleft()
        self._attempts[range_id] += 1
        record = self._records[range_id]
        rows = record.estimated_rows
        task = Task(range_id, self._attempts[range_id], record.keys, estimated_rows=rows, parts=self._parts_of(record))
        self._out[slot].append(task)
        return task

    def _parts_of(self, record: RangeRecord) -> int:
        """Into how many parts a range has to be cut; 0 if it can be loaded."""
        if record.range_id in self._to_halve:
            return HALVES
        is_large = record.estimated_rows > MOST_TIMES * self._range_rows and record.range_id not in self._uncut
        return min(MOST_PARTS, record.estimated_rows // self._range_rows) if is_large else 0

    def next_tasks(self, slot: int, most: int = CREDITS) -> list[Task]:
        """All that may be sent to a slot now, so that it holds no more than `most` ranges."""
        tasks: list[Task] = []
        while len(self._out[slot]) < most and (task := self.next_task(slot)) is not None:
            tasks.append(task)
        return tasks

    def release(self, slot: int, task: Task) -> None:
        """Take a task out of what the slot holds."""
        self._out[slot].remove(task)

    def return_from_dead_worker(self, slot: int, range_id: int) -> list[tuple[Task, bool]]:
        """Take from a slot what its dead worker held. The result: each task that it had begun, and whether that was its
        current range (`range_id`).

        Ranges behind the current one were not begun: they are to do again, as if they had never been sent. If the
        current range is not known, the worker may have begun all of them, and the first one counts as current.
        """
        held = list(enumerate(self._out[slot]))
        known = next((place for place, task in held if task.range_id == range_id), None)
        begun = []
        for place, task in reversed(held):
            if known is not None and place > known:
                self.take_back(slot, task)
            else:
                self.release(slot, task)
                begun.append((task, place == (known or 0)))
        return begun

    def acknowledged(self, ack: Ack) -> Task | None:
        """Take from its slot the task that an ack is about. None for an ack that is out of date."""
        for task in self._out[ack.slot]:
            if (task.range_id, task.attempt) == (ack.range_id, ack.attempt):
                self.release(ack.slot, task)
                return task
        return None

    def taken_back(self, slot: int, assignment: Assignment) -> None:
        """Take back what the slot has not received, if it holds it: it is to do, as if it had never been sent."""
        for task in self._out[slot]:
            if task.assignment == assignment:
                self.take_back(slot, task)
                return

    def take_back(self, slot: int, task: Task) -> None:
        """Take back a task that the slot did not begin: it is to do, as if it had never been sent."""
        self.release(slot, task)
        self.put_back(task, was_begun=False)

    def put_back(self, task: Task, *, was_begun: bool = True) -> None:
        """Make a task that is no longer out the next to do. If it was not begun, this attempt does not count."""
        self._attempts[task.range_id] -= not was_begun
        self._todo.appendleft(task.range_id)

    def blame(self, task: Task) -> bool:
        """Note that a range was to blame for a failure. True if it was so MOST_BLAME times."""
        self._blame[task.range_id] = self._blame.get(task.range_id, 0) + 1
        return self._blame[task.range_id] >= MOST_BLAME

    def is_whole(self, task: Task) -> bool:
        """True if it is known that the range cannot be halved."""
        return task.range_id in self._whole

    def halve(self, task: Task) -> None:
        """Make it the next to do to cut this range in halves, which takes its blame away."""
        self._blame.pop(task.range_id, None)
        self._to_halve.add(task.range_id)
        self.put_back(task)

    def note_whole(self, task: Task) -> None:
        """Note that a range cannot be cut as the task asked, and make it the next to do: it is loaded as it is. To have
        looked was no attempt. One that is only too large may still be halved if it fails."""
        self._blame.pop(task.range_id, None)
        self._to_halve.discard(task.range_id)
        self._uncut.add(task.range_id)
        if task.parts == HALVES:
            self._whole.add(task.range_id)
        self.put_back(task, was_begun=False)

    def replace(self, task: Task, parts: Iterable[RangeRecord]) -> None:
        """Make the parts of a range that was cut the next to do.

        A half is halved again after one more failure, because its parent's failures count for it.
        """
        for part in reversed(list(parts)):
            self._remember(part)
            if task.parts == HALVES:
                self._blame[part.range_id] = MOST_BLAME - 1
            self._todo.appendleft(part.range_id)

    def _remember(self, record: RangeRecord) -> None:
        self._records[record.range_id] = record
        self._attempts[record.range_id] = record.attempts
        self._blame.pop(record.range_id, None)
