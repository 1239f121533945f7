"""Bounds and defaults of what a person can say, and the arithmetic of the rate limit. Pure."""

from __future__ import annotations

MOST_WORKERS = 64  # two tasks and a STOP for each fit into a 16 KiB queue
CREDITS = 2  # ranges that a slot may hold: one in hand, one waiting
DEFAULT_RANGE_ROWS = 50_000
DEFAULT_GIVE_UP_AFTER_S = 300.0
DEFAULT_HUNG_AFTER_S = 30.0
_LEAST_RANGE_ROWS = 100  # under a rate; a plan of smaller ones would be very long
LOST_AT_A_STOP_S = 20  # about; the ranges in hand are loaded again after a stop
MOST_RATE_ROWS = 1_000_000_000
BURST_S = 0.25  # a bucket holds no more than what the rate allows in this time


def range_rows_under(rate_rows: int, workers: int) -> int:
    """How many rows a range should have under a rate (rows a second of all workers), so that a stop undoes about
    LOST_AT_A_STOP_S of work: the workers are on average half-way through their ranges."""
    return max(_LEAST_RANGE_ROWS, min(DEFAULT_RANGE_ROWS, 2 * LOST_AT_A_STOP_S * rate_rows // workers))


def after_taking(rate_rows: float, tokens: float, passed_s: float, rows: int) -> tuple[float, float]:
    """A token bucket that lends: the tokens after `rows` were taken, and the seconds to wait before they may go.

    The bucket was last filled `passed_s` ago. Who takes more than there is waits until the debt is paid, and whoever
    comes meanwhile waits longer: so the rate holds for all takers together, however large a batch is.
    """
    tokens = min(rate_rows * BURST_S, tokens + max(0.0, passed_s) * rate_rows) - rows
    return tokens, max(0.0, -tokens / rate_rows)
