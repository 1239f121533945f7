"""Is a range's result too short to be believed, or has the table shrunk since it was planned? Pure.

A server setting, an init script or a proxy can cut a result short with a clean end. An estimate proves nothing (a gap
may be estimated as thousands of rows); it only says when MySQL has to count.
"""

from __future__ import annotations

_LEAST_ROWS = 20  # InnoDB estimates an empty range as one row, so gaps joined to a range add a few
_LEAST_VANISHED_ROWS = 50
_LEAST_VANISHED_SHARE = 0.05  # of the plan; below it a few wrong estimates could be all of it


def is_short(rows: int, estimated_rows: int) -> bool:
    """True if a range gave so many fewer rows than estimated that MySQL has to count it. InnoDB may count twice."""
    return estimated_rows >= _LEAST_ROWS and rows * 2 < estimated_rows


def is_much(vanished_rows: int, planned_rows: int) -> bool:
    """True if so many rows of a plan vanished (both are estimates) that the job cannot be called complete."""
    return vanished_rows >= max(_LEAST_VANISHED_ROWS, planned_rows * _LEAST_VANISHED_SHARE)


class Proven:
    """What one worker has seen come whole: a limit that cuts its results, in rows or in bytes, cannot be lower."""

    def __init__(self) -> None:
        self._rows = self._bytes = 0

    def is_doubtful(self, rows: int, size_bytes: int, span_keys: int) -> bool:
        """True if a result may have been cut, for it is larger than any that came whole. One with a row for each of the
        keys that it was asked for is whole."""
        return rows != span_keys and (rows > self._rows or size_bytes > self._bytes)

    def add(self, rows: int, size_bytes: int) -> None:
        """A result of so many rows and bytes came whole."""
        self._rows, self._bytes = max(self._rows, rows), max(self._bytes, size_bytes)
