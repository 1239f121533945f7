"""Carries out what the guards decide: it slows the workers down, pauses the job, or stops it, and tells why."""

from __future__ import annotations

import time
from collections.abc import Callable

from shardload.coordinator.context import Context
from shardload.coordinator.controls import Controls
from shardload.coordinator.gauges import EVERY_S
from shardload.coordinator.guards import Guards, Verdict
from shardload.errors import GaveUp
from shardload.reporting.progress import Progress


class Sentry:
    """One run's. `progress` gives the job's at the moment."""

    def __init__(self, context: Context, controls: Controls, progress: Callable[[], Progress]) -> None:
        self._gauges = context.gauges
        self._guards = Guards(self._gauges.guards)
        self._controls = controls
        self._progress = progress
        self._note = context.note_event
        self._looks_around = bool(self._guards.spec.pause_while_exists or self._guards.spec.window)
        self._next_look_s = 0.0
        self._last = (0.0, 0)  # when figures came last, and how many rows were read then
        first = self._guards.first()
        self._rate_rows = first.rate_rows
        self._is_slowed = False
        self._told: set[str] = set()
        controls.set_guard_rate(int(first.rate_rows), first.slow)

    def due_s(self) -> float | None:
        """The monotonic time at which there is something to do without a measurement; None: never."""
        due = [at_s for at_s in (self._gauges.due_s(),) if at_s is not None]
        if self._looks_around:
            due.append(self._next_look_s)
        return min(due, default=None)

    def look(self, now_s: float) -> None:
        """Decide, if there is a new measurement, or if it is time to look at file and clock. GaveUp if the job has to
        stop."""
        figures = self._gauges.newest(now_s)
        is_time = self._looks_around and now_s >= self._next_look_s
        if figures is None and not is_time:
            return
        self._next_look_s = now_s + EVERY_S
        spec, local = self._guards.spec, time.localtime()
        is_held = spec.pause_while_exists is not None and spec.pause_while_exists.exists()
        progress = self._progress()
        verdict = self._guards.decide(
            figures,
            minute=60 * local.tm_hour + local.tm_min,
            is_held=is_held,
            rows_per_second=0.0 if figures is None else self._measured_rate(now_s, progress.rows),
            share=progress.share,
        )
        self._carry_out(verdict)

    def tend(self, now_s: float) -> None:
        """Have somebody measure. The workers are started before."""
        self._gauges.tend(now_s)

    def _carry_out(self, verdict: Verdict) -> None:
        if verdict.stop:
            raise GaveUp(f"a guard stopped the job: {verdict.stop}", "when that is better, resume the job")
        before = self._controls.held_for
        self._controls.hold(verdict.pause)
        if bool(verdict.pause) != bool(before):
            self._note(f"paused: {verdict.pause}" if verdict.pause else f"goes on: it was paused because {before}")
        self._set_rate(verdict)
        for trouble in verdict.troubles:
            self._say_once(trouble)

    def _set_rate(self, verdict: Verdict) -> None:
        is_lower = bool(verdict.rate_rows) and (not self._rate_rows or verdict.rate_rows < self._rate_rows)
        if verdict.rate_rows and is_lower and not self._is_slowed:
            self._note(f"slowed down: {verdict.slow}")
            self._is_slowed = True
        elif not verdict.rate_rows and self._is_slowed:
            self._note("not slowed down any more")
            self._is_slowed = False
        if verdict.rate_rows != self._rate_rows:
            self._rate_rows = verdict.rate_rows
            self._controls.set_guard_rate(int(verdict.rate_rows), verdict.slow)

    def _measured_rate(self, now_s: float, rows: int) -> float:
        then_s, then_rows = self._last
        self._last = (now_s, rows)
        return (rows - then_rows) / (now_s - then_s) if then_s and now_s > then_s else 0.0

    def _say_once(self, trouble: str) -> None:
        if trouble not in self._told and len(self._told) < 20:
            self._told.add(trouble)
            self._note(trouble)
