"""`clean` and `doctor`: only what is dead and provably ours goes, and each trouble is found and told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import sysv_ipc

from shardload.sandbox import RedisServer
from tests.e2e.test_daemon import JOB, launch
from tests.harness import World, ipc_objects, kill, wait_for_the_dead


def kill_all(world: World, table: str) -> None:
    """A job whose coordinator and janitor were killed at once: its SysV objects are still there."""
    before = ipc_objects()
    daemon = launch(world, table, "--workers", "2")
    kill(daemon.pid, daemon.janitor(), *daemon.workers())
    wait_for_the_dead(before)


def test_clean_removes_what_a_killed_job_left(world: World, many_users: str) -> None:
    """Dry first: the same lines, nothing removed. A job that can be resumed keeps its directory until it is named."""
    stranger = sysv_ipc.MessageQueue(None, sysv_ipc.IPC_CREX)
    before = ipc_objects()
    kill_all(world, many_users)
    assert len(ipc_objects() - before) == 3
    dry = world.run("clean", "--dry-run")
    assert dry.code == 0
    assert f"would remove 3 SysV objects of job {JOB}" in dry.out
    assert f"kept {JOB}: died, can be resumed" in dry.out
    assert len(ipc_objects() - before) == 3
    wet = world.run("clean")
    assert wet.out == dry.out.replace("would remove", "removed")
    assert ipc_objects() == before
    assert (world.state_dir / JOB / "journal.sqlite").exists()
    assert world.run("clean", JOB, "--dry-run").out == f"would remove {world.state_dir / JOB} (died)\n"
    assert world.run("clean", JOB).out == f"removed {world.state_dir / JOB} (died)\n"
    assert not (world.state_dir / JOB).exists()
    stranger.remove()


def test_clean_in_another_container_forgets_nothing(world: World, many_users: str) -> None:
    """There the objects cannot be seen, so they are still on record for a command where they can."""
    if subprocess.run(["unshare", "--ipc", "true"], capture_output=True, check=False).returncode:
        pytest.skip("only root, with all of root's capabilities, can make an IPC namespace")
    before = ipc_objects()
    kill_all(world, many_users)
    words = ["unshare", "--ipc", sys.executable, "-m", "shardload", "clean"]
    there = subprocess.run(words, env=world.environment(), capture_output=True, text=True, check=True)
    assert there.stdout.startswith(f"kept {JOB}: its SysV objects are in another IPC namespace (a container)")
    assert len(there.stdout.splitlines()) == 1
    assert len(ipc_objects() - before) == 3
    assert f"removed 3 SysV objects of job {JOB}" in world.run("clean").out
    assert ipc_objects() == before


def test_clean_frees_the_name_of_a_damaged_job(world: World, many_users: str) -> None:
    """A job that nobody can go on with is in nobody's way, neither another job's nor that of its name."""
    assert world.run("run", "--table", many_users, "--job", JOB).code == 0
    (world.state_dir / JOB / "run.json").write_text('{"ipc": 1}')
    assert world.run("run", "--table", many_users, "--job", "other").code == 0
    assert world.run("resume", "other").code == 0
    assert world.run("clean", JOB, "--dry-run").out == f"would remove {world.state_dir / JOB} (damaged)\n"
    assert world.run("clean", JOB).out == f"removed {world.state_dir / JOB} (damaged)\n"
    assert world.run("run", "--table", many_users, "--job", JOB).code == 0


def test_clean_spares_what_is_not_its_own(world: World, many_users: str) -> None:
    """A running job, a foreign file in a job's directory, a foreign directory: none of them is touched."""
    assert world.run("run", "--table", many_users, "--job", "done").code == 0
    (world.state_dir / "done" / "notes.txt").write_text("a person's")
    (world.state_dir / "elsewhere").mkdir()
    (world.state_dir / "elsewhere" / "key").touch()
    (world.state_dir / "elsewhere" / "thesis.tex").touch()
    daemon = launch(world, many_users)
    cleaned = world.run("clean", "--resumable")
    assert cleaned.out == f"kept {world.state_dir / 'done'}: there are files in it that are not shardload's\n"
    assert [path.name for path in (world.state_dir / "done").iterdir()] == ["notes.txt"]
    assert (world.state_dir / "elsewhere" / "thesis.tex").exists()
    refused = world.run("clean", JOB)
    assert refused.code == 2
    assert f"job {JOB} is running (end it first: shardload stop {JOB})" in refused.err
    assert daemon.order("stop", "--wait").code == 0
    assert world.run("clean", "--resumable").out == f"removed {world.state_dir / JOB} (stopped)\n"


