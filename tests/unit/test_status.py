"""A job seen from outside, before its run has a board and after: who holds it, and what its run said last."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shardload.jobdir.directory import JobDirectory
from shardload.jobdir.journal import Journal
from shardload.jobdir.runfile import RunRecord
from shardload.jobs.status import look, the_job
from shardload.model.keys import PlannedRange, integer_range
from shardload.process import ipc_namespace, start_time

ME = {"pid": os.getpid(), "start": start_time(os.getpid()), "run_id": 1, "ipc_namespace": ipc_namespace()}
GONE = {**ME, "start": 1}
STOPPED = {"status": "stopped", "workers": 2, "error": None}
RECORD = {"uid": os.geteuid(), "board": {"id": -1}, "queues": [], "semaphore": {"key": 1, "id": 1}}
ANNOUNCED = {"uid": os.geteuid(), "pid": os.getpid(), "since": 1}


@pytest.fixture
def job(tmp_path: Path) -> JobDirectory:
    """A job with a plan that nobody runs."""
    directory = JobDirectory.create(tmp_path, "users")
    directory.write_spec({})
    Journal.create(directory.journal_file, {}, [PlannedRange(integer_range(0, 10), 10)]).close()
    return directory


@pytest.fixture
def held(job: JobDirectory) -> Iterator[JobDirectory]:
    """The same, held by this process."""
    lock = job.lock()
    yield job
    os.close(lock)


@pytest.mark.parametrize(
    ("run", "state"),
    [
        ({}, "starting"),
        ({**GONE, "ipc": None, "outcome": STOPPED}, "starting"),
        ({**GONE, "ipc": None}, "starting"),
        ({**ME, "ipc": ANNOUNCED}, "starting"),
        ({**ME, "ipc": RECORD}, "stopping"),
        ({**ME, "ipc": None}, "stopping"),
        ({**ME, "ipc": None, "outcome": STOPPED}, "stopping"),
        ({**ME, "ipc": None, "phase": "searching"}, "searching"),
        ({**ME, "ipc": None, "phase": "searching", "outcome": STOPPED}, "stopping"),
    ],
)
def test_a_job_without_a_board_starts_or_winds_up(held: JobDirectory, run: dict[str, Any], state: str) -> None:
    """It winds up if the run that `run.json` tells of is still alive: its board is gone. Else a new one begins."""
    held.write_run(RunRecord.from_json(run))
    seen = look(held)
    assert (seen.state, seen.is_running) == (state, True)
    assert seen.pid == (os.getpid() if run.get("start") == ME["start"] else None)


@pytest.mark.parametrize(
    ("run", "state", "exit_code"),
    [
        ({}, "died", None),
        ({**ME, "ipc": None}, "died", None),
        ({**ME, "ipc": None, "outcome": STOPPED}, "stopped", None),
        ({**ME, "ipc": None, "outcome": {**STOPPED, "exit_code": 130}}, "stopped", 130),
    ],
)
def test_a_job_that_nobody_holds_has_ended(
    job: JobDirectory, run: dict[str, Any], state: str, exit_code: int | None
) -> None:
    """As it said itself, if it did."""
    job.write_run(RunRecord.from_json(run))
    seen = look(job)
    assert (seen.state, seen.exit_code, seen.pid) == (state, exit_code, None)


def test_the_only_job_that_runs_is_found_beside_a_broken_one(held: JobDirectory) -> None:
    """One whose lock cannot be opened, and one that is damaged: neither is in the way."""
    for name in ("looped", "damaged"):
        other = JobDirectory.create(held.path.parent, name)
        other.write_spec({})
        other.run_file.write_text("{")
    (held.path.parent / "looped" / "lock").symlink_to("lock")
    assert the_job(held.path.parent, None) == held
