"""A worker's connections to Redis: it writes batches, and knows which epoch they belong to."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence

from shardload.config.addresses import Address
from shardload.encoding import Batch, Part
from shardload.errors import TargetBusy, TargetError, TargetLost
from shardload.model.tasks import UNKNOWN_EPOCH
from shardload.target import Kept, Target, open_target
from shardload.worker.settings import WorkerSettings

_NODE_BYTES = 128 * 1024
_MOST_UNSENT_BYTES = 512 * 1024
_MOST_UNSENT_PARTS = 512  # a system call sends at most 1024 (IOV_MAX)


class Writer:
    """One worker's writer, which connects again and again. `epoch` is that of the newest connections."""

    def __init__(self, settings: WorkerSettings, name: str) -> None:
        self._settings = settings
        self._name = name
        self._target: Target | None = None
        self._epoch = UNKNOWN_EPOCH
        self._known: Sequence[Address] = settings.known_nodes  # so that numbers stay when it connects again
        self._unsent: list[Part] = []
        self._unsent_bytes = 0

    @property
    def is_connected(self) -> bool:
        """True between `connect` and `close`."""
        return self._target is not None

    @property
    def epoch(self) -> int:
        """The target's, as the newest connections saw it."""
        if self._target is not None:
            self._epoch = self._target.epoch
        return self._epoch

    @property
    def routes(self) -> array[int] | None:
        """Each slot's node, for the encoder; None if there is one node."""
        return self._target.routes if self._target is not None else None

    def connect(self) -> None:
        """Connect, unless that was done. TargetLost or TargetError if Redis cannot be reached, or refuses."""
        if self._target is None:
            settings = self._settings
            self._target = open_target(settings.redis, form=settings.form, name=self._name, known=self._known)
            self._known = self._target.addresses

    def close(self) -> None:
        """Close the connections, whatever their state."""
        if self._target is not None:
            self._epoch = self._target.epoch
            self._known = self._target.addresses
            self._target.close()
        self._target = None
        self._unsent, self._unsent_bytes = [], 0

    def is_open(self) -> bool:
        """False if there is no connection, or if Redis has closed it. Ask only while nothing is in flight."""
        return self._target is not None and self._target.is_open()

    def renew(self, *, has_written: bool) -> None:
        """Connect again if Redis has closed the connection because it was idle for too long.

        TargetBusy if that fails, or if the current range `has_written` keys and the new connection may lead to a Redis
        that does not have them.
        """
        if self.is_open():
            return
        epoch = self.epoch
        self.close()
        try:
            self.connect()
        except TargetLost as error:
            raise TargetBusy(error.message, error.hint) from error
        if self.epoch != epoch or (has_written and epoch == UNKNOWN_EPOCH):
            raise TargetBusy("Redis was perhaps restarted while a worker waited for the rate limit")

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

    def send(self) -> tuple[dict[int, int], int]:
        """Send what was added. The result: how many reply lines each node will answer, and the size in bytes.

        TargetLost if a connection breaks.
        """
        assert self._target is not None
        parts, size_bytes = self._unsent, self._unsent_bytes
        self._unsent, self._unsent_bytes = [], 0
        self._target.send(parts)
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
        assert self._target is not None
        return self._target.unconfirmed(error), self._target.failed_node
