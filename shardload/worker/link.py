"""A worker's connections to Redis, which are made again and again, and which epoch they belong to."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from shardload.config.addresses import Address
from shardload.errors import TargetBusy, TargetLost
from shardload.model.tasks import UNKNOWN_EPOCH
from shardload.target import Target, open_target
from shardload.worker.settings import WorkerSettings


class Link:
    """One worker's link. `epoch` is that of the newest connections; `name` is what CLIENT LIST shows."""

    def __init__(self, settings: WorkerSettings, slot: int) -> None:
        self._settings = settings
        self._name = f"shardload:{settings.directory.name}:{slot}"
        self._target: Target | None = None
        self._epoch = UNKNOWN_EPOCH
        self._known: Sequence[Address] = settings.known_nodes  # so that numbers stay when it connects again

    @property
    def target(self) -> Target:
        """What it leads to, between `connect` and `close`."""
        assert self._target is not None
        return self._target

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
