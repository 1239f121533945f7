"""A job is its user's alone: another user is refused by the modes of its files, whatever the command."""

from __future__ import annotations

import io
import os
import shutil
import signal
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path

import pytest

import shardload.cli.care
import shardload.cli.importing
import shardload.cli.steering
import shardload.cli.watching
import shardload.doctor  # noqa: F401  # everything is imported before the other user takes over, who may not read it
from shardload.cli import outcome
from shardload.jobdir import JobDirectory
from tests.e2e.test_daemon import JOB, launch
from tests.harness import Daemon, World, ipc_objects

NOBODY = 65534
COMMANDS = [
    ("status", JOB), ("attach", JOB), ("log", JOB), ("failures", JOB), ("pause", JOB), ("unpause", JOB), ("stop", JOB),
    ("scale", JOB, "3"), ("rate", JOB, "off"), ("reload", JOB), ("resume", JOB), ("verify", JOB), ("clean", JOB),
    ("jobs",), ("status",), ("pause",), ("clean",),
]  # fmt: skip


@pytest.fixture
def daemon(world: World, many_users: str) -> Iterator[Daemon]:
    """A running job in a directory that others could reach, if its modes let them."""
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    open_to_all = Path(tempfile.mkdtemp(prefix="shardload-user-"))
    open_to_all.chmod(0o755)
    other = replace(world, state_dir=open_to_all / "state")
    daemon = launch(other, many_users)
    yield daemon
    daemon.order("stop", "--wait")
    shutil.rmtree(open_to_all)


def as_nobody(world: World, words: tuple[str, ...]) -> tuple[int, str]:
    """Exit code and standard error of a command that another user gives."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        os.environ.update(world.environment())
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        said = io.StringIO()
        sys.argv = ["shardload", *words]
        code = 99
        try:
            with redirect_stderr(said), redirect_stdout(said):
                code = outcome()
            os.write(writing, said.getvalue().encode())
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read().decode()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text


def test_another_user_is_refused(daemon: Daemon) -> None:
    """Each command: exit code 2, one line that says why, and the job does not notice."""
    before = daemon.status()
    for words in COMMANDS:
        code, text = as_nobody(daemon.world, words)
        assert (code, "belongs to another user" in text) == (2, True), (words, code, text)
        assert len(text.splitlines()) == 1
    after = daemon.status()
    assert (after["state"], after["pid"], after["workers"]) == (before["state"], before["pid"], before["workers"])
    assert "order:" not in daemon.log()


def test_the_modes_refuse(daemon: Daemon) -> None:
    """Not the command but the kernel: no file, FIFO, IPC object or process of the job is another user's to use."""
    directory = daemon.world.state_dir / JOB
    for path in (daemon.world.state_dir, directory, *directory.iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert (directory / "control").is_fifo()
    record = daemon.ipc()
    keys = [*(queue["key"] for queue in record["queues"]), record["semaphore"]["key"]]
    listed = Path("/proc/sysvipc/msg").read_text() + Path("/proc/sysvipc/sem").read_text()
    modes = {int(line.split()[0]): line.split()[2] for line in listed.splitlines() if line.split()[0] != "key"}
    assert [modes[key] for key in keys] == ["600"] * 3
    pid = os.fork()
    if pid == 0:
        os.setuid(NOBODY)
        refused = 0
        for number in (signal.SIGTERM, signal.SIGHUP):
            try:
                os.kill(daemon.pid, number)
            except PermissionError:
                refused += 1
        os._exit(refused)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 2
    assert ipc_objects()


@pytest.fixture
def beside_roots(world: World) -> Iterator[World]:
    """A state directory of nobody's, in which root has run a job once, and whose owner has one that died."""
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    state_dir = Path(tempfile.mkdtemp(prefix="shardload-user-"))
    for name, user in (("roots", 0), ("mine", NOBODY)):
        directory = JobDirectory.create(state_dir, name)
        directory.write_spec({})
        os.close(directory.lock())
        for path in (directory.path, *directory.path.iterdir()):
            os.chown(path, user, user)
    os.chown(state_dir, NOBODY, NOBODY)
    yield replace(world, state_dir=state_dir)
    shutil.rmtree(state_dir)


def test_another_users_job_is_not_in_the_way(beside_roots: World, many_users: str) -> None:
    """After one `sudo shardload run` the directory's owner can go on: what cannot be seen is passed over, or named."""
    world, foreign = beside_roots, f"{beside_roots.state_dir / 'roots'} belongs to another user"
    for verb in ("jobs", "doctor", "clean", "status", "run"):
        words = ("run", "--table", many_users, "--job", "new", "--progress", "none") if verb == "run" else (verb,)
        code, text = as_nobody(world, words)
        told = {
            "jobs": f"{'mine':<32} died          0.0%              0 rows\n{'roots':<32} foreign     {foreign}",
            "doctor": "jobs: belong to another user: roots (",
            "clean": f"removed {world.state_dir / 'mine'} (died)",
            "status": f"no job is running in {world.state_dir}",
            "run": "job new: complete",
        }[verb]
        assert (code, told in text) == (2 if verb == "status" else 0, True), (verb, code, text)
    code, text = as_nobody(world, ("clean", "roots"))
    assert (code, foreign in text) == (2, True), text
