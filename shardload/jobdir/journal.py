"""The journal: a job's plan and every range's outcome, in SQLite. It alone decides what is done.

The coordinator is the only writer; other processes may read at any time (write-ahead log). After a kill -9, every range
is either done, with its counts, or pending; nothing in between.
`finish` buffers ranges until `commit`, so that ranges which end at almost the same time share a transaction. Every
other call commits the buffered ranges first. The connection opens when it is needed; `close` it before a fork.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from shardload.errors import JournalError
from shardload.files.ownfile import open_own
from shardload.jobdir.database import FINISH, INSERT, PENDING_AGAIN, RECORD, SHRUNK, SUMS, make_tables, open_database
from shardload.jobdir.found import (
    DIFFERENCE,
    DIFFERENCE_SUMS,
    difference_of,
    difference_totals_of,
    replace_differences,
    replace_failures,
)
from shardload.jobdir.rows import checkpoint_of, fact_of, failure_of, place_of, range_row, record_of, run_of, totals_of
from shardload.model.counts import Counts, SetAside, Totals
from shardload.model.differences import Difference, DifferenceTotals, Fault
from shardload.model.keys import PlannedRange, RangeRecord
from shardload.model.tasks import NOTHING, Report
from shardload.ranges.lineage import Checkpoint

_LAST_LOOK = 2**62
_CHECK_DISK = "check that the disk has space and is writable"


class Journal:
    """The journal of one job. Every method raises JournalError if SQLite fails (disk full, damaged file)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._done: list[tuple[int | str, ...]] = []  # ranges that `finish` buffered

    @classmethod
    def create(cls, path: Path, facts: dict[str, Any], plan: Sequence[PlannedRange]) -> Journal:
        """Make a journal with the job's facts and its plan. A kill leaves either a complete journal or none."""
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        try:
            os.close(open_own(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL))  # SQLite gives its other files the same mode
        except OSError as error:
            raise JournalError(f"cannot make the journal {path}: {error.strerror}", _CHECK_DISK) from None
        journal = cls(new)
        with journal._writing(create=True) as db:
            make_tables(db)
            db.executemany("INSERT INTO job VALUES (?, ?)", [(name, json.dumps(fact)) for name, fact in facts.items()])
            db.executemany(INSERT, [range_row(place_of(at), part) for at, part in enumerate(plan)])
        journal.close()
        new.rename(path)
        return cls(path)

    def close(self) -> None:
        """Commit, and close the connection. The next call opens it again. Call this before a fork, and at the end."""
        self.commit()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def fact(self, name: str, default: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read the fact that is stored under this name. JournalError if there is none, unless there is a default."""
        with self._reading() as db:
            row = db.execute("SELECT value FROM job WHERE name = ?", (name,)).fetchone()
            if row is None:
                if default is not None:
                    return default
                raise ValueError(f"{name} is missing")
            return fact_of(row[0])

    def note_fact(self, name: str, fact: dict[str, Any]) -> None:
        """Store a fact under this name, in the place of the one that was there."""
        with self._writing() as db:
            db.execute("INSERT OR REPLACE INTO job VALUES (?, ?)", (name, json.dumps(fact)))

    def done_tries(self) -> dict[int, tuple[int, int]]:
        """Of each range that is done: the attempt that did it, and how many keys it made or compared, lookups that were
        kept left out."""
        keys = "keys_written + keys_kept + lookups_written + keys_equal + keys_differing"
        with self._reading() as db:
            rows = db.execute(f"SELECT id, attempts, {keys} FROM range WHERE state = 'done'")
            return {int(number): (int(attempt), int(made)) for number, attempt, made in rows}

    def todo(self) -> list[RangeRecord]:
        """The pending ranges, in the order of their keys."""
        with self._reading() as db:
            rows = db.execute(f"SELECT {RECORD} FROM range WHERE state = 'todo' ORDER BY place")
            return [record_of(row) for row in rows]

    def record(self, range_id: int) -> RangeRecord:
        """The range with this id, whatever its state. JournalError if there is none."""
        with self._reading() as db:
            row = db.execute(f"SELECT {RECORD} FROM range WHERE id = ?", (range_id,)).fetchone()
            if row is None:
                raise ValueError(f"range {range_id} is missing")
            return record_of(row)

    def totals(self) -> Totals:
        """Add up the counts of all settled ranges."""
        with self._reading() as db:
            row = db.execute(
                f"SELECT {SUMS}, COUNT(*), COALESCE(SUM(state = 'done'), 0), COALESCE(SUM(state = 'set aside'), 0),"
                " COALESCE(SUM(attempts > 1), 0), COALESCE(SUM(estimated_rows), 0),"
                " COALESCE(SUM(CASE WHEN state = 'todo' THEN 0 ELSE estimated_rows END), 0)"
                " FROM range WHERE state <> 'split'"
            ).fetchone()
            vanished = db.execute(f"SELECT COALESCE(SUM(estimated_rows - rows_read), 0) FROM range WHERE {SHRUNK}")
            runs = db.execute("SELECT seconds FROM run")
            return totals_of(row, vanished.fetchone()[0], runs.fetchall())

    def failures(self) -> Iterator[SetAside]:
        """Every row that was set aside, with its reason, in the order of the ranges' ids."""
        with self._reading() as db:
            for row in db.execute("SELECT key, reason FROM failure ORDER BY range_id, rowid"):
                yield failure_of(row)

    def difference_totals(self) -> DifferenceTotals:
        """How many keys differ, by what is wrong with them."""
        with self._reading() as db:
            return difference_totals_of(db.execute(DIFFERENCE_SUMS))

    def differences(self, most: int = -1) -> Iterator[Difference]:
        """Every key that differs, or the first `most`, in the order of the ranges' ids."""
        with self._reading() as db:
            for row in db.execute(f"SELECT {DIFFERENCE} FROM difference ORDER BY range_id, rowid LIMIT ?", (most,)):
                yield difference_of(row)

    def note_extra(self, keys: Sequence[bytes]) -> None:
        """Record the keys that no row stands for, in the place of those that were recorded before."""
        with self._writing() as db:
            replace_differences(db, None, [Difference(key, Fault.EXTRA, "no row stands for it") for key in keys])

    def begin_run(self, started: str) -> int:
        """Record a new run of the job. Returns its id, for `end_run`."""
        with self._writing() as db:
            return int(db.execute("INSERT INTO run (started, seconds) VALUES (?, 0)", (started,)).lastrowid or 0)

    def note_event(self, at: str, text: str) -> None:
        """Record what a guard did, and when."""
        with self._writing() as db:
            db.execute("INSERT INTO event VALUES (?, ?)", (at, text))

    def runs(self) -> list[tuple[str, float]]:
        """When each run began, as `begin_run` was told, and how many seconds it lasted."""
        with self._reading() as db:
            return [run_of(row) for row in db.execute("SELECT started, seconds FROM run ORDER BY id")]

    def end_run(self, run: int, seconds: float) -> None:
        """Record how many seconds the run has lasted."""
        with self._writing() as db:
            db.execute("UPDATE run SET seconds = ? WHERE id = ?", (seconds, run))

    def finish(
        self, range_id: int, counts: Counts, epoch: int, attempt: int, report: Report = NOTHING, *, look: int = 0
    ) -> None:
        """Record a done range: each of its rows is written and confirmed, skipped, or listed in the report, as are keys
        that differ. `look` is the number of the last look at the target that was begun before.

        The range is buffered until `commit`, unless the report has something.
        """
        self._done.append((attempt, str(epoch), look, *counts.as_tuple(), range_id))
        if report.told or report.differences:
            with self._writing() as db:
                replace_failures(db, range_id, report.told)
                replace_differences(db, range_id, report.differences)

    @property
    def is_committed(self) -> bool:
        """False while ranges are buffered: a kill now would leave them pending."""
        return not self._done

    def commit(self) -> None:
        """Write the buffered ranges. If this fails, they are dropped, and stay pending in the file."""
        if not self.is_committed:
            with self._writing():
                pass

    def set_aside(self, range_id: int, attempt: int, failure: SetAside, rows: int = 1) -> None:
        """Record that a range that cannot be cut could not be loaded; `rows` are its rows."""
        with self._writing() as db:
            db.execute(
                "UPDATE range SET state = 'set aside', attempts = ?, rows_read = ?, rows_failed = ? WHERE id = ?",
                (attempt, rows, rows, range_id),
            )
            replace_failures(db, range_id, [failure])

    def note_attempt(self, range_id: int, attempt: int) -> None:
        """Record a failed attempt. The range stays pending."""
        with self._writing() as db:
            db.execute("UPDATE range SET attempts = ? WHERE id = ?", (attempt, range_id))

    def replace(self, range_id: int, parts: Sequence[PlannedRange]) -> list[RangeRecord]:
        """Replace the range by its parts, and return them."""
        with self._writing() as db:
            db.execute("UPDATE range SET state = 'split' WHERE id = ?", (range_id,))
            (place,) = db.execute("SELECT place FROM range WHERE id = ?", (range_id,)).fetchone()
            ids = [
                int(db.execute(INSERT, range_row(f"{place}.{place_of(at)}", part)).lastrowid or 0)
                for at, part in enumerate(parts)
            ]
        return [RangeRecord(new, part.keys, part.estimated_rows, 0) for new, part in zip(ids, parts, strict=True)]

    def adopt_epoch(self, epoch: int, known: int, before_look: int | None) -> int:
        """Let ranges belong to `epoch` that `known` confirmed, and that were settled before this look (None: any). Make
        the others pending that another epoch confirmed. Returns how many.

        Does nothing if an epoch is unknown (0): neither if `epoch` is, nor to ranges whose epoch is.
        """
        if not epoch:
            return 0
        before = _LAST_LOOK if before_look is None else before_look
        with self._writing() as db:
            db.execute(
                "UPDATE range SET epoch = ? WHERE state = 'done' AND epoch = ? AND look < ?",
                (str(epoch), str(known), before),
            )
        return self._reopen(
            "state = 'done' AND keys_written + keys_kept + keys_equal > 0 AND epoch NOT IN (?, '0')", (str(epoch),)
        )

    def checkpoints(self) -> list[Checkpoint]:
        """Every checkpoint that is kept, the oldest first."""
        with self._reading() as db:
            return [checkpoint_of(row) for row in db.execute("SELECT look, epoch, nodes FROM checkpoint ORDER BY look")]

    def note_checkpoint(self, checkpoint: Checkpoint, dropped: Sequence[int]) -> None:
        """Record a checkpoint, and forget those with the numbers in `dropped`."""
        nodes = json.dumps([asdict(node) for node in checkpoint.nodes])
        with self._writing() as db:
            db.executemany("DELETE FROM checkpoint WHERE look = ?", [(number,) for number in dropped])
            values = (checkpoint.number, str(checkpoint.epoch), nodes)
            db.execute("INSERT OR REPLACE INTO checkpoint VALUES (?, ?, ?)", values)

    def reopen_failures(self) -> int:
        """Make the ranges pending that shrank or had rows set aside. Returns how many."""
        return self._reopen(f"state IN ('done', 'set aside') AND rows_failed > 0 OR {SHRUNK}", ())

    def _reopen(self, condition: str, values: tuple[str, ...]) -> int:
        with self._writing() as db:
            found = db.execute(f"SELECT id FROM range WHERE {condition}", values).fetchall()
            db.executemany(f"UPDATE range SET {PENDING_AGAIN} WHERE id = ?", found)
            db.executemany("DELETE FROM failure WHERE range_id = ?", found)
            db.executemany("DELETE FROM difference WHERE range_id = ?", found)
        return len(found)

    @contextmanager
    def _writing(self, *, create: bool = False) -> Iterator[sqlite3.Connection]:
        done, self._done = self._done, []
        with self._asking(create=create) as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                if done:
                    db.executemany(FINISH, done)
                yield db
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        self.commit()
        try:
            with self._asking() as db:
                yield db
        except (ValueError, TypeError, RecursionError) as error:
            raise JournalError(f"the journal {self.path} is damaged: {error}", self._hint) from error

    @contextmanager
    def _asking(self, *, create: bool = False) -> Iterator[sqlite3.Connection]:
        try:
            if self._connection is None:
                self._connection = open_database(self.path, create=create, hint=self._hint)
            yield self._connection
        except (sqlite3.Error, OSError) as error:
            raise JournalError(
                f"the journal {self.path} failed: {error}", f"{_CHECK_DISK}; if so, the file is damaged"
            ) from error

    @property
    def _hint(self) -> str:
        return f"run shardload clean {self.path.parent.name}, then start a new job"
