"""Measures Redis: memory, evictions, saves, and how long a PING takes, on every node."""

from __future__ import annotations

import time

from shardload.config.redisurl import TargetUrl
from shardload.errors import TargetError
from shardload.model.figures import NodeFigures
from shardload.target.connection import TargetConnection
from shardload.target.target import Target, open_target

_ANSWER_WITHIN_S = 5.0
_SAVES = ("rdb_bgsave_in_progress", "aof_rewrite_in_progress")


class TargetGauge:
    """Connections that measure the target's nodes. They are made again after an error."""

    def __init__(self, url: TargetUrl) -> None:
        self._url = url
        self._target: Target | None = None

    def nodes(self, *, pings: int, pause_s: float) -> tuple[NodeFigures, ...]:
        """Every master's figures; its latency by so many PINGs with a pause behind each (none: not measured).
        TargetError if one cannot be asked."""
        try:
            if self._target is None:
                self._target = open_target(self._url, _ANSWER_WITHIN_S, name="shardload:gauges")
            masters = [connection for _, connection in self._target.masters()]
            addresses = [str(address) for address in self._target.addresses] or [str(self._url.addresses[0])]
            latencies = _latencies_ms(masters, pings, pause_s)
            return tuple(
                _figures(connection, address, latency)
                for connection, address, latency in zip(masters, addresses, latencies, strict=False)
            )
        except TargetError:
            self.close()
            raise

    def close(self) -> None:
        """Close the connections."""
        if self._target is not None:
            self._target.close()
            self._target = None


def _latencies_ms(masters: list[TargetConnection], pings: int, pause_s: float) -> list[float | None]:
    """Of each node the slowest PING but one: a single slow one may be this process's own."""
    if not pings:
        return [None] * len(masters)
    taken: list[list[float]] = [[] for _ in masters]
    for _ in range(pings):
        for connection, mine in zip(masters, taken, strict=True):
            began_s = time.perf_counter()
            connection.call("PING")
            mine.append((time.perf_counter() - began_s) * 1000)
        time.sleep(pause_s)
    return [sorted(mine)[-2 if len(mine) > 1 else -1] for mine in taken]


def _figures(connection: TargetConnection, address: str, latency_ms: float | None) -> NodeFigures:
    text = connection.call("INFO").decode("utf-8", "replace")
    facts = dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)

    def number(name: str) -> int:
        told = facts.get(name, "")
        return int(told) if told.isdigit() else 0

    return NodeFigures(
        address,
        used_bytes=max(0, number("used_memory") - number("mem_not_counted_for_evict")),
        most_bytes=number("maxmemory"),
        evicted_keys=number("evicted_keys"),
        is_saving=any(number(name) for name in _SAVES),
        latency_ms=latency_ms,
    )
