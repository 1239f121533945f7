"""From which server the machines of a fleet read: from replicas in turn, each looked at before its block."""

from __future__ import annotations

from shardload.config.urls import SourceUrl
from shardload.errors import ShardloadError, SourceBusy
from shardload.source import SourceGauge


class Reads:
    """One slot's turn through the replicas. Without replicas everybody reads from the job's own source."""

    def __init__(self, urls: tuple[SourceUrl, ...], most_lag_ms: int, first: int) -> None:
        self._gauges = [(url, SourceGauge(url)) for url in urls]
        self._most_lag_ms = most_lag_ms
        self._turn = first

    def next(self) -> tuple[str, str]:
        """The next one that is not behind: its URL, and the same with its password; empty if there are no replicas.
        SourceBusy if every one is behind, or does not answer."""
        told = []
        for _ in self._gauges:
            url, gauge = self._gauges[self._turn % len(self._gauges)]
            self._turn += 1
            try:
                lag_ms = gauge.lag_ms()
            except ShardloadError as error:
                told.append(f"{url.host}: {error.message}")
                continue
            if lag_ms is not None and lag_ms <= self._most_lag_ms:
                return str(url), url.with_password()
            told.append(f"{url.host} is {'not a replica' if lag_ms is None else f'{lag_ms:,} ms behind'}")
        if told:
            raise SourceBusy(f"no replica of --mysql-read can be read: {'; '.join(told)}")
        return "", ""
