"""Removes what a killed run left: its SysV objects (by the next command) and its directory (by `clean`).

Only what is provably that run's is removed. If objects cannot be removed, the record of them and its directory stay,
because nothing else says whose they are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from shardload.coordinator.janitor import end_workers
from shardload.errors import JobError, JobForeign, ShardloadError
from shardload.ipc import Board, count_recorded, remove_recorded
from shardload.jobdir.directory import JobDirectory
from shardload.jobdir.runfile import RunRecord
from shardload.jobs.owner import acting_for
from shardload.jobs.status import look
from shardload.process import ipc_namespace
from shardload.reporting.facts import RESUMABLE, RUNNING


def clean_up(state_dir: Path) -> int:
    """Clean up after every dead run under this directory. The result is the number of SysV objects removed."""
    removed = 0
    for directory in JobDirectory.all(state_dir):
        with suppress(JobError), acting_for(directory):  # it runs, or cannot be cleaned up; `clean` says why
            removed += _clean_up_job(directory)
    return removed


def _clean_up_job(directory: JobDirectory, *, dry_run: bool = False) -> int:
    """Remove a dead run's SysV objects, and end its workers. The result is how many objects there were.

    JobError, with the reason, if it is alive, or if there are objects on record that stay.
    """
    if not _run_of(directory).ipc:
        return 0
    lock = directory.lock()
    try:
        run = _run_of(directory)
        if not run.ipc:
            return 0
        _check_reachable(directory, run, run.ipc["uid"])
        return count_recorded(run.ipc, directory.key_file) if dry_run else _remove(directory, run, run.ipc)
    finally:
        os.close(lock)


def _run_of(directory: JobDirectory) -> RunRecord:
    """The last run; an empty record if the file is damaged. JobForeign if it is another user's."""
    try:
        return directory.read_run()
    except JobForeign:
        raise
    except JobError:
        return RunRecord()


def _check_reachable(directory: JobDirectory, run: RunRecord, uid: int) -> None:
    """JobError if the objects on record cannot be seen, or not be removed, by this process."""
    again = f"shardload clean {directory.name}"
    if run.ipc_namespace != ipc_namespace():
        raise JobError(
            "its SysV objects are in another IPC namespace (a container)",
            f"{again} there; if that is gone, they are gone with it: rm -r {directory.path}",
        )
    if uid != os.geteuid():
        raise JobError(
            f"its SysV objects are those of the user with uid {uid}, the directory is not",
            f"if that is right: ipcrm removes them, rm -r {directory.path} the rest",
        )


def _remove(directory: JobDirectory, run: RunRecord, record: dict[str, Any]) -> int:
    board = None if run.board_id is None else Board.attach(run.board_id)
    removed = remove_recorded(record, directory.key_file)
    if board is not None:
        if board.header().run_id == run.run_id:  # ids come back: is it still that run's board?
            end_workers(directory.name, board.workers())
        board.detach()
    if left := count_recorded(record, directory.key_file):
        raise JobError(f"{left} of its SysV objects could not be removed", "see ipcs, and ipcrm")
    directory.write_run(replace(run, ipc=None))
    return removed


def clean(state_dir: Path, names: Sequence[str], *, resumable: bool, dry_run: bool) -> Iterator[str]:
    """Remove what dead jobs left; a line for each thing removed, or kept for a reason. JobError for a named job that
    runs."""
    for directory in [JobDirectory.find(state_dir, name) for name in names] or JobDirectory.all(state_dir):
        try:
            with acting_for(directory):
                told = _clean_one(directory, is_named=bool(names), resumable=resumable, dry_run=dry_run)
        except JobForeign as error:
            told = [f"kept {directory.name}: {error}"]
        yield from told
    if not names:
        for directory in JobDirectory.incomplete(state_dir):
            told = []
            with suppress(JobForeign), acting_for(directory):
                told = list(_clean_job(directory, "never begun", "", dry_run=dry_run))
            yield from told


def _clean_one(directory: JobDirectory, *, is_named: bool, resumable: bool, dry_run: bool) -> list[str]:
    try:
        state, wrong = _state_of(directory)
    except JobError as error:
        return [f"kept {directory.name}: {error}"]
    if state in RUNNING:
        if is_named:
            raise JobError(f"job {directory.name} is {state}", f"end it first: shardload stop {directory.name}")
        return []
    why_kept = wrong
    if state in RESUMABLE and directory.journal_file.exists() and not resumable:
        why_kept = f"{state}, can be resumed (--resumable removes it too)"
    return list(_clean_job(directory, state, "" if is_named else why_kept, dry_run=dry_run))


def _state_of(directory: JobDirectory) -> tuple[str, str]:
    """The job's state, and what is wrong with its files if it is damaged. JobError if not even that can be told."""
    try:
        return look(directory).state, ""
    except JobForeign:
        raise
    except ShardloadError as error:
        return "running" if directory.is_locked() else "damaged", str(error)


def _clean_job(directory: JobDirectory, state: str, why_kept: str, *, dry_run: bool) -> Iterator[str]:
    would = "would remove" if dry_run else "removed"
    try:
        objects = _clean_up_job(directory, dry_run=dry_run)
        if objects:
            yield f"{would} {objects} SysV objects of job {directory.name}"
        if why_kept:
            yield f"kept {directory.name}: {why_kept}"
            return
        lock = directory.lock()
    except JobError as error:
        yield f"kept {directory.name}: {error}"
        return
    try:
        if dry_run or directory.remove():
            yield f"{would} {directory.path} ({state})"
        else:
            yield f"kept {directory.path}: there are files in it that are not shardload's"
    except OSError as error:
        yield f"kept {directory.path}: {error.strerror}"
    finally:
        os.close(lock)
