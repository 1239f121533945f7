"""A job is its user's alone: another user is refused by the modes of its files, whatever the command."""

from __future__ import annotations

import importlib
import io
import os
import pkgutil
import random
import resource
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

import shardload
from shardload.cli import outcome
from shardload.jobdir.directory import JobDirectory
from tests.e2e.test_daemon import JOB, SLOW, assert_whole, launch
from tests.harness import Daemon, Result, World, ipc_objects, kill, wait_until

for module in pkgutil.walk_packages(shardload.__path__, "shardload."):
    importlib.import_module(module.name)  # before the other user takes over, who may not read it

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


def as_nobody(world: World, words: tuple[str, ...], uid: int = NOBODY, processes: int = -1) -> tuple[int, str]:
    """Exit code and standard error of a command that another user gives, who may have so many processes."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = io.StringIO()
        sys.argv = ["shardload", *words]
        code = 99
        try:
            os.close(reading)
            os.environ.update(world.environment())
            if processes > 0:
                resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
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


@pytest.fixture
def of_somebody(world: World) -> Iterator[tuple[World, int]]:
    """A state directory of a user who has no process, and the user's uid."""
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    uid = random.randrange(10**6, 2 * 10**9)
    state_dir = Path(tempfile.mkdtemp(prefix="shardload-user-"))
    os.chown(state_dir, uid, uid)
    yield replace(world, state_dir=state_dir), uid
    shutil.rmtree(state_dir)


REFUSED = "cannot start another process: Resource temporarily unavailable"


@pytest.mark.parametrize(
    ("processes", "more", "expected", "told"),
    [
        (4, (), 0, "2 workers"),
        (3, (), 0, "job few: complete"),  # one worker does it
        (2, (), 3, f"worker 0 cannot start: {REFUSED}"),
        (1, (), 3, f"shardload: {REFUSED} ("),  # not even a janitor
        (3, ("--daemon",), 3, f"worker 0 cannot start: {REFUSED}"),  # the launcher is one, and waits
        (2, ("--daemon",), 3, f"shardload: {REFUSED} ("),
        (1, ("--daemon",), 3, f"shardload: {REFUSED} ("),
    ],
)
def test_a_user_who_may_have_few_processes(
    of_somebody: tuple[World, int], many_users: str, processes: int, more: tuple[str, ...], expected: int, told: str
) -> None:
    """With a worker the job is done, without one it says why, in a line; a resume completes it."""
    world, uid = of_somebody
    words = ("run", "--table", many_users, "--key", "user:{id}", "--job", "few", "--progress", "none", *more)
    code, text = as_nobody(world, words, uid, processes)
    assert (code, told in text) == (expected, True), (code, text)
    assert "Traceback" not in text
    if expected:
        assert "to go on: shardload resume few" in text
        code, text = as_nobody(world, ("resume", "few"), uid)
        assert (code, "job few: complete" in text) == (0, True), (code, text)


def limit_processes(pid: int, uid: int, most: int) -> None:
    """The soft limit of a running process, by its own user."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgid(uid)
            os.setuid(uid)
            hard = resource.prlimit(pid, resource.RLIMIT_NPROC)[1]
            resource.prlimit(pid, resource.RLIMIT_NPROC, (most, hard))
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def launch_of(of_somebody: tuple[World, int], table: str, *more: str, processes: int = 10) -> Daemon:
    """A daemon of that user."""
    world, uid = of_somebody
    words = ("run", "--table", table, "--key", "user:{id}", "--job", JOB, *SLOW, "--daemon", *more)
    code, text = as_nobody(world, words, uid, processes)
    assert code == 0, text
    return Daemon(world, JOB, int(text.partition("process ")[2].partition(";")[0]))


def test_the_launcher_may_be_the_one_too_many(of_somebody: tuple[World, int], many_users: str) -> None:
    """With the launcher there is no room for the second worker: the job is up with one, and has two soon."""
    daemon = launch_of(of_somebody, many_users, "--rate", "2000", processes=4)
    assert "cannot start another process" in daemon.log()
    daemon.wait_for("both", lambda seen: (seen["state"], len(seen["slots"])) == ("running", 2))
    daemon.order("rate", "off")
    assert_whole(daemon.world, many_users, daemon.end())


def test_root_steers_anybodys_job(of_somebody: tuple[World, int], many_users: str) -> None:
    """Orders are carried out and answered, a resume completes it; nothing of root's is in the directory afterwards."""
    daemon = launch_of(of_somebody, many_users)
    assert daemon.order("pause").out == f"job {JOB}: paused\n"
    assert daemon.status()["state"] == "paused"
    assert daemon.order("stop", "--wait").out.splitlines()[-1] == f"job {JOB}: stopped"
    assert {path.stat().st_uid for path in (daemon.world.state_dir / JOB).iterdir()} == {of_somebody[1]}
    done = daemon.world.run("resume", JOB)
    if "may not read this shardload" in done.err:  # it is in root's home
        assert done.code == 2
        done = Result(*as_nobody(daemon.world, ("resume", JOB), of_somebody[1]), "")
    assert (done.code, f"job {JOB}: complete" in done.out) == (0, True), done
    assert {path.stat().st_uid for path in (daemon.world.state_dir / JOB).iterdir()} == {of_somebody[1]}
    code, text = as_nobody(daemon.world, ("status", JOB), of_somebody[1])
    assert (code, f"job {JOB}: complete" in text) == (0, True), text


def test_a_job_that_can_have_no_new_janitor_goes_on(of_somebody: tuple[World, int], many_users: str) -> None:
    """It loads, and has one again as soon as it may."""
    world, uid = of_somebody
    daemon = launch_of(of_somebody, many_users, "--rate", "2000")

    def janitors() -> set[int]:
        """The coordinator's children that are no workers: forked from this very process, they may have no names."""
        children = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split()
        return {int(pid) for pid in children} - {worker["pid"] for worker in daemon.status()["slots"]}

    before = daemon.status()["rows_read"]
    limit_processes(daemon.pid, uid, 1)
    kill(*janitors())
    wait_until(lambda: "no new janitor yet: cannot start another process" in daemon.log(), "it is refused")
    daemon.wait_for("it goes on", lambda seen: seen["rows_read"] > before)
    assert not janitors()
    limit_processes(daemon.pid, uid, 10)
    wait_until(janitors, "a new janitor")
    daemon.order("rate", "off")
    assert_whole(world, many_users, daemon.end())
