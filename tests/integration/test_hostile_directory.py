"""Files that another user may have put into a shared state directory: they are not followed, trusted or waited for."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sysv_ipc

from shardload.errors import JobError, JobForeign, ShardloadError
from shardload.files.ownfile import other_writers
from shardload.ipc import Board, BoardHeader, WorkerView, create, remove_recorded
from shardload.jobdir.directory import JobDirectory
from shardload.jobdir.journal import Journal
from shardload.jobdir.log import open_log
from shardload.jobdir.runfile import RunRecord
from shardload.jobs.cleanup import clean, clean_up
from shardload.jobs.owner import acting_for
from shardload.jobs.status import look
from shardload.process import ControlInbox, ipc_namespace, start_time
from tests.harness import ipc_objects, wait_until

NOBODY = 65534
JOB = "users"
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def job(tmp_path: Path) -> JobDirectory:
    """A job that never ran, in its own directory."""
    directory = JobDirectory.create(tmp_path / "state", JOB)
    directory.write_spec({})
    Journal.create(directory.journal_file, {}, []).close()
    return directory


USES: list[tuple[str, Callable[[JobDirectory], Any]]] = [
    ("spec.json", lambda job: job.read_spec()),
    ("run.json", lambda job: job.read_run()),
    ("lock", lambda job: job.lock()),
    ("lock", lambda job: job.is_locked()),
    ("log", lambda job: open_log(job.log_file)),
    ("report.1.1", lambda job: job.reports.take(1, 1)),
    ("report.1.1", lambda job: job.reports.write(1, 1, [])),
    *((f"journal.sqlite{end}", lambda job: Journal(job.journal_file).totals()) for end in ("", "-wal", "-shm")),
]


@pytest.mark.parametrize("kind", ["a link", "a link to nothing", "a FIFO", "a stranger's"])
@pytest.mark.parametrize(("name", "use"), USES, ids=[f"{number} {name}" for number, (name, _) in enumerate(USES)])
def test_a_file_that_is_not_ours_is_not_opened(
    job: JobDirectory, tmp_path: Path, name: str, use: Callable[[JobDirectory], Any], kind: str
) -> None:
    """A foreign file stays as it is, nobody waits for it, and the error names it in one line."""
    precious, file = tmp_path / "precious", job.path / name
    precious.write_text("{}")
    file.unlink(missing_ok=True)
    if kind == "a FIFO":
        os.mkfifo(file)
    elif kind == "a stranger's":
        if os.geteuid() != 0:
            pytest.skip("only root can give files away")
        file.write_text("{}")
        os.chown(file, NOBODY, NOBODY)
    else:
        file.symlink_to(precious if kind == "a link" else tmp_path / "made")
    with pytest.raises(JobForeign, match=name):
        use(job)
    assert precious.read_text() == "{}"
    assert not (tmp_path / "made").exists()


def test_writing_follows_no_link(job: JobDirectory, tmp_path: Path) -> None:
    """A link in the place of a file that is to be written is replaced; its target does not change."""
    precious = tmp_path / "precious"
    precious.write_text("precious")
    for name in ("run.new", "run.json", "control"):
        (job.path / name).symlink_to(precious)
    job.write_run(RunRecord(pid=1))
    ControlInbox(job.path).close()
    assert precious.read_text() == "precious"
    assert job.read_run() == RunRecord(pid=1)


def test_a_file_without_end_is_not_read_to_its_end(job: JobDirectory) -> None:
    """An endless file counts as damaged."""
    job.run_file.touch()
    os.truncate(job.run_file, 2**40)
    with pytest.raises(JobError, match=r"run\.json cannot be read: it is longer than"):
        job.read_run()


def spoilt(job: JobDirectory, how: str) -> None:
    """Change the directory so that this user must not trust it."""
    if how == "a link":
        job.path.rename(job.path.parent.parent / "elsewhere")
        job.path.symlink_to(job.path.parent.parent / "elsewhere")
    elif how == "a stranger's":
        os.chown(job.path, NOBODY, NOBODY)
    else:
        job.path.chmod(int(how, 8))


@pytest.mark.parametrize("how", ["722", "777", "a link", pytest.param("a stranger's", marks=root_only)])
def test_a_directory_that_is_not_ours_alone_is_not_touched(job: JobDirectory, how: str) -> None:
    """It is neither read nor written, and the error names it; the other jobs are handled."""
    spoilt(job, how)
    uses: list[Callable[[], Any]] = [
        job.read_run, job.is_locked, job.lock, job.remove, lambda: job.write_run(RunRecord()),
        lambda: job.reports.write(1, 1, []), lambda: ControlInbox(job.path), Journal(job.journal_file).totals,
    ]  # fmt: skip
    for use in uses:
        with pytest.raises(JobForeign, match=str(job.path)):
            use()
    assert sorted(path.name for path in job.path.iterdir()) == ["journal.sqlite", "key", "spec.json"]
    if how.isdigit():
        (line,) = clean(job.path.parent, [], resumable=True, dry_run=False)
        assert line == (
            f"kept users: {job.path} can be written by others (if you trust what is in it: chmod go-w {job.path})"
        )


def test_a_volumes_group_is_shut_out(job: JobDirectory) -> None:
    """Kubernetes lets a volume's group write everything at each mount; the job is not trusted until it is run again."""
    job.path.chmod(0o2770)
    with pytest.raises(JobForeign, match="can be written by others"):
        job.read_run()
    os.close(job.lock())
    assert job.path.stat().st_mode & 0o777 == 0o700
    assert job.read_run() == RunRecord()


