"""The guards: from figures of both servers, should the job go on, slow down, pause or stop? Pure.

`gauges.py` measures, `sentry.py` carries out what is decided here. A pause for a figure lasts until the figures were
good twice in a row, so that a job does not flap; without new figures it goes on. One for the file or the clock ends
with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from shardload.config.guards import GuardSpec, is_within
from shardload.coordinator.forecast import Forecast
from shardload.coordinator.pace import Pace
from shardload.model.figures import Figures, NodeFigures
from shardload.model.wording import size

_GOOD_IN_A_ROW = 2  # measurements before a pause ends


@dataclass(frozen=True)
class Verdict:
    """What is to be done. `pause` and `stop` are reasons, empty if it is not to be done; `rate_rows` is the most rows a
    second, 0 for any, and `slow` why. `troubles` are to be told."""

    pause: str = ""
    stop: str = ""
    rate_rows: float = 0.0
    slow: str = ""
    troubles: tuple[str, ...] = ()


@dataclass
class Guards:
    """The guards of one run. They keep what they have to remember between two measurements."""

    spec: GuardSpec
    _evicted_before: dict[str, int] = field(default_factory=dict)
    _forecast: Forecast = field(default_factory=Forecast)
    _pause: str = ""  # why the figures make the job wait
    _good: int = 0  # measurements in a row

    def __post_init__(self) -> None:
        self._pace = Pace(self.spec.max_latency)

    def first(self) -> Verdict:
        """What is to be done before anything was measured."""
        return Verdict(rate_rows=self._pace.rows, slow=self._pace.why)

    def decide(
        self, figures: Figures | None, *, minute: int, is_held: bool, rows_per_second: float, share: float
    ) -> Verdict:
        """The verdict on one measurement. None: there is no new one; then only clock and file are looked at, and what
        the last figures said holds. `minute` is the local time in minutes, `is_held` says that the file of
        --pause-while-exists is there, `rows_per_second` is the rate since the last measurement, `share` (0 to 1) of
        the job is done."""
        troubles: tuple[str, ...] = ()
        if figures is not None:
            if stop := next(self._reasons_to_stop(figures), ""):
                return Verdict(stop=stop)
            latencies = [node.latency_ms for node in figures.nodes if node.latency_ms is not None]
            self._pace.adapt(max(latencies, default=None), rows_per_second)
            troubles = (*figures.troubles, *self._forecast.troubles(figures.nodes, share))
            self._judge(figures)
        pause = self._reason_to_wait(minute, is_held=is_held) or self._pause
        return Verdict(pause, "", self._pace.rows, self._pace.why, troubles)

    def _judge(self, figures: Figures) -> None:
        """Begin or end the pause for a figure. Every figure is looked at, because some are compared with the next; a
        server that does not answer says neither good nor bad."""
        reason = ([*self._reasons_to_pause(figures)] or [""])[0]
        if not reason and not figures.is_whole:
            return
        self._good = 0 if reason else self._good + 1
        if reason or self._good >= _GOOD_IN_A_ROW:
            self._pause = reason

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
        used_bytes, most = node.memory.used_bytes, node.most_bytes * (1 - self.spec.keep_free)
        soon_bytes = self._forecast.soon_bytes(node)
        may_evict = ", or resume with --keep-free off" if self.spec.on_eviction == "ignore" else ""
        if self.spec.keep_free and node.most_bytes and (used_bytes >= most or soon_bytes >= node.most_bytes):
            yield (
                f"Redis {node.address} uses {size(used_bytes)} of {size(node.most_bytes)}, and "
                f"--keep-free {self.spec.keep_free:.0%}: raise its maxmemory{may_evict}"
            )
        if node.is_saving and self.spec.while_saving == "pause":
            yield f"Redis {node.address} is saving"
