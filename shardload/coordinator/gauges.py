"""Measures both servers beside the loop, once a second: one child with connections of its own.

The coordinator's loop waits for no server, so a child asks; each measurement is a line in a pipe. A child that dies is
replaced, and so is one that says nothing for long. If there is nothing to measure it leaves; not where there was
something before, because the job may be paused for it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass

from shardload.config.guards import GuardSpec
from shardload.config.urls import SourceUrl, TargetUrl
from shardload.errors import NoProcess, ShardloadError, SourceLost, TargetLost
from shardload.model.figures import Figures, NodeFigures
from shardload.source import SourceGauge
from shardload.target import TargetGauge

EVERY_S = 1.0
SILENT_S = 20.0  # a child that says nothing for so long is replaced: its own time-outs end sooner
_PING_S = 0.5  # of each measurement
_ASIDE = "this guard steps aside"


@dataclass(frozen=True)
class Measured:
    """What is measured: the settings, and the servers."""

    guards: GuardSpec
    mysql: SourceUrl
    replicas: tuple[SourceUrl, ...]
    redis: TargetUrl


class Gauges:
    """The child and its pipe. `fork` makes a child with the one descriptor that it keeps, and `end` ends it."""

    def __init__(
        self, measured: Measured, fork: Callable[[Callable[[], int], int], int], end: Callable[[int], None]
    ) -> None:
        self._measured = measured
        self._fork = fork
        self._end = end
        self._pid = 0
        self._heard_s = 0.0
        self._heard = b""
        spec = measured.guards
        self._had_limit = False  # some node had a maxmemory
        self._is_wanted = spec.reads_redis or spec.reads_mysql or bool(spec.replica)
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)
        os.set_blocking(self._writing, False)

    @property
    def guards(self) -> GuardSpec:
        """The settings."""
        return self._measured.guards

    def fileno(self) -> int:
        """Readable when there is a measurement."""
        return self._reading

    def descriptors(self) -> tuple[int, ...]:
        """What workers have to close."""
        return self._reading, self._writing

    def due_s(self) -> float | None:
        """The monotonic time at which a child is to be started or replaced; None: never."""
        return self._heard_s + SILENT_S if self._is_wanted else None

    def tend(self, now_s: float) -> None:
        """Start the child, or replace one that says nothing. Does nothing if the system refuses a process."""
        if not self._is_wanted or now_s < self._heard_s + SILENT_S:
            return
        self._end_child()
        with suppress(NoProcess):
            self._pid = self._fork(self._measure_and_tell, self._writing)
        self._heard_s = now_s

    def newest(self, now_s: float) -> Figures | None:
        """The last measurement since the last call; None if there is none."""
        with suppress(BlockingIOError):
            while True:
                self._heard += os.read(self._reading, 65536)
        *lines, self._heard = self._heard.split(b"\n")
        if not lines:
            return None
        self._heard_s = now_s
        told = json.loads(lines[-1])
        if told is None:
            self._is_wanted = False
            self._end_child()
            return None
        figures = Figures.from_json(told)
        self._had_limit |= any(node.most_bytes for node in figures.nodes)
        return figures

    def close(self) -> None:
        """Kill the child, and close the pipe."""
        self._end_child()
        os.close(self._reading)
        os.close(self._writing)

    def _end_child(self) -> None:
        if self._pid:
            self._end(self._pid)
            self._pid = 0

    def _measure_and_tell(self) -> int:
        """The child: measure, and tell, until the coordinator is gone."""
        parent = os.getppid()
        measuring = Measuring(self._measured, had_limit=self._had_limit)
        while os.getppid() == parent:
            began_s = time.monotonic()
            figures = measuring.measure()
            line = json.dumps(None if figures is None else asdict(figures)).encode() + b"\n"
            with suppress(BlockingIOError):  # the coordinator is stopped: the next measurement is as good
                os.write(self._writing, line)
            if figures is None:
                return 0
            time.sleep(max(0.0, EVERY_S - (time.monotonic() - began_s)))
        return 0


class Measuring:
    """What the child has: a connection to each server."""

    def __init__(self, measured: Measured, *, had_limit: bool = False) -> None:
        self._had_limit = had_limit
        self._spec = measured.guards
        self._mysql = SourceGauge(measured.mysql)
        self._replicas = {url.place: SourceGauge(url) for url in measured.replicas}
        self._redis = TargetGauge(measured.redis)
        self._names = [name for name, _ in (*self._spec.max_load, *self._spec.critical_load)]
        self._knows_redis = not self._spec.reads_redis
        self._troubles: list[str] = []
        self._is_whole = True

    def measure(self) -> Figures | None:
        """One measurement; None if there is nothing to measure, and never was."""
        self._troubles, self._is_whole = [], True
        status = self._status()
        lags = {name: self._lag(gauge) for name, gauge in self._replicas.items()}
        nodes = self._nodes()
        is_asked = self._names or self._replicas or self._spec.always_reads_redis or not self._knows_redis
        self._had_limit |= any(node.most_bytes for node in nodes)
        if not is_asked and not self._had_limit:
            return None
        return Figures(status, lags, nodes, tuple(self._troubles), self._is_whole)

    def _status(self) -> dict[str, int]:
        try:
            found = self._mysql.status(self._names) if self._names else {}
        except ShardloadError as error:
            self._note("MySQL's load is not known", error)
            return {}
        numbers = {name: int(text) for name, text in found.items() if text.isascii() and text.isdigit()}
        for name in dict.fromkeys(self._names):
            if name not in found:
                self._troubles.append(f"MySQL has no status variable {name}; {_ASIDE}")
            elif name not in numbers:
                self._troubles.append(f"MySQL's {name} is no whole number; {_ASIDE}")
        return numbers

    def _lag(self, gauge: SourceGauge) -> int | None:
        try:
            return gauge.lag_ms()
        except ShardloadError as error:
            self._troubles.append(f"a replica's lag is not known: {error}; the job waits until it is")
            return None

    def _nodes(self) -> tuple[NodeFigures, ...]:
        if not self._spec.reads_redis:
            return ()
        try:
            found = self._redis.nodes(_PING_S if self._spec.max_latency else 0.0)
        except ShardloadError as error:
            self._note("Redis is not measured", error)
            return ()
        self._knows_redis = True
        return found

    def _note(self, what: str, error: ShardloadError) -> None:
        """One that refuses will not say it later either; of one that does not answer now nobody knows that all is
        well."""
        is_lost = isinstance(error, (SourceLost, TargetLost))
        self._is_whole &= not is_lost
        self._troubles.append(f"{what}: {error}; {'until it is, no pause ends' if is_lost else _ASIDE}")