@root_only
def test_an_empty_directory_of_another_user_is_not_taken(tmp_path: Path) -> None:
    """Its owner could read all files in it."""
    (tmp_path / JOB).mkdir()
    os.chown(tmp_path / JOB, NOBODY, NOBODY)
    with pytest.raises(JobForeign, match="belongs to another user"):
        JobDirectory.create(tmp_path, JOB)
    assert not list((tmp_path / JOB).iterdir())


@pytest.mark.parametrize("name", ["..", ".", "", "/etc", "../state/users", "users/", "users\n", ".users", "a" * 65])
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_name_is_a_name(job: JobDirectory, name: str, dry_run: bool) -> None:
    """`clean ..` removes nothing of the parent directory."""
    (job.path.parent.parent / "lock").touch()
    with pytest.raises(JobError, match="is not a job name") as caught:
        list(clean(job.path.parent, [name], resumable=True, dry_run=dry_run))
    assert caught.value.exit_code == 2
    assert (job.path.parent.parent / "lock").exists()


@pytest.mark.parametrize(
    ("mode", "owner", "told"),
    [
        (0o700, 0, ""),
        (0o755, 0, ""),
        (0o1777, 0, ""),
        (0o777, 0, "every user"),
        (0o775, 0, "its group"),
        (0o700, NOBODY, f"its owner, the user with uid {NOBODY}"),
    ],
)
def test_who_may_replace_a_job(tmp_path: Path, mode: int, owner: int, told: str) -> None:
    """`run` and `doctor` warn if another user may replace a job's directory."""
    if owner:
        if os.geteuid():
            pytest.skip("only root can give files away")
        os.chown(tmp_path, owner, owner)
    tmp_path.chmod(mode)
    assert other_writers(tmp_path) == told
    tmp_path.chmod(0o700)


# ---- false records


def dead_run(directory: JobDirectory, *workers: int) -> None:
    """The record of a run that died, with these processes on its board; the board exists as long as this process."""
    ipc = create(directory.key_file, BoardHeader(max(len(workers), 1), 1, 1, 1))
    for slot, pid in enumerate(workers):
        ipc.board.publish(slot, 1, WorkerView(pid, start_time(pid), 0.0, ()))
    run = RunRecord(pid=1, start=1, run_id=1, ipc_namespace=ipc_namespace(), ipc=ipc.record)
    directory.write_run(run)
    BOARDS.append(ipc.board)


