"""What an error, or an interruption, means for the range that a worker was at. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from shardload.errors import (
    DirectoryLost,
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
from shardload.model.tasks import Outcome, Task


class Interrupted(Exception):
    """The current range goes back unfinished and without blame; `counts` of it were sent."""

    def __init__(self, counts: Counts | None = None) -> None:
        self.counts = counts or Counts()


class Unconfirmed(Exception):
    """Ranges that were sent could not be confirmed, the oldest first. `blamed` is to blame (by default the first), or
    with `blames_all` every one: the others are interrupted, because the connection is of no more use."""

    def __init__(
        self, tasks: Sequence[Task], error: Exception, *, blamed: Task | None = None, blames_all: bool = False
    ) -> None:
        self.tasks = list(tasks)
        self.error = error
        self._blamed = blamed or next(iter(tasks), None)
        self._blames_all = blames_all

    def blames(self, task: Task) -> bool:
        """True if this range is to blame."""
        return self._blames_all or task == self._blamed


def outcome_of(error: BaseException, *, is_connected: bool) -> Outcome:
    """Who is to blame for an error: nobody, perhaps the range, surely the range, or the whole job.

    `is_connected` says that the worker had reached both servers.
    """
    if isinstance(error, (SpecError, DirectoryLost, SourceDenied, TargetDenied)):
        return Outcome.JOB_REFUSED
    if isinstance(error, (SourceFull, TargetFull)):
        return Outcome.TOO_MANY_CONNECTIONS
    if isinstance(error, (SourceBusy, SourceDoubtful, TargetBusy)):
        return Outcome.UNREACHABLE
    if isinstance(error, (SourceLost, TargetLost)):
        return Outcome.CONNECTION_LOST if is_connected else Outcome.UNREACHABLE
    return Outcome.REFUSED
