"""What workers have to tell of ranges, and an ack has no room for: a file for each range and attempt.

`report.*` has the rows that could not be loaded, or why a range failed; `parts.*` into what a range was cut. A worker
writes one before it sends the ack; the coordinator takes it with the ack.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from shardload.files.ownfile import open_own, remove_own
from shardload.jobdir.rows import bounds_of, planned_of
from shardload.model.counts import SetAside
from shardload.model.keys import PlannedRange
from shardload.model.printable import bounded


@dataclass(frozen=True)
class Reports:
    """The reports in one job's directory."""

    directory: Path

    def write(self, range_id: int, attempt: int, rows: Sequence[SetAside]) -> None:
        """Append rows that could not be loaded to the range's report."""
        lines = (json.dumps([bounded(one.key), bounded(one.reason)]) for one in rows)
        _append(self.directory / f"report.{range_id}.{attempt}", lines)

    def take(self, range_id: int, attempt: int) -> list[SetAside]:
        """Read a range's report and remove the file. Empty if there is none."""
        lines = _taken_lines(self.directory / f"report.{range_id}.{attempt}")
        return [SetAside(*json.loads(line)) for line in lines]

    def write_parts(self, range_id: int, attempt: int, parts: Sequence[PlannedRange]) -> None:
        """Write into what the range was cut."""
        lines = (json.dumps([*bounds_of(part.keys), part.estimated_rows]) for part in parts)
        _append(self.directory / f"parts.{range_id}.{attempt}", lines)

    def take_parts(self, range_id: int, attempt: int) -> list[PlannedRange]:
        """Read into what the range was cut, and remove the file. Empty if there is none, or if it makes no sense."""
        try:
            lines = _taken_lines(self.directory / f"parts.{range_id}.{attempt}")
            return [planned_of(json.loads(line)) for line in lines]
        except (ValueError, TypeError, RecursionError):
            return []

    def remove(self) -> None:
        """Remove the files that dead workers left."""
        remove_own(self.directory, lambda name: name.startswith(("report.", "parts.")))


def _append(path: Path, lines: Iterable[str]) -> None:
    with os.fdopen(open_own(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "a", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in lines)


def _taken_lines(path: Path) -> list[str]:
    """The lines of a file that is removed; none if there is no file."""
    try:
        with os.fdopen(open_own(path, os.O_RDONLY), encoding="utf-8") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return []
    path.unlink()
    return lines