BOARDS: list[Board] = []


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts a process of this user with this title."""
    started = []

    def begin(title: str, uid: int = os.getuid()) -> subprocess.Popen[bytes]:
        code = "import setproctitle, sys, os; setproctitle.setproctitle(sys.argv[1]); os.setuid(int(sys.argv[2]));"
        code += "os.write(1, b'.'); sys.stdin.read()"
        process = subprocess.Popen(
            [sys.executable, "-c", code, title, str(uid)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.read(1) == b"."
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()
    while BOARDS:
        BOARDS.pop().detach()


def test_only_a_worker_of_that_job_is_ended(job: JobDirectory, start: Any) -> None:
    """A process on the board is killed only if it belongs to this user and has a worker's title."""
    wrong = [start("somebody's work"), start("shardload: worker users2 #0")]
    if os.geteuid() == 0:
        wrong.append(start(f"shardload: worker {JOB} #1", NOBODY))
    right = start(f"shardload: worker {JOB} #0")
    dead_run(job, *(process.pid for process in (*wrong, right)))
    assert clean_up(job.path.parent) == 3
    assert wait_until(lambda: right.poll() is not None, "the worker is ended")
    for process in wrong:  # a killed process would not answer
        process.stdin.write(b"x")
        process.stdin.flush()
    assert [process.poll() for process in wrong] == [None] * len(wrong)


def test_only_keys_that_the_key_file_gives_are_removed(job: JobDirectory, tmp_path: Path) -> None:
    """A record that names other SysV objects of the same user removes none of them."""
    before = ipc_objects()
    (tmp_path / "other").touch()
    others = create(tmp_path / "other", BoardHeader(1, 1, 1, 1))
    assert remove_recorded(others.record, job.key_file) == 0
    assert len(ipc_objects() - before) == 4  # and the board
    others.remove()
    others.board.detach()


@root_only
def test_another_users_board_is_no_board(tmp_path: Path) -> None:
    """A board of another user is not read: that user could write any pid into it."""
    (tmp_path / "key").touch()
    ipc = create(tmp_path / "key", BoardHeader(1, 1, 1, 1))
    memory = sysv_ipc.attach(ipc.record["board"]["id"])
    seen = Board.attach(memory.id)
    assert seen is not None
    memory.uid = NOBODY
    assert Board.attach(memory.id) is None
    for attached in (seen, memory, ipc.board):
        attached.detach()
    ipc.remove()


@root_only
def test_root_trusts_no_record(tmp_path: Path, start: Any) -> None:
    """In a shared directory a user claims that root's queues and processes belong to a dead run. Root acts as that
    user there, who may not end or remove anything of root's."""
    for parent in tmp_path.parents:
        if not parent.stat().st_mode & 0o001:
            parent.chmod(0o755)
    tmp_path.chmod(0o777)
    precious = start(f"shardload: worker {JOB} #0")
    job = JobDirectory.create(tmp_path, JOB)
    job.write_spec({})
    dead_run(job, precious.pid)
    before = ipc_objects()
    record = job.read_run().ipc
    assert record is not None
    for path in (*job.path.iterdir(), job.path):
        os.chown(path, NOBODY, NOBODY)
    for claimed in (record, {**record, "uid": NOBODY}):
        with acting_for(job):
            assert os.geteuid() == NOBODY
            assert os.getgroups() == []
            job.write_run(replace(job.read_run(), ipc=claimed))
            assert Board.attach(record["board"]["id"]) is None
        assert clean_up(tmp_path) == 0
        assert (os.geteuid(), precious.poll()) == (0, None)
        assert ipc_objects() == before
        assert look(job).state == "died"
        list(clean(tmp_path, [JOB], resumable=True, dry_run=False))
        assert ipc_objects() == before
    assert not job.path.exists()
    for queue in record["queues"]:
        sysv_ipc.remove_message_queue(queue["id"])
    sysv_ipc.remove_semaphore(record["semaphore"]["id"])


def test_a_damaged_job_is_one_line(job: JobDirectory) -> None:
    """Any damage gives a message of one line."""
    job.run_file.mkdir()
    with pytest.raises(ShardloadError, match=r"run\.json"):
        look(job)
