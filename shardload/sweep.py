"""What a killed run left: the next command removes its SysV objects, `clean` its directory too.

Only what is provably that run's is touched.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from shardload.errors import JobError, ShardloadError
from shardload.ipc import Board, count_recorded, remove_recorded
from shardload.janitor import end_loaders
from shardload.jobdir import JobDirectory
from shardload.process import ipc_namespace
from shardload.status import RESUMABLE, look


def sweep(state_dir: Path) -> int:
    """Clean up after every dead run under this directory. The result is the number of SysV objects removed."""
    return sum(_sweep_job(directory) for directory in JobDirectory.all(state_dir))


def _sweep_job(directory: JobDirectory, *, dry_run: bool = False) -> int:
    """Remove a dead run's SysV objects, and end its loaders. The result is how many objects there were."""
    try:
        if not directory.read_run().get("ipc"):
            return 0
        lock = directory.lock()
    except JobError:
        return 0  # it is alive (or damaged, which its own command will say)
    try:
        run = directory.read_run()
        record = run.get("ipc")
        if not record or record["uid"] != os.geteuid() or run.get("ipc_namespace") != ipc_namespace():
            return 0  # nothing, or not ours to remove, or nothing that we could see (then it may still be there)
        if dry_run:
            return count_recorded(record)
        board = Board.attach(record["board"]["id"])
        removed = remove_recorded(record)
        if board is not None:
            if board.header().run_id == run["run_id"]:  # ids come back: is it still that run's board?
                end_loaders(board.loaders())
            board.detach()
        directory.write_run({**run, "ipc": None})
        return removed
    finally:
        os.close(lock)


def clean(state_dir: Path, names: Sequence[str], *, resumable: bool, dry_run: bool) -> Iterator[str]:
    """Remove what dead jobs left; a line for each thing removed, or kept for a reason. JobError for a named job that
    runs."""
    chosen = [JobDirectory.find(state_dir, name) for name in names] or JobDirectory.all(state_dir)
    would = "would remove" if dry_run else "removed"
    for directory in chosen:
        try:
            seen = look(directory)
        except ShardloadError as error:
            yield f"kept {directory.name}: {error}"
            continue
        if seen.is_running:
            if names:
                raise JobError(
                    f"job {directory.name} is {seen.state}", f"end it first: shardload stop {directory.name}"
                )
            continue
        if objects := _sweep_job(directory, dry_run=dry_run):
            yield f"{would} {objects} SysV objects of job {directory.name}"
        can_go_on = seen.state in RESUMABLE and directory.journal_file.exists()
        if can_go_on and not (resumable or names):
            yield f"kept {directory.name}: {seen.state}, can be resumed (--resumable removes it too)"
        else:
            yield from _forget(directory, seen.state, would, dry_run=dry_run)
    if not names:
        for directory in JobDirectory.half_made(state_dir):
            yield from _forget(directory, "never begun", would, dry_run=dry_run)


def _forget(directory: JobDirectory, state: str, would: str, *, dry_run: bool) -> Iterator[str]:
    try:
        lock = directory.lock()
    except JobError as error:
        yield f"kept {directory.name}: {error}"
        return
    try:
        if dry_run or directory.forget():
            yield f"{would} {directory.path} ({state})"
        else:
            yield f"kept {directory.path}: there are files in it that are not shardload's"
    finally:
        os.close(lock)
