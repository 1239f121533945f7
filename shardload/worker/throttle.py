"""A worker's pace under the rate limit that all workers share: how much it reads at once, and when it may send that."""

from __future__ import annotations

import time
from collections.abc import Callable

from shardload.ipc import Board

_PIECE_S = 0.1  # no more is read at once than may be sent in this time
_LONG_S = 0.5  # Redis's `timeout` is a second at least
_LONGEST_NAP_S = 0.5  # a sign of life, and a look at what was asked, after each


class Throttle:
    """One worker's. While it waits it calls `beat`, and it waits no longer when `must_stop`. Before a long wait it
    calls `settle`, and `renew` after it: a server may close a connection that is idle for so long."""

    def __init__(
        self, board: Board, beat: Callable[[], None], must_stop: Callable[[], bool],
        settle: Callable[[], None], renew: Callable[[], None],
    ) -> None:  # fmt: skip
        self._board = board
        self._beat = beat
        self._must_stop = must_stop
        self._settle = settle
        self._renew = renew
        self._row_bytes = 100.0  # of the source, a mean of what was seen

    def piece_bytes(self) -> int | None:
        """How much to read at once, so that the limit lets rows go a few at a time; None: whatever is there."""
        rate_rows = self._board.rate()
        return max(1, int(rate_rows * _PIECE_S * self._row_bytes)) if rate_rows else None

    def hold_back(self, rows: int, source_bytes: int) -> None:
        """Wait until the limit lets these rows go, or until there is none or this worker has to leave."""
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
                left_s *= was_rows / rate_rows  # what is owed is rows
