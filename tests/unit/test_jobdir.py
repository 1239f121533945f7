"""A job's directory: names, modes, the lock, and the reports."""

from __future__ import annotations

import json
import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from shardload.errors import JobError
from shardload.jobdir.directory import JobDirectory
from shardload.jobdir.log import close_log, open_log
from shardload.jobdir.runfile import RunOutcome, RunRecord
from shardload.model.counts import SetAside


@pytest.fixture
def job(tmp_path: Path) -> JobDirectory:
    """A new job directory with a spec."""
    directory = JobDirectory.create(tmp_path / "state", "users")
    directory.write_spec({"table": "user"})
    return directory


def mode(path: Path) -> int:
    """A file's permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


def test_nobody_else_may_read_it(job: JobDirectory) -> None:
    """Directories have mode 0700 and files 0600, whatever the umask is."""
    before = os.umask(0)
    try:
        open_one = JobDirectory.create(job.path.parent.parent / "open", "j")
        open_one.write_spec({})
        open_one.write_run(RunRecord())
        os.close(open_one.lock())
        close_log(open_log(open_one.log_file))
    finally:
        os.umask(before)
    assert mode(open_one.path) == mode(open_one.path.parent) == 0o700
    files = sorted(path.name for path in open_one.path.iterdir())
    assert files == ["key", "lock", "log", "run.json", "spec.json"]
    assert {mode(open_one.path / name) for name in files} == {0o600}


def test_a_taken_name_is_refused(job: JobDirectory) -> None:
    """The error says how to continue the existing job, whose files stay as they are."""
    with pytest.raises(JobError) as caught:
        JobDirectory.create(job.path.parent, "users")
    assert caught.value.message == f"job users already exists in {job.path.parent}"
    assert caught.value.hint == "to continue it, run: shardload resume users; or choose another --job"
    assert job.read_spec() == {"table": "user"}


def test_an_empty_directory_takes_no_name(tmp_path: Path) -> None:
    """A kill right after mkdir leaves one; the job takes it over, and only this user can read it then."""
    (tmp_path / "users").mkdir(mode=0o755)
    directory = JobDirectory.create(tmp_path, "users")
    assert mode(directory.path) == 0o700
    assert directory.key_file.is_file()


def test_a_name_is_given_once(tmp_path: Path) -> None:
    """If many threads make the same directory at once, exactly one of them gets it."""
    racers = 8
    start = threading.Barrier(racers)

    def race(_: int) -> str:
        start.wait()
        try:
            return JobDirectory.create(tmp_path, "users").name
        except JobError as error:
            return error.message

    with ThreadPoolExecutor(racers) as pool:
        assert sorted(pool.map(race, range(racers)))[: racers - 1] == [f"job users already exists in {tmp_path}"] * 7


@pytest.mark.parametrize(
    ("files", "message", "hint"),
    [
        (["key", "journal.new"], "job users already exists in", "it never started; to remove it, run: shardload clean"),
        (["thesis.tex"], "users already exists and is not a job", "choose another --job"),
        (["key", "thesis.tex"], "users already exists and is not a job", "choose another --job"),
        (None, "users already exists and is not a job", "choose another --job"),
    ],
)
def test_a_name_taken_by_something_else(tmp_path: Path, files: list[str] | None, message: str, hint: str) -> None:
    """An incomplete job, or something else (None: a file), stays as it is; the hint says what to do."""
    path = tmp_path / "users"
    if files is None:
        path.touch()
    else:
        path.mkdir()
        for name in files:
            (path / name).touch()
    for attempt in (lambda: JobDirectory.create(tmp_path, "users"), JobDirectory(path).check_free):
        with pytest.raises(JobError) as caught:
            attempt()
        assert message in caught.value.message
        assert (caught.value.hint or "").startswith(hint)
    assert path.is_file() if files is None else sorted(entry.name for entry in path.iterdir()) == sorted(files)


def test_a_place_that_cannot_be_made(tmp_path: Path) -> None:
    """If a file is in the way, the error has the reason, and the hint the flag."""
    (tmp_path / "file").touch()
    with pytest.raises(JobError, match=r"cannot make the job directory .*Not a directory") as caught:
        JobDirectory.create(tmp_path / "file" / "state", "j")
    assert caught.value.hint == "choose another --state-dir"


def test_jobs_are_found_by_name(job: JobDirectory) -> None:
    """Directories without a spec are not listed."""
    state_dir = job.path.parent
    (state_dir / "stray").mkdir()
    (state_dir / "file").touch()
    second = JobDirectory.create(state_dir, "a-second")
    second.write_spec({})
    assert JobDirectory.find(state_dir, "users") == job
    assert [found.name for found in JobDirectory.all(state_dir)] == ["a-second", "users"]
    assert JobDirectory.all(state_dir / "nowhere") == []


@pytest.mark.parametrize("name", ["other", "stray"])
def test_an_unknown_job_is_refused(job: JobDirectory, name: str) -> None:
    """The hint names the jobs that exist."""
    with pytest.raises(JobError) as caught:
        JobDirectory.find(job.path.parent, name)
    assert caught.value.message == f"there is no job {name!r} in {job.path.parent}"
    assert caught.value.hint == "the jobs there: users"


def test_no_job_at_all(tmp_path: Path) -> None:
    """The hint names the flag."""
    with pytest.raises(JobError) as caught:
        JobDirectory.find(tmp_path, "x")
    assert caught.value.hint == "there are no jobs; choose another --state-dir"


def test_the_lock_says_who_holds_it(job: JobDirectory) -> None:
    """A second lock is refused with the holder's pid; after the release the lock is free."""
    held = job.lock()
    job.write_run(RunRecord(pid=4711))
    with pytest.raises(JobError) as caught:
        job.lock()
    assert caught.value.message == "job users is running, held by process 4711"
    assert caught.value.hint == "to watch it, run: shardload attach users; to end it, run: shardload stop users"
    os.close(held)
    os.close(job.lock())


