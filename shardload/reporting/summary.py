"""What a job came to: the summary's names, its text and its JSON. Pure."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from shardload.model.counts import Counts
from shardload.model.wording import duration

Status = Literal["complete", "incomplete", "stopped", "failed"]


@dataclass(frozen=True)
class Summary:
    """The job as its journal has it, all runs together. `seconds` is the time its runs took."""

    job: str
    status: Status
    rows_read: int
    keys_written: int
    rows_skipped: int
    rows_failed: int
    ranges: int
    ranges_done: int
    ranges_retried: int
    seconds: float
    rows_per_second: float
    encoder: str
    workers: int
    rows_lost: int = 0  # about, by the table, since it was planned; 0 if a few or none
    rows_unfinished: int = 0  # were written in ranges that are not done, and will be again
    rows_unfinished_exact: bool = True  # else at least so many

    def as_json(self) -> dict[str, object]:
        """The object that `--json` prints."""
        return dataclasses.asdict(self)

    def as_text(self, why: str) -> str:
        """A few lines for a person; `why` says why keys are written as they are."""
        return (
            f"job {self.job}: {self.status}\n"
            f"  {self.rows_read:,} rows read = {self.keys_written:,} keys written"
            f" + {self.rows_skipped:,} skipped + {self.rows_failed:,} failed\n"
            f"  {self.ranges_done:,} of {self.ranges:,} ranges done, {self.ranges_retried:,} needed more than one try\n"
            f"{self.unfinished_text()}"
            f"  {duration(self.seconds)}, {self.rows_per_second:,.0f} rows/s,"
            f" {self.workers} worker{'' if self.workers == 1 else 's'}\n"
            f"  encoder: {self.encoder} ({why})"
        )

    def as_line(self) -> str:
        """The counts, for a log."""
        return (
            f"{self.rows_read} rows read = {self.keys_written} keys written + {self.rows_skipped} skipped"
            f" + {self.rows_failed} failed, {self.ranges_done} of {self.ranges} ranges, {duration(self.seconds)}"
            + f"; {self._unfinished()}"
            * bool(self.rows_unfinished)
        )

    def unfinished_text(self) -> str:
        """A line about the rows of ranges that were broken off; empty if there are none."""
        return f"  {self._unfinished()}\n" if self.rows_unfinished else ""

    def _unfinished(self) -> str:
        one = self.rows_unfinished == 1
        return (
            f"{'' if self.rows_unfinished_exact else 'at least '}{self.rows_unfinished:,} more row{'' if one else 's'} "
            f"{'was' if one else 'were'} written in ranges that are not done; resume loads these ranges again"
        )


def make_summary(
    job: str, status: Status, counts: Counts, ranges: tuple[int, int, int], seconds: float, encoder: str, workers: int
) -> Summary:
    """A summary of these counts; `ranges` are all, those done, and those that needed more than one try."""
    return Summary(
        job=job,
        status=status,
        rows_read=counts.rows_read,
        keys_written=counts.keys_written,
        rows_skipped=counts.rows_skipped,
        rows_failed=counts.rows_failed,
        ranges=ranges[0],
        ranges_done=ranges[1],
        ranges_retried=ranges[2],
        seconds=round(seconds, 3),
        rows_per_second=round(counts.rows_read / seconds, 1) if seconds else 0.0,
        encoder=encoder,
        workers=workers,
    )
