"""The facts of a job, told once: what status, attach, the summary and the JSON show, and whatever shows a job next.

They come from the journal (a job that nobody runs, and the end of a run) or from the board (a running job).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from shardload.model.counts import Counts, Totals
from shardload.model.differences import NO_DIFFERENCES, DifferenceTotals, Fault
from shardload.reporting.progress import Progress

SEARCHING = "searching"  # the state of a verify that looks for keys that no row stands for
RUNNING = ("starting", "running", "paused", "stopping", SEARCHING)  # the states of a job that a process runs
RESUMABLE = ("incomplete", "stopped", "failed", "died")
DIFFERENT = "different"  # the state of a verify that has found keys which still differ
_UNENDED = (*RUNNING, "died")  # its run has not said how it ended


@dataclass(frozen=True)
class SlotFacts:
    """A slot, and the worker in it. `range` is the current one; `silent_s` is the age of its last heartbeat. In a fleet
    `machine` says which machine the slot has; its `rows` are then all that it has done in this run."""

    slot: int
    pid: int
    doing: str
    range: int | None
    rows: int
    share: float
    silent_s: float
    machine: str = ""


@dataclass(frozen=True)
class JobFacts:
    """One job at one moment, all its runs together.

    `seconds` is the time that its runs took. `rows_lost` is about how many rows the table has lost since it was
    planned, 0 for a few. `rows_unfinished` were written in ranges that are not done; if it is not exact, it is at least
    so many. `keys_shared` were made more than once; `shared` is what a person should know of them. `target` says what
    Redis it is. `pid` is None unless the coordinator is a process of this machine, `exit_code` unless the run has told
    it. `kind` is what is done with the rows, `sample` the share of them; `differences` are the keys that a verify has
    found, and `knows_extra` says that it has looked for those that no row stands for.
    """

    job: str
    state: str
    counts: Counts = field(default_factory=Counts)
    ranges: int = 0
    ranges_done: int = 0
    ranges_retried: int = 0
    seconds: float = 0.0
    rows_per_second: float = 0.0
    encoder: str = ""
    target: str = ""
    workers: int = 0
    share: float = 0.0
    rows_lost: int = 0
    rows_unfinished: int = 0
    rows_unfinished_exact: bool = True
    keys_shared: int = 0
    shared: str = ""
    pid: int | None = None
    started: str | None = None
    eta_s: float | None = None
    rate: int | None = None
    error: str | None = None
    troubles: Sequence[str] = ()
    slots: Sequence[SlotFacts] = ()
    retries: int = 0
    exit_code: int | None = None
    kind: str = "load"
    differences: DifferenceTotals = NO_DIFFERENCES
    sample: float = 1.0
    knows_extra: bool = False

    @property
    def is_verify(self) -> bool:
        """True if rows are compared with their keys, and not loaded."""
        return self.kind == "verify"

    @property
    def is_running(self) -> bool:
        """True if a process holds the job."""
        return self.state in RUNNING

    @property
    def status(self) -> str:
        """How the job ended; `incomplete` if it has not ended, or did not say how."""
        return "incomplete" if self.state in _UNENDED else self.state

    def progress(self) -> Progress:
        """The same, as a display wants it."""
        return Progress(
            share=self.share,
            rows=self.counts.rows_read,
            rows_per_second=self.rows_per_second,
            eta_s=self.eta_s,
            workers=len(self.slots),
            retries=self.retries,
        )

    def summary_json(self) -> dict[str, Any]:
        """The object that `run --json` prints. Its names are an interface."""
        return {
            "job": self.job,
            "status": self.status,
            "rows_read": self.counts.rows_read,
            "keys_written": self.counts.keys_written,
            "keys_kept": self.counts.keys_kept,
            "rows_skipped": self.counts.rows_skipped,
            "rows_failed": self.counts.rows_failed,
            "lookups_written": self.counts.lookups_written,
            "ranges": self.ranges,
            "ranges_done": self.ranges_done,
            "ranges_retried": self.ranges_retried,
            "seconds": round(self.seconds, 3),
            "rows_per_second": round(self.rows_per_second, 1),
            "encoder": self.encoder,
            "target": self.target,
            "workers": self.workers,
            "rows_lost": self.rows_lost,
            "rows_unfinished": self.rows_unfinished,
            "rows_unfinished_exact": self.rows_unfinished_exact,
            "keys_shared": self.keys_shared,
            "kind": self.kind,
            **self._compared_json(),
        }

    @property
    def faults(self) -> list[Fault]:
        """What a verify looks for, without what it does not know yet."""
        return [fault for fault in Fault if fault is not Fault.EXTRA or self.knows_extra]

    def _compared_json(self) -> dict[str, Any]:
        """What a verify has to tell beside that."""
        if not self.is_verify:
            return {}
        return {
            "keys_equal": self.counts.keys_equal,
            "keys_differing": self.differences.keys,
            "keys_expired": self.counts.keys_expired,
            "keys_repaired": self.differences.repaired,
            "differences": {fault.value: self.differences.found.get(fault, 0) for fault in self.faults},
            "sample": self.sample,
        }

    def as_json(self) -> dict[str, Any]:
        """The object that `status --json` prints: the summary's names, and what else is known of the job."""
        return {
            **self.summary_json(),
            "state": self.state,
            "pid": self.pid,
            "started": self.started,
            "share": round(self.share, 4),
            "eta_s": None if self.eta_s is None else round(self.eta_s, 1),
            "rate": self.rate,
            "error": self.error,
            "troubles": list(self.troubles),
            "slots": [dataclasses.asdict(slot) for slot in self.slots],
        }


def settled_facts(job: str, state: str, totals: Totals, *, encoder: str, target: str, workers: int) -> JobFacts:
    """The facts that a journal's totals give."""
    return JobFacts(
        job=job,
        state=state,
        counts=totals.counts,
        ranges=totals.ranges,
        ranges_done=totals.ranges_done,
        ranges_retried=totals.ranges_retried,
        seconds=totals.seconds,
        rows_per_second=totals.counts.rows_read / totals.seconds if totals.seconds else 0.0,
        encoder=encoder,
        target=target,
        workers=workers,
        share=totals.share(),
        rows_lost=totals.rows_lost,
    )
