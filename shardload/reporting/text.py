"""A job's progress and counts in words. Each is formatted here, once."""

from __future__ import annotations

from shardload.model.wording import duration
from shardload.reporting.progress import Progress


def percentage(share: float) -> str:
    """A share in per cents, never rounded up."""
    return f"{int(share * 1000) / 10:.1f}%"


def describe(progress: Progress, room: int | None = None) -> str:
    """Rows (exact), rate (smoothed), time left (an estimate), workers, retries if there were any. Where `room` is too
    small for all of it, the time left matters most."""
    rows, rate = f"{progress.rows:,} rows", f"{progress.rows_per_second:,.0f} rows/s"
    eta = "?" if progress.eta_s is None else duration(progress.eta_s, roughly=True)
    left = [f"about {eta} left"] if progress.share < 1 else []
    more = [f"{progress.workers} worker{'' if progress.workers == 1 else 's'}"]
    if progress.retries:
        more.append(f"{progress.retries} retr{'y' if progress.retries == 1 else 'ies'}")
    last = [f"{eta} left", eta] if left else []
    forms = [[rows, rate, *left, *more], [rows, rate, *left], [rows, *left], left or [rows], *([one] for one in last)]
    texts = [", ".join(form) for form in forms]
    return next((text for text in texts if room is None or len(text) <= room), "")
