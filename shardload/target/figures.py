"""Measures Redis: memory, evictions, saves, and how long a PING takes, on every node."""

from __future__ import annotations

import time
from collections.abc import Sequence

from shardload.config.addresses import Address
from shardload.config.redisurl import TargetUrl
from shardload.errors import TargetBusy, TargetError
from shardload.model.figures import NodeFigures
from shardload.target.connection import TargetConnection
from shardload.target.probe import parse_evicted, parse_info, parse_memory, parse_upkeep
from shardload.target.target import Target, open_target
from shardload.target.topology import ask_topology

_ANSWER_WITHIN_S = 5.0
_PAUSE_S = 0.01  # between PINGs
_LOOK_EVERY_S = 5.0  # at a cluster's topology


class TargetGauge:
    """Connections that measure the target's nodes. They are made again after an error, and where others have become its
    masters."""

    def __init__(self, url: TargetUrl) -> None:
        self._url = url
        self._target: Target | None = None
        self._names: list[str] = []  # the masters' addresses
        self._known: Sequence[Address] = ()  # a cluster's nodes, for when those in the URL are gone
        self._look_s = 0.0  # when a cluster's topology is due

    def nodes(self, ping_s: float) -> tuple[NodeFigures, ...]:
        """Every master's figures; its latency by PINGs for so many seconds (0: not measured). TargetError if one cannot
        be asked, TargetBusy while one that should be a master is none."""
        try:
            target = self._opened()
            masters = target.masters()
            latencies = _latencies_ms([connection for _, connection in masters], ping_s)
            infos = [connection.call("INFO").decode("utf-8", "replace") for _, connection in masters]
            self._check_roles(target, infos)
            slots = [0 if target.routes is None else target.routes.count(number) for number, _ in masters]
            return tuple(
                _figures(info, name, count, self._url.database, latency)
                for info, name, count, latency in zip(infos, self._names, slots, latencies, strict=True)
            )
        except TargetError:
            self.close()
            raise

    def close(self) -> None:
        """Close the connections."""
        if self._target is not None:
            self._target.close()
            self._target = None

    def _opened(self) -> Target:
        """Connections to the masters as they are now, as far as it is known."""
        if self._target is not None and time.monotonic() >= self._look_s:
            self._look_s = time.monotonic() + _LOOK_EVERY_S
            if _has_moved(self._url, self._target):
                self.close()
        if self._target is None:
            self._target = open_target(self._url, _ANSWER_WITHIN_S, name="shardload:gauges", known=self._known)
            self._known = [*self._target.addresses]
            self._names = [node.address for node in self._target.describe().nodes]
            self._look_s = time.monotonic() + _LOOK_EVERY_S
        return self._target

    def _check_roles(self, target: Target, infos: Sequence[str]) -> None:
        """TargetBusy if a failover has made one a replica. A server that the URL itself names may be one."""
        if target.routes is None and self._url.kind != "sentinel":
            return
        for name, info in zip(self._names, infos, strict=True):
            if not parse_info(info, None).nodes[0].is_master:
                raise TargetBusy(f"{name} is not a master any more", "wait for the failover to end")


def _has_moved(url: TargetUrl, target: Target) -> bool:
    """True if a cluster's masters, or how many slots each has, are others than those connected to."""
    if target.routes is None:
        return False
    topology = ask_topology(url, target.addresses, _ANSWER_WITHIN_S)
    now = {address: sum(last - first + 1 for first, last in topology.slots_of(address)) for address in topology.masters}
    return now != {target.addresses[number]: target.routes.count(number) for number, _ in target.masters()}


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


def _figures(info: str, address: str, slots: int, database: str, latency_ms: float | None) -> NodeFigures:
    upkeep = parse_upkeep(info, None)
    return NodeFigures(
        parse_memory(info, address, slots, database),
        evicted_keys=parse_evicted(info),
        is_saving=upkeep.is_saving or upkeep.is_rewriting,
        latency_ms=latency_ms,
    )
