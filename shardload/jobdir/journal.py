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
_CHECKPOINT_PAGES = 10_000  # keeps checkpoints rare: each waits for the disk, and the workers wait meanwhile
# Keys are text: SQLite's integers end at 2**63 - 1, MySQL's at 2**64 - 1. Epochs are text for the same reason.
_CHECK_DISK = "check that the disk has space and is writable"
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
_PENDING_AGAIN = (
    "state = 'todo', rows_read = 0, keys_written = 0, rows_skipped = 0, rows_failed = 0, "
    "source_bytes = 0, target_bytes = 0, epoch = '0'"
)


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
        """Commit, and close the connection. The next call opens it again. Call this before a fork, and at the end."""
        self.commit()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def fact(self, name: str) -> dict[str, Any]:
        """Read a fact that `create` stored under this name."""
        with self._reading() as db:
            row = db.execute("SELECT value FROM job WHERE name = ?", (name,)).fetchone()
            if row is None:
                raise ValueError(f"{name} is missing")
            return fact_of(row[0])

    def todo(self) -> list[RangeRecord]:
        """The pending ranges, in the order of their keys."""
        with self._reading() as db:
            rows = db.execute("SELECT id, low, high, estimated_rows, attempts FROM range WHERE state = 'todo'")
            records = [record_of(row) for row in rows]
        return sorted(records, key=lambda record: record.keys.low)

    def totals(self) -> Totals:
        """Add up the counts of all settled ranges."""
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
        """Every row that was set aside, with its reason, in the order of the ranges' ids."""
        with self._reading() as db:
            for row in db.execute("SELECT key, reason FROM failure ORDER BY range_id, rowid"):
                yield failure_of(row)

    def begin_run(self, started: str) -> int:
        """Record a new run of the job. Returns its id, for `end_run`."""
        with self._writing() as db:
            return int(db.execute("INSERT INTO run (started, seconds) VALUES (?, 0)", (started,)).lastrowid or 0)

    def end_run(self, run: int, seconds: float) -> None:
        """Record how many seconds the run has lasted."""
        with self._writing() as db:
            db.execute("UPDATE run SET seconds = ? WHERE id = ?", (seconds, run))

    def finish(self, range_id: int, counts: Counts, epoch: int, attempt: int, set_aside: Sequence[SetAside]) -> None:
        """Record a done range: each of its rows is written and confirmed, skipped, or listed in `set_aside`.

        The range is buffered until `commit`, unless rows were set aside.
        """
        self._done.append((attempt, str(epoch), *counts.as_tuple(), range_id))
        if set_aside:
            with self._writing() as db:
                _replace_failures(db, range_id, set_aside)

    @property
    def is_committed(self) -> bool:
        """False while ranges are buffered: a kill now would leave them pending."""
        return not self._done

    def commit(self) -> None:
        """Write the buffered ranges. If this fails, they are dropped, and stay pending in the file."""
        if not self.is_committed:
            with self._writing():
                pass

    def set_aside(self, range_id: int, attempt: int, failure: SetAside) -> None:
        """Record that a range of a single row could not be loaded."""
        with self._writing() as db:
            db.execute(
                "UPDATE range SET state = 'set aside', attempts = ?, rows_read = 1, rows_failed = 1 WHERE id = ?",
                (attempt, range_id),
            )
            _replace_failures(db, range_id, [failure])

    def note_attempt(self, range_id: int, attempt: int) -> None:
        """Record a failed attempt. The range stays pending."""
        with self._writing() as db:
            db.execute("UPDATE range SET attempts = ? WHERE id = ?", (attempt, range_id))

    def split(self, record: RangeRecord) -> list[RangeRecord]:
        """Replace the range by its two halves, and return them."""
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
        """Make the ranges pending that another epoch of the target confirmed. Returns how many.

        Does nothing if an epoch is unknown (0): neither if `epoch` is, nor to ranges whose epoch is.
        """
        if not epoch:
            return 0
        return self._reopen("state = 'done' AND keys_written > 0 AND epoch NOT IN (?, '0')", (str(epoch),))

    def reopen_failures(self) -> int:
        """Make the ranges pending that shrank or had rows set aside. Returns how many."""
        return self._reopen(f"state IN ('done', 'set aside') AND rows_failed > 0 OR {_SHRUNK}", ())

    def _reopen(self, condition: str, values: tuple[str, ...]) -> int:
        with self._writing() as db:
            found = db.execute(f"SELECT id FROM range WHERE {condition}", values).fetchall()
            db.executemany(f"UPDATE range SET {_PENDING_AGAIN} WHERE id = ?", found)
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
            raise JournalError(f"the journal {self.path} is damaged: {error}", self._hint) from error

    @contextmanager
    def _asking(self, *, create: bool = False) -> Iterator[sqlite3.Connection]:
        try:
            yield self._opened(create=create)
        except (sqlite3.Error, OSError) as error:
            raise JournalError(
                f"the journal {self.path} failed: {error}", f"{_CHECK_DISK}; if so, the file is damaged"
            ) from error

    def _opened(self, *, create: bool) -> sqlite3.Connection:
        if self._connection is None:
            for ending in _COMPANIONS:  # SQLite follows symbolic links
                check_own_file(self.path.with_name(self.path.name + ending))
            is_read_only = not create and _is_read_only(self.path.parent)
            mode = self._read_only_mode() if is_read_only else "rwc" if create else "rw"
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
                    raise JournalError(f"{self.path} is not a shardload journal", self._hint)
                raise JournalError(
                    f"the journal {self.path} has version {version}, not {_VERSION}",
                    "resume it with the version of shardload that started it, or start a new job",
                )
            if not create and not is_read_only:
                db.execute("PRAGMA journal_mode = WAL")
                db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
                db.execute("PRAGMA synchronous = NORMAL")  # a power cut may lose the last ranges: they are loaded again
            self._connection = db
        return self._connection

    @property
    def _hint(self) -> str:
        return f"run shardload clean {self.path.parent.name}, then start a new job"

    def _read_only_mode(self) -> str:
        """How to open a journal that cannot be written. SQLite reads one without a log only if called immutable."""
        has_log = self.path.with_name(self.path.name + "-wal").exists()
        return "ro" if has_log else "ro&immutable=1"


def _is_read_only(directory: Path) -> bool:
    """True on a read-only file system; Linux remounts many as such after a disk error."""
    try:
        return bool(os.statvfs(directory).f_flag & os.ST_RDONLY)
    except OSError:
        return False  # it is gone: SQLite reports that


def _replace_failures(db: sqlite3.Connection, range_id: int, failures: Sequence[SetAside]) -> None:
    db.execute("DELETE FROM failure WHERE range_id = ?", (range_id,))
    db.executemany(
        "INSERT INTO failure VALUES (?, ?, ?)", [(range_id, failure.key, failure.reason) for failure in failures]
    )
