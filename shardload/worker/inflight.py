"""A worker's batches in flight: sent to the target's nodes, and not confirmed by all of them yet. Pure.

Redis works while MySQL is read and rows are encoded. Several small batches are confirmed in one wait, because each wait
costs a context switch. The oldest batch comes first, and a range's batches are next to each other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from shardload.model.counts import Counts
from shardload.model.tasks import Task

MOST_BYTES = 2 * 1024 * 1024  # if more is in flight, half of this is waited for
SLOW_S = 0.1  # a batch that was sent this long ago is waited for, so that progress shows


@dataclass(frozen=True, slots=True)
class Sent:
    """One batch. `counts` are the range's, up to the batch's end; `ended` means that it is the range's last one.

    `replies` are the lines that each node will answer. `epoch` is the target's when the range was begun.
    """

    task: Task
    counts: Counts
    ended: bool
    replies: Mapping[int, int]
    size_bytes: int
    sent_s: float
    epoch: int


class Inflight:
    """All batches of one worker that are in flight. Their size is bounded, however many nodes there are."""

    def __init__(self) -> None:
        self._batches: deque[Sent] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._batches)

    def add(self, sent: Sent) -> None:
        """Add a batch that was just sent."""
        self._batches.append(sent)
        self._bytes += sent.size_bytes

    def due(self, now_s: float) -> int:
        """How many of the oldest batches to wait for before more is sent. Never the newest one: it keeps Redis busy."""
        oldest = self._batches[0]
        if self._bytes <= MOST_BYTES and now_s - oldest.sent_s < SLOW_S:
            return 0
        left_bytes, count = self._bytes, 0
        for sent in self._batches:
            if count == len(self._batches) - 1 or (left_bytes <= MOST_BYTES // 2 and now_s - sent.sent_s < SLOW_S):
                break
            left_bytes -= sent.size_bytes
            count += 1
        return count

    def replies_behind(self, count: int) -> dict[int, int]:
        """How many replies of each node are outstanding when the oldest `count` batches are confirmed."""
        behind: dict[int, int] = {}
        for place, sent in enumerate(self._batches):
            if place >= count:
                for node, replies in sent.replies.items():
                    behind[node] = behind.get(node, 0) + replies
        return behind

    def take(self, count: int) -> list[Sent]:
        """Take out the oldest `count` batches, which are confirmed."""
        taken = [self._batches.popleft() for _ in range(count)]
        self._bytes -= sum([sent.size_bytes for sent in taken])
        return taken

    def take_confirmed(self, unconfirmed: Mapping[int, int]) -> list[Sent]:
        """Take out the oldest batches that are wholly confirmed, if so many replies of each node are not."""
        left = self.replies_behind(0)
        count = 0
        for sent in self._batches:
            for node, replies in sent.replies.items():
                left[node] -= replies
            if any(unconfirmed.get(node, 0) > left[node] for node in sent.replies):
                break
            count += 1
        return self.take(count)

    def first_unconfirmed(self, unconfirmed: Mapping[int, int], node: int) -> Task | None:
        """The range whose batch is the first that this node did not confirm wholly; the oldest range if there is none.
        None if nothing is in flight."""
        left = self.replies_behind(0).get(node, 0)
        for sent in self._batches:
            left -= sent.replies.get(node, 0)
            if node in sent.replies and unconfirmed.get(node, 0) > left:
                return sent.task
        return self._batches[0].task if self._batches else None

    def give_up(self) -> list[Task]:
        """Take out everything. Gives the ranges that were in flight, the oldest first."""
        tasks = list(dict.fromkeys(sent.task for sent in self._batches))
        self.take(len(self._batches))
        return tasks
