"""Whether a job's spec and table are still those with which it began."""

from __future__ import annotations

from typing import Any

from shardload.errors import SpecError

_MOST_TOLD = 5


def check_unchanged(name: str, what: str, was: Any, now: Any) -> None:
    """Raise SpecError, with the first difference, if something has changed since the job was planned."""
    if was == now:
        return
    keys = [key for key in now if was.get(key) != now[key]] or ["?"]
    changed = _changed_columns(was["columns"], now["columns"]) if keys[0] == "columns" and what == "table" else []
    told = ", ".join(changed) or f"{keys[0]} was {was.get(keys[0])}, is {now.get(keys[0])}"
    raise SpecError(
        f"job {name} cannot go on: its {what} has changed: {told}", f"put the {what} back as it was, or start a new job"
    )


def _changed_columns(was: list[list[str]], now: list[list[str]]) -> list[str]:
    """Say which columns changed (given as name and type), up to a few; nothing if only their order changed."""
    before, after = dict(was), dict(now)
    told = [f"column {name} is gone" for name in before if name not in after]
    told += [f"column {name} is new" for name in after if name not in before]
    told += [f"column {n} was {before[n]}, is {after[n]}" for n in before if before[n] != after.get(n, before[n])]
    return [*told[:_MOST_TOLD], f"and {len(told) - _MOST_TOLD} more"] if len(told) > _MOST_TOLD else told
