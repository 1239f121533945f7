"""Finds results with too few rows: was the result cut, or has the table shrunk since the plan? Pure.

A server setting, an init script or a proxy can cut a result and still end it cleanly. An estimate cannot prove that
(InnoDB may estimate thousands of rows in a gap), but it shows when to make MySQL count the rows.
"""

from __future__ import annotations

_LEAST_ROWS = 20  # InnoDB estimates one row for an empty range, so gaps add a few rows to a range's estimate
_LEAST_VANISHED_ROWS = 50
_LEAST_VANISHED_SHARE = 0.05  # of the planned rows; a few wrong estimates could explain less


def is_short(rows: int, estimated_rows: int) -> bool:
    """True if a range gave under half of its estimated rows, so that MySQL has to count. InnoDB may estimate double."""
    return estimated_rows >= _LEAST_ROWS and rows * 2 < estimated_rows


def is_large_loss(vanished_rows: int, planned_rows: int) -> bool:
    """True if so many of the planned rows vanished (both numbers are estimates) that the job is not complete."""
    return vanished_rows >= max(_LEAST_VANISHED_ROWS, planned_rows * _LEAST_VANISHED_SHARE)


class Proven:
    """The largest results of one worker that were certainly whole. A limit on rows or bytes cannot be below them."""

    def __init__(self) -> None:
        self._rows = self._bytes = 0

    def is_doubtful(self, rows: int, size_bytes: int, most_rows: int | None) -> bool:
        """True if a result may have been cut: it is larger than any that was whole, and has fewer rows than there
        can be (`most_rows`, if that is known)."""
        return rows != most_rows and (rows > self._rows or size_bytes > self._bytes)

    def add(self, rows: int, size_bytes: int) -> None:
        """Record that a result of so many rows and bytes was whole."""
        self._rows, self._bytes = max(self._rows, rows), max(self._bytes, size_bytes)
