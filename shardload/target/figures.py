"""Measures Redis: memory, evictions, saves, and how long a PING takes, on every node."""

from __future__ import annotations

import time

from shardload.config.redisurl import TargetUrl
from shardload.errors import TargetError
from shardload.model.figures import NodeFigures
from shardload.target.connection import TargetConnection
from shardload.target.probe import parse_evicted, parse_memory, parse_upkeep
from shardload.target.target import Target, open_target

_ANSWER_WITHIN_S = 5.0
_PAUSE_S = 0.01  # between PINGs


class TargetGauge:
    """Connections that measure the target's nodes. They are made again after an error."""

    def __init__(self, url: TargetUrl) -> None:
        self._url = url
        self._target: Target | None = None

    def nodes(self, ping_s: float) -> tuple[NodeFigures, ...]:
        """Every master's figures; its latency by PINGs for so many seconds (0: not measured). TargetError if one cannot
        be asked."""
        try:
            if self._target is None:
                self._target = open_target(self._url, _ANSWER_WITHIN_S, name="shardload:gauges")
            masters = self._target.masters()
            addresses, routes = self._target.addresses, self._target.routes
            latencies = _latencies_ms([connection for _, connection in masters], ping_s)
            return tuple(
                _figures(
                    connection,
                    str(addresses[number] if addresses else self._url.addresses[0]),
                    routes.count(number) if routes is not None else 0,
                    self._url.database,
                    latency,
                )
                for (number, connection), latency in zip(masters, latencies, strict=True)
            )
        except TargetError:
            self.close()
            raise

    def close(self) -> None:
        """Close the connections."""
        if self._target is not None:
            self._target.close()
            self._target = None


def _latencies_ms(masters: list[TargetConnection], ping_s: float) -> list[float | None]:
    """Of each node the slowest PING but one: a single slow one may be this process's own."""
    if not ping_s:
        return [None] * len(masters)
    taken: list[list[float]] = [[] for _ in masters]
    end_s = time.perf_counter() + ping_s
    while time.perf_counter() < end_s or not taken[0]:
        for connection, mine in zip(masters, taken, strict=True):
            began_s = time.perf_counter()
            connection.call("PING")
            mine.append((time.perf_counter() - began_s) * 1000)
        time.sleep(_PAUSE_S)
    return [sorted(mine)[-2 if len(mine) > 1 else -1] for mine in taken]


def _figures(
    connection: TargetConnection, address: str, slots: int, database: str, latency_ms: float | None
) -> NodeFigures:
    info = connection.call("INFO").decode("utf-8", "replace")
    upkeep = parse_upkeep(info, None)
    return NodeFigures(
        parse_memory(info, address, slots, database),
        evicted_keys=parse_evicted(info),
        is_saving=upkeep.is_saving or upkeep.is_rewriting,
        latency_ms=latency_ms,
    )
