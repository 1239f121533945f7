"""The guards: from figures of both servers, should the job go on, slow down, pause or stop? Pure.

`gauges.py` measures, `sentry.py` carries out what is decided here. A pause lasts until the figures were good twice in a
row, so that a job does not flap. How fast Redis lets the job be is found as TCP finds its rate: a little more each
second, and much less at once when it is too slow (additive increase, multiplicative decrease).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from shardload.config.guards import GuardSpec, is_within
from shardload.model.figures import Figures, NodeFigures
from shardload.model.wording import size

_GOOD_IN_A_ROW = 2  # measurements before a pause ends
_LOOK_AHEAD = 1.5  # measurements: what would be used then, if memory goes on growing like this
_DECREASE = 0.6
_INCREASE = 0.05  # of the best rate that the job has reached
_LEAST_RATE_ROWS = 50.0
_LIFT = 1.2  # a limit so many times above the best rate does nothing: it is taken away


@dataclass(frozen=True)
class Verdict:
    """What is to be done. `pause` and `stop` are reasons, empty if it is not to be done; `rate_rows` is the most rows a
    second, 0 for any, and `slow` why."""

    pause: str = ""
    stop: str = ""
    rate_rows: float = 0.0
    slow: str = ""


@dataclass
class Guards:
    """The guards of one run. They keep what they have to remember between two measurements."""

    spec: GuardSpec
    _evicted_before: dict[str, int] = field(default_factory=dict)
    _used_before: dict[str, int] = field(default_factory=dict)
    _rate_rows: float = 0.0
    _best_rows: float = 0.0  # a second, of all measurements
    _pause: str = ""
    _good: int = 0
    _slow: str = ""

    def decide(self, figures: Figures | None, *, minute: int, is_held: bool, rows_per_second: float) -> Verdict:
        """The verdict on one measurement (None: there is none, or none is wanted). `minute` is the local time in
        minutes, `is_held` says that the file of --pause-while-exists is there, `rows_per_second` is the present
        rate."""
        if figures is not None:
            if stop := next(self._reasons_to_stop(figures), ""):
                return Verdict(stop=stop)
            self._adapt_rate(figures, rows_per_second)
        reason = self._reason_to_wait(minute, is_held=is_held)
        if not reason and figures is not None:
            reason = next(self._reasons_to_pause(figures), "")
        self._good = 0 if reason else self._good + 1
        if reason or self._good >= _GOOD_IN_A_ROW:
            self._pause = reason
        return Verdict(self._pause, "", self._rate_rows, self._slow)

    def _reason_to_wait(self, minute: int, *, is_held: bool) -> str:
        if is_held:
            return f"{self.spec.pause_while_exists} exists"
        if self.spec.window and not is_within(self.spec.window, minute):
            start, end = (f"{at // 60:02}:{at % 60:02}" for at in self.spec.window)
            return f"it is outside of {start}-{end}"
        return ""

    def _reasons_to_stop(self, figures: Figures) -> Iterator[str]:
        for name, most in self.spec.critical_load:
            if figures.status.get(name, 0) > most:
                yield f"MySQL's {name} is {figures.status[name]:,}, and --critical-load {most:,}"
        for node in figures.nodes:
            before = min(self._evicted_before.setdefault(node.address, node.evicted_keys), node.evicted_keys)
            self._evicted_before[node.address] = before
            if self.spec.on_eviction == "stop" and node.evicted_keys > before:
                yield f"Redis {node.address} evicts keys: {node.evicted_keys - before:,} since the job began"

    def _reasons_to_pause(self, figures: Figures) -> Iterator[str]:
        for name, most in self.spec.max_load:
            if figures.status.get(name, 0) > most:
                yield f"MySQL's {name} is {figures.status[name]:,}, and --max-load {most:,}"
        for replica, lag_ms in figures.lags_ms.items():
            if lag_ms is None:
                yield f"the lag of {replica} is not known: does it replicate?"
            elif self.spec.max_lag_millis is not None and lag_ms > self.spec.max_lag_millis:
                yield f"{replica} is {lag_ms:,} ms behind, and --max-lag-millis {self.spec.max_lag_millis:,}"
        for node in figures.nodes:
            yield from self._reasons_of(node)

    def _reasons_of(self, node: NodeFigures) -> Iterator[str]:
        most = node.most_bytes * (1 - self.spec.keep_free)
        grown_bytes = max(0, node.used_bytes - self._used_before.get(node.address, node.used_bytes))
        self._used_before[node.address] = node.used_bytes
        soon = node.used_bytes + _LOOK_AHEAD * grown_bytes
        if self.spec.keep_free and node.most_bytes and (node.used_bytes >= most or soon >= node.most_bytes):
            yield (
                f"Redis {node.address} uses {size(node.used_bytes)} of {size(node.most_bytes)}, and "
                f"--keep-free {self.spec.keep_free:.0%}: raise its maxmemory"
            )
        if node.is_saving and self.spec.while_saving == "pause":
            yield f"Redis {node.address} is saving"

    def _adapt_rate(self, figures: Figures, rows_per_second: float) -> None:
        """Find the rate at which Redis answers in time."""
        most_ms = (self.spec.max_latency or 0) * 1000
        slowest = max((node.latency_ms or 0.0 for node in figures.nodes), default=0.0)
        self._best_rows = max(self._best_rows, rows_per_second)
        if not most_ms or not self._best_rows:
            return
        if slowest > most_ms:
            self._slow = f"a PING takes {slowest:.1f} ms, and --max-latency {most_ms:g} ms"
            now = min(self._rate_rows, max(rows_per_second, _LEAST_RATE_ROWS)) if self._rate_rows else rows_per_second
            self._rate_rows = max(_LEAST_RATE_ROWS, now * _DECREASE)
        elif self._rate_rows:
            self._rate_rows += max(_LEAST_RATE_ROWS, self._best_rows * _INCREASE)
            if self._rate_rows > _LIFT * self._best_rows:
                self._rate_rows, self._slow = 0.0, ""
