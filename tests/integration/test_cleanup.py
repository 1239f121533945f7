"""Cleaning up after dead runs: real SysV objects, and directories that are damaged, foreign or of another container."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shardload.errors import JobError
from shardload.ipc import BoardHeader, announce, create, remove_recorded
from shardload.jobdir.directory import JobDirectory
from shardload.jobdir.journal import Journal
from shardload.jobdir.runfile import RunRecord
from shardload.jobs.cleanup import clean, clean_up
from shardload.jobs.owner import acting_for
from shardload.process import ipc_namespace
from tests.harness import ipc_objects

NOBODY = 65534


def dead_job(state_dir: Path, name: str, **more: Any) -> JobDirectory:
    """A job whose run died, all its SysV objects being left."""
    directory = JobDirectory.create(state_dir, name)
    directory.write_spec({})
    Journal.create(directory.journal_file, {}, []).close()
    os.close(directory.lock())
    ipc = create(directory.key_file, BoardHeader(1, 1, 1, 1))
    ipc.board.detach()
    run = RunRecord(pid=1, start=1, run_id=1, ipc_namespace=ipc_namespace(), ipc=ipc.record)
    directory.write_run(replace(run, **more))
    return directory


def cleaned(state_dir: Path, *names: str, resumable: bool = False, dry_run: bool = False) -> list[str]:
    """The lines of `clean`."""
    return list(clean(state_dir, names, resumable=resumable, dry_run=dry_run))


def test_a_broken_directory_is_in_nobodys_way(tmp_path: Path) -> None:
    """Nonsense in run.json, no JSON at all, a lock that is no file: the others' objects are removed all the same."""
    before = ipc_objects()
    for name, run in (("a", '{"ipc": 1}'), ("b", "{"), ("c", '{"ipc": {"uid": 0}}')):
        broken = JobDirectory.create(tmp_path, name)
        broken.write_spec({})
        broken.run_file.write_text(run)
    locked = dead_job(tmp_path, "d")
    record = locked.read_run().ipc
    assert record is not None
    (locked.path / "lock").unlink()
    (locked.path / "lock").mkdir()
    dead_job(tmp_path, "e")
    assert clean_up(tmp_path) == 3
    assert len(ipc_objects() - before) == 3
    told = cleaned(tmp_path)
    assert [line.split(":")[0] for line in told] == ["kept a", "kept b", "kept c", "kept d", "kept e"]
    assert "run.json has wrong values: ipc" in told[0]
    assert "d/lock is not the type of file that belongs there" in told[3]
    assert remove_recorded(record, locked.key_file) == 3
    assert ipc_objects() == before


def test_a_run_killed_while_it_made_its_objects(tmp_path: Path) -> None:
    """It could only say that it would make some: they are found all the same, once."""
    before = ipc_objects()
    job = JobDirectory.create(tmp_path, "users")
    job.write_spec({})
    os.close(job.lock())
    announced = announce()
    create(job.key_file, BoardHeader(1, 1, 1, 1)).board.detach()
    run = RunRecord(pid=os.getpid(), start=1, run_id=1, ipc_namespace=ipc_namespace(), ipc=announced)
    job.write_run(run)
    assert cleaned(tmp_path, dry_run=True)[0] == "would remove 3 SysV objects of job users"
    assert clean_up(tmp_path) == 3
    assert ipc_objects() == before
    assert job.read_run() == replace(run, ipc=None)
    assert clean_up(tmp_path) == 0


@pytest.mark.parametrize(
    ("file", "content"),
    [("run.json", "{"), ("run.json", '{"ipc": 1}'), ("journal.sqlite", "no database, but long enough for one" * 30)],
)
def test_a_damaged_job_goes_if_it_is_named(tmp_path: Path, file: str, content: str) -> None:
    """So that its name is free again; what is not shardload's stays. Unnamed it is kept, with the reason."""
    job = JobDirectory.create(tmp_path, "users")
    job.write_spec({})
    (job.path / file).write_text(content)
    for resumable in (False, True):
        (line,) = cleaned(tmp_path, resumable=resumable)
        assert line.startswith(f"kept users: {'the journal ' * (file != 'run.json')}{job.path / file}")
    assert cleaned(tmp_path, "users", dry_run=True) == [f"would remove {job.path} (damaged)"]
    assert (job.path / file).read_text() == content
    lock = job.lock()
    with pytest.raises(JobError, match="job users is running"):
        cleaned(tmp_path, "users")
    os.close(lock)
    assert cleaned(tmp_path, "users") == [f"removed {job.path} (damaged)"]
    assert not job.path.exists()


