"""A worker's connections to both servers. They are kept from range to range, and made again when one is lost."""

from __future__ import annotations

import time

from shardload.ipc import Phase
from shardload.model.tasks import Task
from shardload.worker.link import Link
from shardload.worker.reader import Cut, Reader
from shardload.worker.session import Session

_RECONNECT_AFTER_S = 60.0  # a connection that was idle for so long may be closed by its server: take a new one


class Connections:
    """Both ends of one worker's work: what it reads, and the target. The coordinator is told when both are reached for
    the first time: this worker is up."""

    def __init__(self, session: Session, reader: Reader, link: Link) -> None:
        self._session = session
        self._reader = reader
        self._link = link
        self._is_up = False

    @property
    def are_open(self) -> bool:
        """True if there are connections to both servers."""
        return self._reader.is_connected and self._link.is_connected

    def open(self) -> None:
        """Connect to whatever there is no connection to. SourceLost, TargetLost or another ShardloadError if that
        fails."""
        if self.are_open:
            return
        self._session.beat(Phase.CONNECTING)
        if not self._reader.is_connected:
            self._reader.connect()
        self._link.connect()
        if not self._is_up:
            self._is_up = True
            self._session.beat(Phase.READING)
            self._session.ring()

    @property
    def are_stale(self) -> bool:
        """True if one was closed by its server, or may be soon. Ask only while nothing is in flight."""
        is_old = time.monotonic() - self._session.idle_since_s > _RECONNECT_AFTER_S
        return is_old or not self._link.is_open() or not self._reader.is_alive()

    def cut(self, task: Task) -> Cut:
        """Cut one range. SourceLost or SourceError if MySQL cannot say where. Nothing may be in flight."""
        self._session.beat(Phase.READING)
        if not self._reader.is_alive():
            self.close()
            self._reader.connect()
        return self._reader.cut(task)

    def close(self) -> None:
        """Close both, whatever their state."""
        self._reader.close()
        self._link.close()
