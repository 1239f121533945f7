"""Durations, sizes, numbers of things and lists of jobs, in words for a person. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

_MOST_NAMES = 5
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86400
_LONGEST_DAYS = 365


def duration(seconds: float, *, roughly: bool = False) -> str:
    """The duration in at most two units: `5.3 s` (`roughly`: `5 s`), `1 min 05 s`, `3 days 4 h`, `more than a year`."""
    whole_s = round(seconds) if roughly else int(seconds)
    if whole_s < _MINUTE_S:
        return f"{whole_s} s" if roughly else f"{seconds:.1f} s"
    if whole_s < _HOUR_S:
        return f"{whole_s // _MINUTE_S} min {whole_s % _MINUTE_S:02} s"
    if whole_s < _DAY_S:
        return f"{whole_s // _HOUR_S} h {whole_s % _HOUR_S // _MINUTE_S:02} min"
    days = whole_s // _DAY_S
    if days > _LONGEST_DAYS:
        return "more than a year"
    return f"{days} day{'' if days == 1 else 's'} {whole_s % _DAY_S // _HOUR_S} h"


def size(size_bytes: float) -> str:
    """`512 bytes`, `3.4 MiB`, `120 GiB`: three digits at most."""
    if size_bytes < 2**10:
        return f"{size_bytes:.0f} bytes"
    units = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
    unit, name = next(one for one in units if size_bytes >= one[0])
    value = size_bytes / unit
    return f"{value:.0f} {name}" if value >= 100 else f"{value:.1f} {name}"


def counted(number: int, noun: str, nouns: str = "") -> str:
    """`1 row`, `1,234 rows`; `nouns` is a plural that is not made with an s."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def a_few_jobs(names: Sequence[str], like: str = "") -> str:
    """The names of all jobs. Of more than five: the most similar to `like`, and how to see the others."""
    if len(names) <= _MOST_NAMES:
        return ", ".join(names)
    similar = difflib.get_close_matches(like, names, _MOST_NAMES) if like else []
    shown = [*similar, *(name for name in names if name not in similar)][:_MOST_NAMES]
    return f"{', '.join(shown)} and {len(names) - len(shown):,} more (run: shardload jobs)"
