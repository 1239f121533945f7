"""How long the job may go on without success before it gives up."""

from __future__ import annotations

from shardload.errors import GaveUp
from shardload.model import backoff


class Patience:
    """Counts from the first trouble after the last success; rows that somebody loads meanwhile are a success, too."""

    def __init__(self, give_up_after_s: float, job: str) -> None:
        self._give_up_after_s = give_up_after_s
        self._job = job
        self._since_s: float | None = None
        self._rows = 0

    def renew(self) -> None:
        """Something has succeeded, or a person wants to try again."""
        self._since_s = None

    def note_trouble(self, reason: str, now_s: float, rows: int) -> None:
        """Something did not succeed; `rows` is how many rows the job has read. GaveUp if nothing has succeeded for as
        long as --give-up-after allows."""
        if self._since_s is None or rows > self._rows:
            self._since_s, self._rows = now_s, rows
        if backoff.should_give_up(now_s, self._since_s, self._give_up_after_s):
            raise GaveUp(
                f"nothing has succeeded for {self._give_up_after_s:g} s, the last reason: {reason}",
                f"fix the cause, then run: shardload resume {self._job}",
            )