def test_clean_removes_a_job_that_was_never_whole(world: World) -> None:
    """Killed between its first file and its spec, a directory would block its name for ever."""
    half = world.state_dir / "half"
    half.mkdir(parents=True)
    (half / "key").touch()
    assert world.run("clean", "--dry-run").out == f"would remove {half} (never begun)\n"
    assert world.run("clean").out == f"removed {half} (never begun)\n"
    assert not half.exists()
    assert world.run("clean").out == ""


def findings(out: str) -> dict[str, str]:
    """Level by subject; the worst where there are several."""
    order = ("ok", "warning", "problem")
    found: dict[str, str] = {}
    for line in out.splitlines():
        level, _, rest = line.partition(" ")
        subject = rest.strip().partition(":")[0]
        found[subject] = max(level, found.get(subject, "ok"), key=order.index)
    return found


def test_doctor_finds_nothing(world: World) -> None:
    """On a machine that is fit, with servers that are: every line is ok, and nothing is left of the examination."""
    before = ipc_objects()
    done = world.run("doctor")
    assert done.code == 0, done.out
    found = findings(done.out)
    assert {"system", "encoder", "SysV IPC", "state directory", "logout", "MySQL", "MySQL rights", "Redis",
            "Redis rights"} <= found.keys()  # fmt: skip
    assert {found[name] for name in ("SysV IPC", "MySQL", "MySQL rights", "Redis", "Redis rights")} == {"ok"}
    assert ipc_objects() == before
    assert world.target().dbsize() == 0
    assert (world.mysql.password or "secret") not in done.out


def test_doctor_finds_troubles(world: World, own_redis: RedisServer, many_users: str) -> None:
    """A server that is away, a right that is missing, memory that evicts, a job that died: level and next step."""
    kill_all(world, many_users)
    world.run("clean")
    client = world.target()
    client.config_set("maxmemory", "500mb")
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.execute_command("ACL", "SETUSER", "default", "-restore", "-info")  # type: ignore[no-untyped-call]
    away = "mysql://u:hunter2@127.0.0.1:1/app"
    done = world.run("doctor", "--mysql", away)
    assert done.code == 3
    found = findings(done.out)
    assert (found["MySQL"], found["Redis rights"], found["jobs"]) == ("problem", "warning", "warning")
    assert "cannot connect to mysql://u@127.0.0.1:1/app" in done.out
    assert f"died: {JOB} (shardload resume JOB, or shardload clean JOB)" in done.out
    assert "hunter2" not in done.out + done.err
    client.execute_command("ACL", "SETUSER", "default", "+restore", "+info")  # type: ignore[no-untyped-call]
    assert findings(world.run("doctor").out)["Redis memory"] == "warning"


@pytest.mark.skipif(sys.platform != "linux", reason="full disks are made with Linux's /dev/full")
def test_doctor_finds_a_state_directory_that_cannot_be(world: World, tmp_path: Path) -> None:
    """A file in the way, or a place where nobody can write."""
    (tmp_path / "file").touch()
    done = world.run("doctor", "--state-dir", str(tmp_path / "file" / "state"))
    assert done.code == 3
    assert findings(done.out)["state directory"] == "problem"
    assert os.access(tmp_path, os.W_OK)
