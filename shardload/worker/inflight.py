"""A worker's batches in flight: sent to Redis, and not confirmed yet. Pure.

Redis works while MySQL is read and rows are encoded. Several small batches are confirmed in one wait, because each wait
costs a context switch. The oldest batch comes first, and a range's batches are next to each other.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from shardload.model.counts import Counts
from shardload.model.tasks import Task

MOST_BYTES = 2 * 1024 * 1024  # if more is in flight, half of this is waited for
SLOW_S = 0.1  # a batch that was sent this long ago is waited for, so that progress shows


@dataclass(frozen=True, slots=True)
class Sent:
    """One batch. `counts` are the range's, up to the batch's end; `ended` means that it is the range's last one."""

    task: Task
    counts: Counts
    ended: bool
    replies: int
    size_bytes: int
    sent_s: float


class Inflight:
    """All batches in flight on one connection."""

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

    def replies_behind(self, count: int) -> int:
        """How many replies are outstanding when the oldest `count` batches are confirmed."""
        return sum([sent.replies for place, sent in enumerate(self._batches) if place >= count])

    def take(self, count: int) -> list[Sent]:
        """Take out the oldest `count` batches, which are confirmed."""
        taken = [self._batches.popleft() for _ in range(count)]
        self._bytes -= sum([sent.size_bytes for sent in taken])
        return taken

    def take_confirmed(self, replies: int) -> list[Sent]:
        """Take out the oldest batches that `replies` replies confirm wholly."""
        count = 0
        for sent in self._batches:
            replies -= sent.replies
            if replies < 0:
                break
            count += 1
        return self.take(count)

    def give_up(self) -> list[Task]:
        """Take out everything. Gives the ranges that were in flight, the oldest first."""
        tasks = list(dict.fromkeys(sent.task for sent in self._batches))
        self.take(len(self._batches))
        return tasks
