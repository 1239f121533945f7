"""A worker's connection to Redis, and the epoch that it belongs to."""

from __future__ import annotations

from shardload.errors import TargetBusy, TargetLost
from shardload.model.tasks import UNKNOWN_EPOCH
from shardload.target import TargetConnection, describe_server
from shardload.worker.settings import WorkerSettings


class Channel:
    """One worker's channel. `connection` is None before `connect` and after `close`; `epoch` is the newest one seen."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self.connection: TargetConnection | None = None
        self.epoch = UNKNOWN_EPOCH

    def connect(self) -> None:
        """Connect, unless there is a connection. TargetLost or TargetError if Redis cannot be reached, or refuses."""
        if self.connection is None:
            self.connection = TargetConnection(self._settings.redis, form=self._settings.form)
            self.epoch = describe_server(self.connection).epoch

    def close(self) -> None:
        """Close the connection, whatever its state."""
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def is_open(self) -> bool:
        """False if there is no connection, or if Redis has closed it. Ask only while nothing is in flight."""
        return self.connection is not None and self.connection.is_open()

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
