"""What a killed run left: the next command removes it. Only what is provably that run's is touched."""

from __future__ import annotations

import os
from pathlib import Path

from shardload.errors import JobError
from shardload.ipc import Board, remove_recorded
from shardload.janitor import end_loaders
from shardload.jobdir import JobDirectory


def sweep(state_dir: Path) -> int:
    """Clean up after every dead run under this directory. The result is the number of SysV objects removed."""
    return sum(_sweep_job(directory) for directory in JobDirectory.all(state_dir))


def _sweep_job(directory: JobDirectory) -> int:
    try:
        if not directory.read_run().get("ipc"):
            return 0
        lock = directory.lock()
    except JobError:
        return 0  # it is alive (or damaged, which its own command will say)
    try:
        run = directory.read_run()
        record = run.get("ipc")
        if not record or record["uid"] != os.geteuid():
            return 0
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