def test_a_lock_held_before_the_first_run(job: JobDirectory) -> None:
    """It is refused too, although run.json does not name the holder yet."""
    held = job.lock()
    with pytest.raises(JobError, match=r"held by process \?"):
        job.lock()
    os.close(held)


def test_a_refused_lock_leaves_no_descriptor(job: JobDirectory) -> None:
    """Asking again and again does not use up descriptors."""
    held = job.lock()
    before = len(os.listdir("/dev/fd"))  # noqa: PTH208  # a list of numbers, not of paths
    for _ in range(3):
        with pytest.raises(JobError):
            job.lock()
    assert len(os.listdir("/dev/fd")) == before  # noqa: PTH208
    os.close(held)


def test_run_and_spec_come_back(job: JobDirectory) -> None:
    """JSON in, JSON out; before the first run there is nothing; no half-written file is left."""
    assert job.read_run() == RunRecord()
    job.write_run(RunRecord(pid=1, troubles=("a", "b")))
    assert job.read_run().troubles == ("a", "b")
    job.write_run(RunRecord(pid=2, outcome=RunOutcome("stopped", 4, "a reason", 143)))
    assert job.read_run() == RunRecord(pid=2, outcome=RunOutcome("stopped", 4, "a reason", 143))
    assert not list(job.path.glob("*.new"))


DAMAGED = "the job's directory is damaged: run shardload clean users, then start a new job"


@pytest.mark.parametrize("content", ["", "{", "[1]", "\udcff", "[" * 100_000])
def test_a_damaged_file_is_named(job: JobDirectory, content: str) -> None:
    """The error names the file; there is no traceback."""
    job.spec_file.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(JobError, match=r"spec\.json") as caught:
        job.read_spec()
    assert caught.value.hint == DAMAGED


@pytest.mark.parametrize("run", [{"ipc": 1}, {"pid": "x"}, {"outcome": []}])
def test_a_run_of_the_wrong_shape_is_damaged(job: JobDirectory, run: dict[str, Any]) -> None:
    """It is JSON, but nobody could use it: said with the names that are wrong."""
    job.run_file.write_text(json.dumps(run))
    job.run_file.chmod(0o600)
    with pytest.raises(JobError, match=rf"run\.json has wrong values: {next(iter(run))}") as caught:
        job.read_run()
    assert caught.value.hint == DAMAGED


def test_a_lock_that_cannot_be_opened(job: JobDirectory) -> None:
    """`lock` fails with one line, and `remove` leaves the directory that is in the lock's place."""
    (job.path / "lock").mkdir()
    with pytest.raises(JobError, match=r"lock is not the type of file that belongs there"):
        job.lock()
    assert not job.remove()
    assert [path.name for path in job.path.iterdir()] == ["lock"]


TOLD = [SetAside("id=1", "a\nreason\u2028with lines"), SetAside("", "Ünïcode \udcff")]


def test_a_report_is_taken_once(job: JobDirectory) -> None:
    """Rows come back in the order of several writes; a second call returns nothing."""
    job.reports.write(3, 1, TOLD[:1])
    job.reports.write(3, 1, TOLD[1:])
    job.reports.write(3, 2, [SetAside("id=9", "another attempt")])
    assert job.reports.take(3, 1) == TOLD
    assert job.reports.take(3, 1) == []
    assert job.reports.take(4, 1) == []
    assert job.reports.take(3, 2) == [SetAside("id=9", "another attempt")]


def test_a_long_reason_is_cut(job: JobDirectory) -> None:
    """The report already has the shortened text, so the journal gets no more."""
    job.reports.write(1, 1, [SetAside("k" * 10**6, "r" * 10**6)])
    (told,) = job.reports.take(1, 1)
    assert len(told.key) + len(told.reason) < 2200


def test_reports_of_the_dead_are_removed(job: JobDirectory) -> None:
    """The reports are removed, all other files stay."""
    job.reports.write(1, 1, TOLD)
    job.reports.write(2, 5, TOLD)
    job.reports.remove()
    assert sorted(path.name for path in job.path.iterdir()) == ["key", "spec.json"]


def test_the_log(job: JobDirectory) -> None:
    """Lines are appended with time, level and process; after `close_log` nothing is written."""
    import logging

    for text in ("first", "second"):
        handler = open_log(job.log_file)
        logging.getLogger("shardload.worker.loop").info("a %s line", text)
        close_log(handler)
    logging.getLogger("shardload.worker.loop").info("a third line")
    lines = job.log_file.read_text().splitlines()
    assert [line.split(": ", 1)[1] for line in lines] == ["a first line", "a second line"]
    assert all(f" INFO coordinator[{os.getpid()}]: " in line for line in lines)
