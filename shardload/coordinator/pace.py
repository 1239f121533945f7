"""How fast Redis lets a job be: found as TCP finds its rate. Pure.

It begins slowly and grows by half each second, until a PING takes half of what it may. From then on it is much less at
once when Redis is too slow, and a little more each second when it is not (additive increase, multiplicative decrease).
Source: Van Jacobson, Congestion Avoidance and Control, 1988.
"""

from __future__ import annotations

_FIRST_ROWS = 10_000.0
_LEAST_ROWS = 50.0
_GROWTH = 0.5
_DECREASE = 0.6
_INCREASE = 0.05  # of the best rate that the job has reached
_REACHED = 0.7  # of the limit: a job that is slower is not held back by it
_UNREACHED_IN_A_ROW = 3  # measurements; a limit that does nothing is taken away


class Pace:
    """One run's. `rows` is the most rows a second, 0 for any, and `why` says why."""

    def __init__(self, most_s: float | None) -> None:
        self._most_ms = (most_s or 0.0) * 1000
        self._bound = f"--max-latency {self._most_ms:g} ms"
        self._is_beginning = True
        self._best_rows = 0.0  # a second, of all measurements
        self._unreached = 0
        self.rows = _FIRST_ROWS if self._most_ms else 0.0
        self.why = f"it begins slowly, for {self._bound}" if self._most_ms else ""

    def adapt(self, slowest_ms: float | None, rows_per_second: float) -> None:
        """Take account of a measurement: the slowest PING, None if none was measured, and the job's present rate."""
        self._best_rows = max(self._best_rows, rows_per_second)
        if not self._most_ms or slowest_ms is None:
            return
        if slowest_ms > self._most_ms:
            now_rows = min(self.rows or rows_per_second, rows_per_second or self.rows)
            if now_rows:
                self.rows = max(_LEAST_ROWS, now_rows * _DECREASE)
                self.why = f"a PING takes {slowest_ms:.1f} ms, and {self._bound}"
            self._is_beginning, self._unreached = False, 0
        elif self.rows and rows_per_second:
            self._is_beginning &= slowest_ms <= self._most_ms / 2
            self._let_go_on(rows_per_second)

    def _let_go_on(self, rows_per_second: float) -> None:
        self._unreached = self._unreached + 1 if rows_per_second < _REACHED * self.rows else 0
        if self._unreached >= _UNREACHED_IN_A_ROW:
            self.rows, self.why, self._is_beginning = 0.0, "", False
        elif not self._unreached:
            more_rows = self.rows * _GROWTH if self._is_beginning else self._best_rows * _INCREASE
            self.rows += max(_LEAST_ROWS, more_rows)
