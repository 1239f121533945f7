"""Serves a job whose coordinator has ended while this process still does something for it: it can be stopped, and its
rate be changed, by the control FIFO and by signals.
"""

from __future__ import annotations

import logging
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path

from shardload.errors import StoppedAsAsked, StoppedBySignal
from shardload.model.orders import Answer, Order, order_of_signal, parsed
from shardload.process import ControlInbox, SignalInbox

_NO_WORKERS = "every row is compared, and there are no workers any more: only stop, rate and status work now"
_PIECE_S = 0.1  # no more rows are taken at once than the rate allows in this time

_log = logging.getLogger("shardload.job")


class Afterwards:
    """`rate_rows` is the limit in rows a second that holds now; 0: none. Close it when the work has ended."""

    def __init__(
        self,
        directory: Path,
        signals: SignalInbox,
        rate_rows: int,
        *,
        stops_at_hangup: bool,
        reopen_log: Callable[[], None],
    ) -> None:
        """OSError if the FIFO cannot be made."""
        self._control = ControlInbox(directory)
        self._signals = signals
        self._stops_at_hangup = stops_at_hangup
        self._reopen_log = reopen_log
        self._rate_rows = rate_rows
        self._owed_rows = 0.0
        self._owed_at_s = time.monotonic()

    def go_on(self) -> None:
        """Do what was asked meanwhile. StoppedBySignal or StoppedAsAsked if that is to end."""
        for number in self._signals.drain():
            order = order_of_signal(number, 0, stops_at_hangup=self._stops_at_hangup)
            if order is not None and order.verb in ("stop", "stop-now"):
                _log.info("%s: %s", signal.Signals(number).name, order.verb)
                raise StoppedBySignal(number)
            if order is not None and order.verb == "reopen-log":
                self._reopen_log()
        for words, order, answer in parsed(self._control.drain()):
            _log.info("order: %s", words)
            self._apply(order, answer)

    def piece_rows(self) -> int | None:
        """About how many rows to take at once, so that none has to wait for long; None without a limit."""
        return max(1, int(self._rate_rows * _PIECE_S)) if self._rate_rows else None

    def hold_back(self, rows: int) -> None:
        """Wait until the limit allows these rows. Raises as `go_on`."""
        self._owed_rows += rows
        while True:
            self.go_on()
            now_s = time.monotonic()
            self._owed_rows -= (now_s - self._owed_at_s) * self._rate_rows
            self._owed_at_s = now_s
            if not self._rate_rows or self._owed_rows <= 0:
                self._owed_rows = 0.0
                return
            listened = [self._signals.fileno(), self._control.fileno()]
            select.select(listened, [], [], self._owed_rows / self._rate_rows)

    def close(self) -> None:
        """Remove the FIFO."""
        self._control.close()

    def _apply(self, order: Order, answer: Answer) -> None:
        if order.verb in ("stop", "stop-now"):
            answer.done("stopping: what is compared is noted")
            raise StoppedAsAsked
        if order.verb == "rate":
            self._rate_rows = order.number
            answer.done(f"at most {order.number:,} rows/s" if order.number else "no limit on the rate")
        else:
            answer.refuse(_NO_WORKERS)
