"""The journal: a job's plan and every range's outcome, in SQLite. The only truth about what is done.

One writer, the coordinator; readers may look at any time (write-ahead log). After a kill -9 the journal says of every
range either "done, with these counts" or "to do", never something between. Ranges that are done wait for `commit`, so
that those which end at almost the same time share a transaction; whatever else is asked or written takes them along.
The connection is opened when it is needed and can be closed around a fork.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shardload.errors import JournalError
from shardload.files.ownfile import check_own_file, open_own
from shardload.jobdir.rows import fact_of, failure_of, record_of, totals_of
from shardload.model.counts import Counts, SetAside, Totals
from shardload.model.keys import PlannedRange, RangeRecord

_VERSION = 2
_COMPANIONS = ("", "-wal", "-shm", "-journal")
_BUSY_TIMEOUT_S = 10
_CHECKPOINT_PAGES = 10_000  # a checkpoint waits for the disk, and the workers must not wait for a checkpoint
# Keys are text: SQLite's integers end at 2**63 - 1, MySQL's at 2**64 - 1. Epochs are text for the same reason.
_SCHEMA = """
CREATE TABLE job (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE run (id INTEGER PRIMARY KEY, started TEXT NOT NULL, seconds REAL NOT NULL);
CREATE TABLE range (
    id INTEGER PRIMARY KEY,
    low TEXT NOT NULL,
    high TEXT NOT NULL,
    estimated_rows INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('todo', 'done', 'split', 'set aside')),
    attempts INTEGER NOT NULL DEFAULT 0,
    epoch TEXT NOT NULL DEFAULT '0',
    rows_read INTEGER NOT NULL DEFAULT 0,
    keys_written INTEGER NOT NULL DEFAULT 0,
    rows_skipped INTEGER NOT NULL DEFAULT 0,
    rows_failed INTEGER NOT NULL DEFAULT 0,
    source_bytes INTEGER NOT NULL DEFAULT 0,
    target_bytes INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE failure (range_id INTEGER NOT NULL, key TEXT NOT NULL, reason TEXT NOT NULL);
CREATE INDEX failure_range ON failure (range_id);
"""
_COUNTS = "rows_read, keys_written, rows_skipped, rows_failed, source_bytes, target_bytes"
_FINISH = f"UPDATE range SET state = 'done', attempts = ?, epoch = ?, ({_COUNTS}) = (?, ?, ?, ?, ?, ?) WHERE id = ?"
_SHRUNK = "state = 'done' AND rows_failed = 0 AND id IN (SELECT range_id FROM failure)"
_WIPED = (
    "state = 'todo', rows_read = 0, keys_written = 0, rows_skipped = 0, rows_failed = 0, "
    "source_bytes = 0, target_bytes = 0, epoch = '0'"
)


class Journal:
    """The file of one job. Every method raises JournalError if SQLite refuses (disk full, damaged file)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._done: list[tuple[int | str, ...]] = []  # what `finish` was told and the file does not have yet

    @classmethod
    def create(cls, path: Path, facts: dict[str, Any], plan: Sequence[PlannedRange]) -> Journal:
        """A new journal with the job's facts and its plan, complete or not there at all."""
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        try:
            os.close(open_own(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL))  # SQLite's other files get its mode
        except OSError as error:
            raise JournalError(f"cannot make the journal {path}: {error.strerror}", "is the disk full?") from None
        journal = cls(new)
        with journal._writing(create=True) as db:
            for statement in _SCHEMA.split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {_VERSION}")
            db.executemany("INSERT INTO job VALUES (?, ?)", [(name, json.dumps(fact)) for name, fact in facts.items()])
            db.executemany(
                "INSERT INTO range (low, high, estimated_rows, state) VALUES (?, ?, ?, 'todo')",
                [(str(p.keys.low), str(p.keys.high), p.estimated_rows) for p in plan],
            )
        journal.close()
        new.rename(path)
        return cls(path)

    def close(self) -> None:
        """Commit, and close the connection (before a fork, and at the end); the next call opens it again."""
        self.commit()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def fact(self, name: str) -> dict[str, Any]:
        """What was stored under this name at the creation."""
        with self._reading() as db:
            row = db.execute("SELECT value FROM job WHERE name = ?", (name,)).fetchone()
            if row is None:
                raise ValueError(f"it lacks {name}")
            return fact_of(row[0])

    def todo(self) -> list[RangeRecord]:
        """The ranges that are neither done, split nor set aside, in the order of their keys."""
        with self._reading() as db:
            rows = db.execute("SELECT id, low, high, estimated_rows, attempts FROM range WHERE state = 'todo'")
            records = [record_of(row) for row in rows]
        return sorted(records, key=lambda record: record.keys.low)

    def totals(self) -> Totals:
        """Everything that is settled, added up."""
        with self._reading() as db:
            row = db.execute(
                "SELECT COALESCE(SUM(rows_read), 0), COALESCE(SUM(keys_written), 0), COALESCE(SUM(rows_skipped), 0),"
                " COALESCE(SUM(rows_failed), 0), COALESCE(SUM(source_bytes), 0), COALESCE(SUM(target_bytes), 0),"
                " COUNT(*), COALESCE(SUM(state = 'done'), 0), COALESCE(SUM(state = 'set aside'), 0),"
                " COALESCE(SUM(attempts > 1), 0), COALESCE(SUM(estimated_rows), 0),"
                " COALESCE(SUM(CASE WHEN state = 'todo' THEN 0 ELSE estimated_rows END), 0)"
                " FROM range WHERE state <> 'split'"
            ).fetchone()
            vanished = db.execute(f"SELECT COALESCE(SUM(estimated_rows - rows_read), 0) FROM range WHERE {_SHRUNK}")
            runs = db.execute("SELECT seconds FROM run")
            return totals_of(row, vanished.fetchone()[0], runs.fetchall())

    def failures(self) -> Iterator[SetAside]:
        """Every row that was set aside, with its reason, by range."""
        with self._reading() as db:
            for row in db.execute("SELECT key, reason FROM failure ORDER BY range_id, rowid"):
                yield failure_of(row)

    def begin_run(self, started: str) -> int:
        """A new run of the job; the result is its number, for `finish` and `end_run`."""
        with self._writing() as db:
            return int(db.execute("INSERT INTO run (started, seconds) VALUES (?, 0)", (started,)).lastrowid or 0)

    def end_run(self, run: int, seconds: float) -> None:
        """How long the run has lasted (said again with every range that is done)."""
        with self._writing() as db:
            db.execute("UPDATE run SET seconds = ? WHERE id = ?", (seconds, run))

    def finish(self, range_id: int, counts: Counts, epoch: int, attempt: int, set_aside: Sequence[SetAside]) -> None:
        """A range is done: every row of it is written and confirmed, skipped, or listed in `set_aside`. It waits for
        `commit`, unless a row was set aside."""
        self._done.append((attempt, str(epoch), *counts.as_tuple(), range_id))
        if set_aside:
            with self._writing() as db:
                _replace_failures(db, range_id, set_aside)

    @property
    def is_committed(self) -> bool:
        """False while a kill would make a finished range one that is to do."""
        return not self._done

    def commit(self) -> None:
        """Write what waits. If that fails it is gone: the ranges are to do, as the file says."""
        if not self.is_committed:
            with self._writing():
                pass

    def set_aside(self, range_id: int, attempt: int, failure: SetAside) -> None:
        """A range of a single row could not be loaded."""
        with self._writing() as db:
            db.execute(
                "UPDATE range SET state = 'set aside', attempts = ?, rows_read = 1, rows_failed = 1 WHERE id = ?",
                (attempt, range_id),
            )
            _replace_failures(db, range_id, [failure])

    def note_attempt(self, range_id: int, attempt: int) -> None:
        """An attempt failed; the range stays to do."""
        with self._writing() as db:
            db.execute("UPDATE range SET attempts = ? WHERE id = ?", (attempt, range_id))

    def split(self, record: RangeRecord) -> list[RangeRecord]:
        """The range's two halves, which take its place."""
        halves = []
        with self._writing() as db:
            db.execute("UPDATE range SET state = 'split' WHERE id = ?", (record.range_id,))
            for keys in record.keys.halves():
                estimate = min(keys.span_keys, -(-record.estimated_rows // 2))
                cursor = db.execute(
                    "INSERT INTO range (low, high, estimated_rows, state) VALUES (?, ?, ?, 'todo')",
                    (str(keys.low), str(keys.high), estimate),
                )
                halves.append(RangeRecord(int(cursor.lastrowid or 0), keys, estimate, 0))
        return halves

    def reopen_other_epochs(self, epoch: int) -> int:
        """Ranges that another epoch of the target confirmed are to be done again; the result is their number.

        Epoch 0 is an unknown one: then nothing can be said, and nothing is reopened.
        """
        if not epoch:
            return 0
        return self._reopen("state = 'done' AND keys_written > 0 AND epoch NOT IN (?, '0')", (str(epoch),))

    def reopen_failures(self) -> int:
        """Ranges that shrank or had rows set aside are to be done again; the result is their number."""
        return self._reopen(f"state IN ('done', 'set aside') AND rows_failed > 0 OR {_SHRUNK}", ())

    def _reopen(self, condition: str, values: tuple[str, ...]) -> int:
        with self._writing() as db:
            found = db.execute(f"SELECT id FROM range WHERE {condition}", values).fetchall()
            db.executemany(f"UPDATE range SET {_WIPED} WHERE id = ?", found)
            db.executemany("DELETE FROM failure WHERE range_id = ?", found)
        return len(found)

    @contextmanager
    def _writing(self, *, create: bool = False) -> Iterator[sqlite3.Connection]:
        done, self._done = self._done, []
        with self._asking(create=create) as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                if done:
                    db.executemany(_FINISH, done)
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
            raise JournalError(f"the journal {self.path} is damaged: {error}", self._way_on) from error

    @contextmanager
    def _asking(self, *, create: bool = False) -> Iterator[sqlite3.Connection]:
        try:
            yield self._opened(create=create)
        except (sqlite3.Error, OSError) as error:
            raise JournalError(
                f"the journal {self.path} failed: {error}", "is the disk full, or the file damaged?"
            ) from error

    def _opened(self, *, create: bool) -> sqlite3.Connection:
        if self._connection is None:
            for ending in _COMPANIONS:  # SQLite follows symbolic links
                check_own_file(self.path.with_name(self.path.name + ending))
            is_fixed = not create and _is_read_only(self.path.parent)
            mode = self._mode_of_a_fixed_file() if is_fixed else "rwc" if create else "rw"
            db = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=_BUSY_TIMEOUT_S
            )
            try:
                version = db.execute("PRAGMA user_version").fetchone()[0]
            except sqlite3.Error:
                db.close()
                raise
            if version != _VERSION and not create:
                db.close()
                if not version:
                    raise JournalError(f"{self.path} is no journal of shardload's", self._way_on)
                raise JournalError(
                    f"the journal {self.path} is of version {version}, not {_VERSION}",
                    "finish the job with the shardload that began it, or start a new one",
                )
            if not create and not is_fixed:
                db.execute("PRAGMA journal_mode = WAL")
                db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
                db.execute("PRAGMA synchronous = NORMAL")  # a power cut may undo the last acks: they are loaded again
            self._connection = db
        return self._connection

    @property
    def _way_on(self) -> str:
        return f"start a new job; shardload clean {self.path.parent.name} removes this one"

    def _mode_of_a_fixed_file(self) -> str:
        """Where nothing can be written, SQLite can read what it left whole, but has to be told so."""
        has_log = self.path.with_name(self.path.name + "-wal").exists()
        return "ro" if has_log else "ro&immutable=1"


def _is_read_only(directory: Path) -> bool:
    """True on a file system that is mounted read-only, as many are after an error of the disk."""
    try:
        return bool(os.statvfs(directory).f_flag & os.ST_RDONLY)
    except OSError:
        return False  # it is gone, which SQLite will say


def _replace_failures(db: sqlite3.Connection, range_id: int, failures: Sequence[SetAside]) -> None:
    db.execute("DELETE FROM failure WHERE range_id = ?", (range_id,))
    db.executemany(
        "INSERT INTO failure VALUES (?, ?, ?)", [(range_id, failure.key, failure.reason) for failure in failures]
    )
