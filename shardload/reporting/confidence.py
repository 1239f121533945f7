"""How sure a sample is. Pure."""

from __future__ import annotations

import math

_STEPS = 60  # of a bisection: more than a double's digits


def most_share(differing: int, keys: int, confidence: float = 0.95) -> float:
    """The share of all keys (0 to 1) that differ at most, with this confidence, if so many of `keys` keys differed.

    The one-sided bound of Clopper and Pearson (1934): the share with which so few would be found only by a chance of
    1 - confidence. Without a difference it is close to 3 / keys.
    """
    if differing >= keys:
        return 1.0
    low, high = differing / keys, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if _chance_of_so_few(differing, keys, middle) > 1 - confidence else (low, middle)
    return high


def _chance_of_so_few(differing: int, keys: int, share: float) -> float:
    """The chance that at most so many of `keys` differ, if this share of all does (a binomial distribution)."""
    if share >= 1:
        return 0.0
    first = max(0, differing - 10_000)  # terms before that are too small to count
    logs = (
        math.lgamma(keys + 1) - math.lgamma(found + 1) - math.lgamma(keys - found + 1)
        + found * math.log(share) + (keys - found) * math.log1p(-share)
        for found in range(first, differing + 1)
    )  # fmt: skip
    return math.fsum(math.exp(min(0.0, one)) for one in logs)
