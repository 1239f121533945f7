"""The journal's database: its tables, and how SQLite opens it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from shardload.errors import JournalError
from shardload.files.ownfile import check_own_file
from shardload.model.counts import COUNT_NAMES

_VERSION = 5
_COMPANIONS = ("", "-wal", "-shm", "-journal")
_BUSY_TIMEOUT_S = 10
_CHECKPOINT_PAGES = 10_000  # keeps checkpoints rare: each waits for the disk, and the workers wait meanwhile
# Bounds are JSON lists (`rows.py`); NULL is an open end. `place` orders ranges as their keys: MySQL alone could compare
# those. A range's parts have its place and their own behind it. Epochs are text: SQLite's integers end at 2**63 - 1.
_SCHEMA = """
CREATE TABLE job (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE run (id INTEGER PRIMARY KEY, started TEXT NOT NULL, seconds REAL NOT NULL);
CREATE TABLE range (
    id INTEGER PRIMARY KEY,
    place TEXT NOT NULL,
    low TEXT,
    high TEXT,
    estimated_rows INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('todo', 'done', 'split', 'set aside')),
    attempts INTEGER NOT NULL DEFAULT 0,
    epoch TEXT NOT NULL DEFAULT '0',
    look INTEGER NOT NULL DEFAULT 0,
    rows_read INTEGER NOT NULL DEFAULT 0,
    keys_written INTEGER NOT NULL DEFAULT 0,
    rows_skipped INTEGER NOT NULL DEFAULT 0,
    rows_failed INTEGER NOT NULL DEFAULT 0,
    source_bytes INTEGER NOT NULL DEFAULT 0,
    target_bytes INTEGER NOT NULL DEFAULT 0,
    keys_kept INTEGER NOT NULL DEFAULT 0,
    lookups_written INTEGER NOT NULL DEFAULT 0,
    keys_equal INTEGER NOT NULL DEFAULT 0,
    keys_differing INTEGER NOT NULL DEFAULT 0,
    keys_expired INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE failure (range_id INTEGER NOT NULL, key TEXT NOT NULL, reason TEXT NOT NULL);
CREATE INDEX failure_range ON failure (range_id);
CREATE TABLE difference (
    range_id INTEGER, -- NULL: no row stands for the key
    key BLOB NOT NULL,
    fault TEXT NOT NULL,
    detail TEXT NOT NULL,
    repaired INTEGER NOT NULL
);
CREATE INDEX difference_range ON difference (range_id);
CREATE TABLE event (at TEXT NOT NULL, text TEXT NOT NULL);
CREATE TABLE checkpoint (look INTEGER PRIMARY KEY, epoch TEXT NOT NULL, nodes TEXT NOT NULL);
"""

# Statements, and parts of them.
COUNTS = ", ".join(COUNT_NAMES)
FINISH = (
    f"UPDATE range SET state = 'done', attempts = ?, epoch = ?, look = ?, ({COUNTS}) = "
    f"({', '.join('?' for _ in COUNT_NAMES)}) WHERE id = ?"
)
RECORD = "id, low, high, estimated_rows, attempts"
INSERT = "INSERT INTO range (place, low, high, estimated_rows, state) VALUES (?, ?, ?, ?, 'todo')"
SHRUNK = "state = 'done' AND rows_failed = 0 AND id IN (SELECT range_id FROM failure)"
PENDING_AGAIN = ", ".join(["state = 'todo'", "epoch = '0'", *[f"{name} = 0" for name in COUNT_NAMES]])
SUMS = ", ".join(f"COALESCE(SUM({name}), 0)" for name in COUNT_NAMES)


def make_tables(db: sqlite3.Connection) -> None:
    """Make the tables of a new journal."""
    for statement in _SCHEMA.split(";"):
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {_VERSION}")


def open_database(path: Path, *, create: bool, hint: str) -> sqlite3.Connection:
    """Open a journal, or with `create` an empty file that becomes one. `hint` is what to do if it is not a journal.

    JournalError if it is not one, or of another version; sqlite3.Error or OSError if it cannot be opened.
    """
    for ending in _COMPANIONS:  # SQLite follows symbolic links
        check_own_file(path.with_name(path.name + ending))
    is_read_only = not create and _is_read_only(path.parent)
    mode = _read_only_mode(path) if is_read_only else "rwc" if create else "rw"
    db = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=_BUSY_TIMEOUT_S
    )
    try:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version != _VERSION and not create:
            raise _wrong_version(path, version, hint)
    except (sqlite3.Error, JournalError):
        db.close()
        raise
    if not create and not is_read_only:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        db.execute("PRAGMA synchronous = NORMAL")  # a power cut may lose the last ranges: they are loaded again
    return db


def _wrong_version(path: Path, version: int, hint: str) -> JournalError:
    if not version:
        return JournalError(f"{path} is not a shardload journal", hint)
    return JournalError(
        f"the journal {path} has version {version}, not {_VERSION}",
        "resume it with the version of shardload that started it, or start a new job",
    )


def _read_only_mode(path: Path) -> str:
    """How to open a journal that cannot be written. SQLite reads one without a log only if called immutable."""
    has_log = path.with_name(path.name + "-wal").exists()
    return "ro" if has_log else "ro&immutable=1"


def _is_read_only(directory: Path) -> bool:
    """True on a read-only file system; Linux remounts many as such after a disk error."""
    try:
        return bool(os.statvfs(directory).f_flag & os.ST_RDONLY)
    except OSError:
        return False  # it is gone: SQLite reports that
