"""A worker's connection to Redis, and which epoch of Redis is at its other end."""

from __future__ import annotations

from shardload.errors import TargetBusy, TargetLost
from shardload.model.tasks import UNKNOWN_EPOCH
from shardload.target import TargetConnection, describe_server
from shardload.worker.settings import WorkerSettings


class Channel:
    """One worker's. `connection` is None before `connect` and after `close`; `epoch` is the newest one seen."""

    def __init__(self, work: WorkerSettings) -> None:
        self._settings = work
        self.connection: TargetConnection | None = None
        self.epoch = 0

    def connect(self) -> None:
        """TargetLost or TargetError if Redis cannot be reached, or refuses."""
        if self.connection is None:
            self.connection = TargetConnection(self._settings.redis, form=self._settings.form)
            self.epoch = describe_server(self.connection).epoch

    def close(self) -> None:
        """Let go of the connection, whatever its state."""
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def is_open(self) -> bool:
        """False if there is no connection, or if Redis has closed it. For one with nothing in flight."""
        return self.connection is not None and self.connection.is_open()

    def renew(self, *, has_written: bool) -> None:
        """A new connection, if Redis has closed this one, which was idle too long for it. TargetBusy if it cannot be
        had now, or if the range in hand `has_written` keys that may not be where the new one leads."""
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
