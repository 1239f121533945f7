"""Turns counters and clock readings into share done, rate and time left. Pure: no clock is read here."""

from __future__ import annotations

import math
from dataclasses import dataclass

SMOOTHING_S = 5.0  # a reading's weight falls to 1/e in this time


@dataclass(frozen=True)
class Progress:
    """What a person is shown. `share` (0 to 1) is an estimate, and never falls; `rows` is exact."""

    share: float
    rows: int
    rows_per_second: float
    eta_s: float | None
    workers: int
    retries: int
    restraint: str = ""
    """Why a guard holds the job back; empty if none does."""


class Meter:
    """Smooths the rate over the last seconds, and keeps rows and share from falling."""

    def __init__(self, started_s: float, rows: int, share: float) -> None:
        self._at_s = started_s
        self._rows = self._rows_at = rows
        self._share = self._share_at = share
        self._weight = 0.0
        self._rows_sum = self._share_sum = 0.0

    def reading(self, now_s: float, rows: int, share: float, *, workers: int, retries: int) -> Progress:
        """The progress at this moment. Rates are weighted means; weights fall exponentially with age."""
        passed_s = now_s - self._at_s
        if passed_s > 0:
            keep = math.exp(-passed_s / SMOOTHING_S)
            weight = -math.expm1(-passed_s / SMOOTHING_S)  # of all this time, seen from its end
            self._rows_sum = self._rows_sum * keep + max(0, rows - self._rows_at) * (weight / passed_s)
            self._share_sum = self._share_sum * keep + max(0.0, share - self._share_at) * (weight / passed_s)
            self._weight = self._weight * keep + weight
            self._at_s = now_s
            self._share_at = max(self._share_at, share)
            self._rows_at = max(self._rows_at, rows)
        self._rows = max(self._rows, rows)
        self._share = max(self._share, share)
        rate = self._rows_sum / self._weight if self._weight else 0.0
        share_rate = self._share_sum / self._weight if self._weight else 0.0
        eta_s = 0.0 if self._share >= 1 else (1 - self._share) / share_rate if share_rate > 1e-9 else None
        return Progress(
            share=self._share,
            rows=self._rows,
            rows_per_second=rate,
            eta_s=eta_s,
            workers=workers,
            retries=retries,
        )
