"""What workers have to tell of ranges, and an ack has no room for: a file for each range and attempt.

`report.*` has the rows that could not be loaded, or why a range failed; `parts.*` into what a range was cut;
`differences.*` the keys of it that differ. A worker writes one before it sends the ack; the coordinator takes it with
the ack.
"""

from __future__ import annotations

import json
import os
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from shardload.files.ownfile import open_own, remove_own
from shardload.jobdir.rows import bounds_of, planned_of
from shardload.model.counts import SetAside
from shardload.model.differences import Difference, Fault
from shardload.model.keys import PlannedRange
from shardload.model.printable import bounded
from shardload.model.tasks import Ack, Outcome, Report


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

    def write_differences(self, range_id: int, attempt: int, found: Iterable[Difference]) -> None:
        """Write the keys of a range that differ."""
        lines = (
            json.dumps([b64encode(one.key).decode(), one.fault.value, one.detail, one.is_repaired]) for one in found
        )
        _append(self.directory / f"differences.{range_id}.{attempt}", lines)

    def take_differences(self, range_id: int, attempt: int) -> list[Difference]:
        """Read the keys of a range that differ, and remove the file. Empty if there is none."""
        lines = map(json.loads, _taken_lines(self.directory / f"differences.{range_id}.{attempt}"))
        return [Difference(b64decode(key), Fault(fault), *more) for key, fault, *more in lines]

    def of(self, ack: Ack, *, is_plain: bool) -> Report:
        """Take everything that belongs to an ack; `is_plain` says that it has no report."""
        numbers = ack.range_id, ack.attempt
        return Report(
            [] if is_plain else self.take(*numbers),
            self.take_parts(*numbers) if ack.outcome is Outcome.CUT else [],
            self.take_differences(*numbers) if ack.counts.keys_differing else [],
        )

    def remove(self) -> None:
        """Remove the files that dead workers left."""
        remove_own(self.directory, lambda name: name.startswith(("report.", "parts.", "differences.")))


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
