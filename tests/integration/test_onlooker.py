"""Rate and time left, as another process computes them from the board."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shardload.ipc import BoardHeader, IpcSet, RunState, create
from shardload.jobdir.directory import JobDirectory
from shardload.jobdir.journal import Journal
from shardload.jobdir.runfile import RunRecord
from shardload.jobs.status import Onlooker, look
from shardload.model.counts import Counts
from shardload.model.keys import PlannedRange, integer_range
from shardload.process import ipc_namespace, start_time

ROWS = 1_000_000
HOUR_S = 3600.0


@pytest.fixture
def job(tmp_path: Path) -> Iterator[tuple[JobDirectory, IpcSet]]:
    """A job that this process pretends to run."""
    directory = JobDirectory.create(tmp_path, "users")
    directory.write_spec({})
    Journal.create(directory.journal_file, {}, [PlannedRange(integer_range(0, ROWS), ROWS)]).close()
    lock = directory.lock()
    me, start = os.getpid(), start_time(os.getpid())
    ipc = create(directory.key_file, BoardHeader(1, 7, me, start))
    directory.write_run(RunRecord(pid=me, start=start, run_id=7, ipc_namespace=ipc_namespace(), ipc=ipc.record))
    yield directory, ipc
    ipc.remove()
    ipc.board.detach()
    os.close(lock)


def settle(ipc: IpcSet, rows: int, *, paused_s: float = 0.0, since_s: float = 0.0) -> None:
    """Write a run that began an hour ago: its settled rows, its ended pauses, and the start of the current one."""
    started_s = time.monotonic() - HOUR_S
    counts = Counts(rows_read=rows, keys_written=rows)
    ipc.board.write_run_state(
        RunState(1, counts, 10, 0, 0, 0, ROWS, rows, 0.0, started_s, paused_s, since_s, 0, 0.0), []
    )


def test_before_anything_is_on_the_board_it_is_starting(job: tuple[JobDirectory, IpcSet]) -> None:
    """An empty board means neither a complete job nor one as old as the machine."""
    seen = look(job[0])
    assert (seen.state, seen.share, seen.eta_s, seen.ranges) == ("starting", 0.0, None, 1)


def test_an_hours_pause_does_not_count(job: tuple[JobDirectory, IpcSet]) -> None:
    """A second look shows the current speed; a single look shows the mean of the run."""
    directory, ipc = job
    settle(ipc, 500_000)
    onlooker = Onlooker(directory)
    first = onlooker.look()
    assert first.state == "running"
    assert first.eta_s == pytest.approx(HOUR_S, rel=0.01)
    ipc.board.set_paused(True)
    assert onlooker.look().eta_s is None
    ipc.board.set_paused(False)
    settle(ipc, 900_000)
    again = onlooker.look()
    assert again.eta_s is not None
    assert again.eta_s < 60
    assert again.rows_per_second > 10_000
    assert again.as_json()["eta_s"] < 60
    assert look(directory).eta_s == pytest.approx(HOUR_S / 9, rel=0.01)
    still = onlooker.look()
    assert still.counts.rows_read == 900_000


def test_a_single_look_leaves_pauses_out(job: tuple[JobDirectory, IpcSet]) -> None:
    """Ended and current pauses do not count: half of the rows took half an hour of work."""
    directory, ipc = job
    half_s = HOUR_S / 2
    settle(ipc, 500_000, paused_s=half_s)
    seen = look(directory)
    assert seen.eta_s == pytest.approx(half_s, rel=0.01)
    assert seen.rows_per_second == pytest.approx(500_000 / half_s, rel=0.01)
    assert seen.seconds == pytest.approx(HOUR_S, rel=0.01)
    ipc.board.set_paused(True)
    settle(ipc, 500_000, paused_s=half_s - 60, since_s=time.monotonic() - 60)
    seen = look(directory)
    assert (seen.state, seen.eta_s) == ("paused", None)
    assert seen.rows_per_second == pytest.approx(500_000 / half_s, rel=0.01)
