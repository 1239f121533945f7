"""How a worker keeps to the rate limit that all workers share: how much it reads at once, and when it may send that."""

from __future__ import annotations

import time
from collections.abc import Callable

from shardload.ipc import Board

_PIECE_S = 0.01  # no more is read at once than may be sent in this time: others wait while Redis takes it
_LONG_S = 0.5  # the shortest `timeout` that Redis can have is a second
_LONGEST_NAP_S = 0.5  # after each nap the worker shows that it is alive, and looks whether it was asked to stop


class Throttle:
    """One worker's throttle.

    While it waits it calls `beat`, and it stops waiting when `must_stop()` is true. It calls `settle` before a long
    wait and `renew` after it, because a server may close a connection that is idle for so long.
    """

    def __init__(
        self,
        board: Board,
        *,
        beat: Callable[[], None],
        must_stop: Callable[[], bool],
        settle: Callable[[], None],
        renew: Callable[[], None],
    ) -> None:
        self._board = board
        self._beat = beat
        self._must_stop = must_stop
        self._settle = settle
        self._renew = renew
        self._row_bytes = 100.0  # of the source, a mean of what was seen

    @property
    def is_limiting(self) -> bool:
        """True if there is a rate limit: then rows are sent as they are allowed."""
        return bool(self._board.rate())

    def piece_bytes(self) -> int | None:
        """How many bytes to read at once, so that a few rows are sent at a time; None without a rate limit."""
        rate_rows = self._board.rate()
        return max(1, int(rate_rows * _PIECE_S * self._row_bytes)) if rate_rows else None

    def hold_back(self, rows: int, source_bytes: int) -> None:
        """Wait until the rate limit allows these rows, until the limit is lifted, or until this worker must stop."""
        if rows:
            self._row_bytes = source_bytes / rows
        owed_s = self._board.take_tokens(rows, time.monotonic()) if self._board.rate() else 0.0
        if owed_s > _LONG_S:
            self._settle()
        self._wait(owed_s)
        if owed_s > _LONG_S:
            self._renew()

    def _wait(self, left_s: float) -> None:
        rate_rows = self._board.rate()
        while left_s > 0 and rate_rows and not self._must_stop():
            self._beat()
            began_s = time.monotonic()
            time.sleep(min(left_s, _LONGEST_NAP_S))
            left_s -= time.monotonic() - began_s
            was_rows, rate_rows = rate_rows, self._board.rate()
            if rate_rows:
                left_s *= was_rows / rate_rows  # a debt is counted in rows: at another rate it takes another time