def test_a_damaged_journal_does_not_hide_what_is_on_record(tmp_path: Path) -> None:
    """The objects go before their record does."""
    before = ipc_objects()
    job = dead_job(tmp_path, "users")
    job.journal_file.write_text("no database, but long enough to be taken for one" * 30)
    assert cleaned(tmp_path, "users") == ["removed 3 SysV objects of job users", f"removed {job.path} (damaged)"]
    assert ipc_objects() == before


@pytest.mark.parametrize("names", [(), ("users",)])
def test_a_record_of_another_container_is_kept(tmp_path: Path, names: tuple[str, ...]) -> None:
    """Nobody here can see its objects, and nothing else says whose they are: told, with the way on."""
    before = ipc_objects()
    job = dead_job(tmp_path, "users", ipc_namespace="ipc:[1]")
    assert clean_up(tmp_path) == 0
    for dry_run in (True, False):
        (line,) = cleaned(tmp_path, *names, resumable=True, dry_run=dry_run)
        assert line.startswith("kept users: its SysV objects are in another IPC namespace (a container) (shardload cl")
        assert f"rm -r {job.path}" in line
    job.write_run(replace(job.read_run(), ipc_namespace=ipc_namespace()))
    assert cleaned(tmp_path, "users") == ["removed 3 SysV objects of job users", f"removed {job.path} (died)"]
    assert ipc_objects() == before


def as_user(uid: int, what: Any) -> int:
    """The exit code of a child that does it as another user."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            code = what() or 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.fixture
def nobodys_job() -> Iterator[JobDirectory]:
    """A dead job of another user."""
    if os.geteuid():
        pytest.skip("only root can become another user")
    state_dir = Path(tempfile.mkdtemp(prefix="shardload-user-"))
    os.chown(state_dir, NOBODY, NOBODY)
    assert as_user(NOBODY, lambda: dead_job(state_dir, "users") and 0) == 0
    yield JobDirectory(state_dir / "users")
    shutil.rmtree(state_dir)


def test_root_removes_what_another_user_left(nobodys_job: JobDirectory) -> None:
    """As that user: the directory stays one that its owner can use."""
    with acting_for(nobodys_job):
        ipc = nobodys_job.read_run().ipc
        assert ipc is not None
        assert len(ipc["queues"]) == 2
    assert clean_up(nobodys_job.path.parent) == 3
    assert os.geteuid() == 0
    with acting_for(nobodys_job):
        assert nobodys_job.read_run().ipc is None
    assert nobodys_job.run_file.stat().st_uid == NOBODY


def test_another_user_keeps_the_record_of_ours(nobodys_job: JobDirectory) -> None:
    """The objects are another user's to remove: the directory with their record stays, and what to do is told."""
    state_dir, told = nobodys_job.path.parent, nobodys_job.path.parent / "told"
    stranger = NOBODY - 1
    for path in (state_dir, *nobodys_job.path.iterdir(), nobodys_job.path):
        os.chown(path, stranger, stranger)
    assert as_user(stranger, lambda: told.write_text("\n".join(cleaned(state_dir, "users"))) and 0) == 0
    assert told.read_text() == (
        f"kept users: its SysV objects are those of the user with uid {NOBODY}, the directory is not "
        f"(if that is right: ipcrm removes them, rm -r {nobodys_job.path} the rest)"
    )
    with acting_for(nobodys_job):
        record = nobodys_job.read_run().ipc
    assert record is not None
    for path in (state_dir, *nobodys_job.path.iterdir(), nobodys_job.path):
        os.chown(path, NOBODY, NOBODY)
    assert as_user(NOBODY, lambda: remove_recorded(record, nobodys_job.key_file) - 3) == 0
