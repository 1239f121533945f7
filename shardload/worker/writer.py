"""What a worker writes to Redis: batches are collected, sent and confirmed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from shardload.encoding import Batch, Part
from shardload.errors import TargetBusy, TargetError
from shardload.target import Kept
from shardload.worker.link import Link
from shardload.worker.settings import WorkerSettings

_NODE_BYTES = 128 * 1024
_MOST_UNSENT_BYTES = 512 * 1024
_MOST_UNSENT_PARTS = 512  # a system call sends at most 1024 (IOV_MAX)


class Writer(Link):
    """One worker's link, over which it writes."""

    def __init__(self, settings: WorkerSettings, slot: int) -> None:
        super().__init__(settings, slot)
        self._unsent: list[Part] = []
        self._unsent_bytes = 0

    def close(self) -> None:
        """Close the connections, whatever their state; what was not sent is dropped."""
        super().close()
        self._unsent, self._unsent_bytes = [], 0

    @property
    def has_unsent(self) -> bool:
        """True if batches were added that are not sent."""
        return bool(self._unsent)

    @property
    def is_full(self) -> bool:
        """True if what was added is worth being sent: to one node anything, to several so much that each gets some,
        because every node costs a system call to send and one to hear of it."""
        nodes = max(part.node for part in self._unsent) + 1 if self._unsent else 1
        wanted_bytes = min(_NODE_BYTES * nodes, _MOST_UNSENT_BYTES) if nodes > 1 else 0
        return self._unsent_bytes >= wanted_bytes or len(self._unsent) >= _MOST_UNSENT_PARTS

    def add(self, batch: Batch) -> None:
        """Take a batch; it is sent with the next `send`."""
        self._unsent += batch.parts
        self._unsent_bytes += batch.target_bytes

    def take(self) -> tuple[list[Part], int]:
        """Take out what was added, and its size in bytes; it is not sent."""
        parts, size_bytes = self._unsent, self._unsent_bytes
        self._unsent, self._unsent_bytes = [], 0
        return parts, size_bytes

    def check_lease(self) -> None:
        """TargetBusy if this machine's lease has run out: call it before anything is written."""
        if not self._settings.lease.holds:
            raise TargetBusy("the lease of this machine has run out", "the head has given the rows to others")

    def send(self) -> tuple[dict[int, int], int]:
        """Send what was added. The result: how many reply lines each node will answer, and the size in bytes.

        TargetLost if a connection breaks; TargetBusy if this machine's lease has run out.
        """
        self.check_lease()
        parts, size_bytes = self.take()
        self.target.send(parts)
        replies: dict[int, int] = {}
        for part in parts:
            replies[part.node] = replies.get(part.node, 0) + part.replies
        return replies, size_bytes

    def confirm(self, leave: Mapping[int, int], on_wait: Callable[[], None]) -> None:
        """Read replies until at most so many lines of each node are outstanding. TargetError if something was not
        written; then ask `unconfirmed`."""
        if self._target is not None:
            self._target.confirm(leave, on_wait)

    def kept_by(self, nodes: Iterable[int]) -> list[Kept]:
        """What each of these nodes kept of the oldest batch that it has confirmed and that was not asked for yet; empty
        if the job keeps nothing."""
        if self._target is None or not self._settings.form.keeps:
            return []
        return [self._target.take_kept(node) for node in nodes]

    def unconfirmed(self, error: TargetError) -> tuple[dict[int, int], int]:
        """After an error: how many reply lines of each node have not confirmed a key, and the node that it is about."""
        return self.target.unconfirmed(error), self.target.failed_node
