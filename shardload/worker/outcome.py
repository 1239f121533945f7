"""What an error, or an interruption, means for the range that a worker was at. Pure."""

from __future__ import annotations

from shardload.errors import (
    SourceBusy,
    SourceDenied,
    SourceDoubtful,
    SourceFull,
    SourceLost,
    SpecError,
    TargetBusy,
    TargetDenied,
    TargetFull,
    TargetLost,
)
from shardload.model.counts import Counts
from shardload.model.tasks import Outcome


class Interrupted(Exception):
    """The range in hand goes back, through no fault of its own; `counts` of it were sent."""

    def __init__(self, counts: Counts | None = None) -> None:
        self.counts = counts or Counts()


def outcome_of(error: BaseException, *, is_connected: bool) -> Outcome:
    """Nobody's fault, perhaps the range's own, surely its own, or the whole job's. `is_connected` says that the worker
    had reached both servers."""
    if isinstance(error, (SpecError, SourceDenied, TargetDenied)):
        return Outcome.HOPELESS
    if isinstance(error, (SourceFull, TargetFull)):
        return Outcome.CROWDED
    if isinstance(error, (SourceBusy, SourceDoubtful, TargetBusy)):
        return Outcome.UNREACHABLE
    if isinstance(error, (SourceLost, TargetLost)):
        return Outcome.BROKEN_OFF if is_connected else Outcome.UNREACHABLE
    return Outcome.REFUSED
