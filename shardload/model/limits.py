"""Bounds and defaults of settings, and the arithmetic of the rate limit. Pure."""

from __future__ import annotations

MOST_WORKERS = 64  # two tasks and a STOP for each fit into a 16 KiB queue
CREDITS = 2  # how many ranges a slot may hold: one in hand, one waiting
MOST_MACHINES = 8  # of a fleet: each has a slot of the head's
FLEET_CREDITS = 32  # how many ranges a machine's slot may hold; they and a STOP for each fit into a queue, too
FLEET_LEASE_S = 8.0  # a machine that hears nothing of its head writes for so long
FLEET_MARGIN_S = 2.0  # clocks that run differently, and what was sent just before
FLEET_FENCE_S = FLEET_LEASE_S + FLEET_MARGIN_S
DEFAULT_RANGE_ROWS = 50_000
DEFAULT_GIVE_UP_AFTER_S = 300.0
DEFAULT_HUNG_AFTER_S = 30.0
_LEAST_RANGE_ROWS = 100  # with a rate limit; smaller ranges would make the plan very long
LOST_AT_A_STOP_S = 20  # about so much work is lost at a stop, since the ranges in hand are loaded again
MOST_RATE_ROWS = 1_000_000_000
BURST_S = 0.25  # the bucket holds at most the rows that the rate allows in this time


def range_rows_under(rate_rows: int, workers: int) -> int:
    """How many rows a range should have if a rate limit applies (rows a second, all workers together).

    A stop then loses about LOST_AT_A_STOP_S seconds of work: on average the workers are half-way through their ranges.
    """
    return max(_LEAST_RANGE_ROWS, min(DEFAULT_RANGE_ROWS, 2 * LOST_AT_A_STOP_S * rate_rows // workers))


def take_from_bucket(rate_rows: float, tokens: float, passed_s: float, rows: int) -> tuple[float, float]:
    """Take `rows` tokens from a token bucket that lends. Returns the tokens left and the seconds to wait.

    The bucket was last filled `passed_s` seconds ago. Its tokens may fall below 0: then the caller waits until they are
    back at 0, and the next caller waits longer. So the rate holds for all callers together, however large a batch is.
    """
    tokens = min(rate_rows * BURST_S, tokens + max(0.0, passed_s) * rate_rows) - rows
    return tokens, max(0.0, -tokens / rate_rows)
