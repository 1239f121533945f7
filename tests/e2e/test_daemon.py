"""Detaching: what a daemon is, what its launcher says, and that it survives its terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from shardload.sandbox import RedisServer
from tests.harness import Daemon, World, by_id, descriptors, kill, processes_named, wait_until

JOB = "daemon"
ROWS = 100_000
SLOW = ("--rate", "8000", "--range-rows", "800")  # slow enough to be looked at, fast enough to be waited for


def launch(world: World, table: str, *more: str) -> Daemon:
    """A daemon that will be there for some ten seconds, on a busy machine too."""
    return world.launch("run", "--table", table, "--key", "user:{id}", *SLOW, *more, job=JOB)


def assert_whole(world: World, table: str, summary: dict[str, object]) -> None:
    """Complete, exactly."""
    assert (summary["status"], summary["rows_read"], summary["keys_written"]) == ("complete", ROWS, ROWS)
    assert world.assert_exact(table, by_id) == ROWS


def test_a_daemon_is_one(world: World, many_users: str) -> None:
    """No terminal, its own session without being its leader, `/`, a private umask, no foreign descriptor, no secret in
    its title; it runs to the end and exits by itself."""
    daemon = launch(world, many_users, "--workers", "2")
    proc = Path(f"/proc/{daemon.pid}")
    numbers = proc.joinpath("stat").read_text().rpartition(")")[2].split()
    parent, session, terminal = int(numbers[1]), int(numbers[3]), int(numbers[4])
    assert (parent, terminal) == (1, 0)
    assert session not in (daemon.pid, os.getsid(0))
    assert proc.joinpath("cwd").readlink() == Path("/")
    assert re.search(r"^Umask:\s*0077$", proc.joinpath("status").read_text(), re.M)
    log = world.state_dir / JOB / "log"
    assert [(proc / "fd" / str(n)).readlink() for n in range(3)] == [Path(os.devnull), log, log]
    opened = [str(fd.readlink()) for fd in (proc / "fd").iterdir()]
    assert all(name.startswith(("pipe:", "anon_inode:", "/dev/null", str(world.state_dir / JOB))) for name in opened)
    title = proc.joinpath("cmdline").read_bytes().rstrip(b"\0")
    assert title == f"shardload: coordinator {JOB}".encode()
    for path in (world.state_dir / JOB).iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    daemon.order("rate", "off")
    assert_whole(world, many_users, daemon.end())
    wait_until(lambda: not Path(f"/proc/{daemon.pid}").exists(), "the daemon is gone")


def test_the_launcher_says_what_to_do_next(world: World, many_users: str) -> None:
    """Job, pid, log and the next commands; and they work as they stand there."""
    done = world.run("run", "--table", many_users, "--job", JOB, "--daemon", *SLOW)
    assert done.code == 0
    assert re.search(
        rf"job {JOB} runs in the background, process \d+; its log: {world.state_dir / JOB / 'log'}", done.out
    )
    for words in re.findall(r"^  shardload (\w+ .*?) +#", done.out, re.M):
        command = words.split()
        if command[0] != "attach":
            assert world.run(*command).code == 0, words
    wait_until(lambda: not processes_named("shardload: "), "stop stopped it")


def test_ready_means_up(world: World, many_users: str) -> None:
    """When the launcher returns, every worker has reached both servers."""
    daemon = launch(world, many_users, "--workers", "4", "--hung-after", "5s")
    seen = daemon.status()
    assert seen["state"] == "running"
    assert [worker["slot"] for worker in seen["slots"]] == [0, 1, 2, 3]
    assert not {worker["doing"] for worker in seen["slots"]} & {"starting", "connecting"}
    daemon.order("stop", "--wait")


def test_a_daemon_that_cannot_start_says_so(world: World, many_users: str) -> None:
    """Its error and its exit code are the launcher's: here a MySQL that lets the planner in, and then nobody."""
    database = world.mysql.database
    world.execute(
        "DROP USER IF EXISTS 'once'@'%'",
        "CREATE USER 'once'@'%' IDENTIFIED BY 'secret' WITH MAX_CONNECTIONS_PER_HOUR 1",
        f"GRANT SELECT ON `{database}`.* TO 'once'@'%'",
    )
    url = f"mysql://once:secret@{world.mysql.host}:{world.mysql.port}/{database}"
    done = world.run(
        "run", "--table", many_users, "--job", JOB, "--daemon", "--give-up-after", "1s", SHARDLOAD_MYSQL_URL=url
    )
    assert (done.code, done.out) == (3, "")
    assert "max_connections_per_hour" in done.err
    assert f"to go on: shardload resume {JOB}" in done.err
    assert "secret" not in done.err
    assert world.run("status", JOB, "--json").summary["state"] == "failed"
    wait_until(lambda: not processes_named("shardload: "), "the daemon is gone")
    world.execute("DROP USER 'once'@'%'")


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--table", "no_such_table"], 2, "no_such_table"),
        (["--workers", "0"], 2, "--workers"),
        (["--redis", "redis://127.0.0.1:1/0"], 3, "cannot connect to redis://127.0.0.1:1/0"),
        (["--chdir", "/no/such/directory"], 2, "/no/such/directory"),
        (["--rate", "0"], 2, "--rate"),
        (["--hung-after", "soon"], 2, "--hung-after"),
        (["--log-format", "xml"], 2, "--log-format"),
    ],
)
def test_what_is_wrong_is_said_by_the_launcher(
    world: World, many_users: str, words: list[str], code: int, told: str
) -> None:
    """As in the foreground: one line, the exit code, no job directory."""
    done = world.run("run", "--table", many_users, "--job", JOB, "--daemon", *words)
    assert (done.code, done.out) == (code, "")
    assert told in done.err
    assert len(done.err.splitlines()) == 1
    assert not (world.state_dir / JOB).exists()


def test_an_interrupted_launcher_takes_its_daemon_along(world: World, many_users: str, own_redis: RedisServer) -> None:
    """Ctrl-C before it is ready: the daemon stops in order, and the launcher says so."""
    launcher = world.start(
        "run", "--table", many_users, "--job", JOB, "--daemon", "--give-up-after", "10m", job=JOB
    )  # fmt: skip
    log = world.state_dir / JOB / "log"
    wait_until(lambda: log.exists() or launcher.process.poll() is not None, "a daemon")
    with suppress(ProcessLookupError):
        launcher.signal(signal.SIGINT)
    done = launcher.finish()
    assert done.code in (0, 130, 143), done  # it may have been ready already
    if done.code == 0:
        world.run("stop", JOB, "--wait")
    wait_until(lambda: not processes_named("shardload: "), "nothing is left")
    resumed = world.run("resume", JOB, "--json")
    assert resumed.code == 0, resumed.err
    assert resumed.summary["rows_read"] == ROWS


def run_ignoring(world: World, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `shardload`, started by somebody who ignores hang-ups, interrupts and the deaths of children."""
    numbers = [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGCHLD, signal.SIGUSR2]
    ignoring = (
        f"import os, signal, sys\nfor n in {[*map(int, numbers)]}: signal.signal(n, signal.SIG_IGN)\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'shardload', *sys.argv[1:]])"
    )
    command = [sys.executable, "-c", ignoring, *words]
    return subprocess.run(command, env=world.environment(), capture_output=True, text=True, check=False, timeout=60)


def test_a_daemon_ignores_no_signal(world: World, many_users: str) -> None:
    """However it was started (by nohup, in a script's background, by a parent that reaps nobody): it replaces a worker
    that died, reloads at HUP, and stops at INT; and in the foreground, too, children are reaped."""
    started = run_ignoring(world, "run", "--table", many_users, "--key", "user:{id}", *SLOW, "--workers", "2",
                           "--job", JOB, "--daemon", "--json")  # fmt: skip
    assert started.returncode == 0, started.stderr
    daemon = Daemon(world, JOB, json.loads(started.stdout)["pid"])
    before = daemon.workers()
    kill(before[0])
    wait_until(lambda: len(now := daemon.workers()) == 2 and before[0] not in now, "a worker in its place")
    os.kill(daemon.pid, signal.SIGHUP)
    wait_until(lambda: len(now := daemon.workers()) == 2 and not set(before) & set(now), "new workers")
    os.kill(daemon.pid, signal.SIGINT)
    assert daemon.end()["state"] == "stopped"
    resumed = run_ignoring(world, "resume", JOB, "--rate", "off")
    assert resumed.returncode == 0, resumed.stderr
    assert world.assert_exact(many_users, by_id) == ROWS


def test_a_second_start_says_who_holds_the_job(world: World, many_users: str) -> None:
    """One coordinator a job."""
    daemon = launch(world, many_users)
    second = world.run("resume", JOB)
    assert second.code == 2
    assert f"held by process {daemon.pid}" in second.err
    daemon.order("stop", "--wait")


def in_terminal(world: World, *words: str) -> tuple[int, int]:
    """Start `shardload` in a terminal of its own: the shell's pid, and the terminal."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve("/bin/sh", ["sh", "-c", '"$@"; exec cat', "sh", sys.executable, "-m", "shardload", *words],
                  world.environment())  # fmt: skip
    return pid, terminal


def seen_in(terminal: int, text: str) -> str:
    """Everything that the terminal showed until this text."""
    shown = ""
    os.set_blocking(terminal, False)

    def is_there() -> bool:
        nonlocal shown
        with suppress(BlockingIOError, OSError):
            shown += os.read(terminal, 65536).decode(errors="replace")
        return text in shown

    try:
        wait_until(is_there, text)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{shown}") from None
    return shown


def hang_up(shell: int, terminal: int) -> None:
    """Close the terminal, as when its window is closed."""
    os.close(terminal)
    with suppress(ChildProcessError):
        os.waitpid(shell, 0)


def test_the_daemon_survives_its_terminal(world: World, many_users: str) -> None:
    """Started at a terminal that is then closed, it runs to the end."""
    shell, terminal = in_terminal(
        world, "run", "--table", many_users, "--key", "user:{id}", "--job", JOB, "--daemon", *SLOW
    )
    shown = seen_in(terminal, "shardload stop")
    found = re.search(r"process (\d+)", shown)
    assert found
    hang_up(shell, terminal)
    daemon = Daemon(world, JOB, int(found[1]))
    assert daemon.status()["state"] == "running"
    daemon.order("rate", "off")
    assert_whole(world, many_users, daemon.end())


def test_a_job_in_the_foreground_stops_with_its_terminal(world: World, many_users: str) -> None:
    """The hang-up stops it in order; it can be resumed."""
    shell, terminal = in_terminal(world, "run", "--table", many_users, "--key", "user:{id}", "--job", JOB, *SLOW)
    daemon = Daemon(world, JOB, 0)
    wait_until(lambda: (world.state_dir / JOB / "run.json").exists(), "it runs")
    daemon.wait_for("rows", lambda seen: seen["rows_read"] > 0)
    hang_up(shell, terminal)
    assert daemon.end()["state"] == "stopped"
    done = world.run("resume", JOB, "--rate", "off", "--json")
    assert done.code == 0, done.err
    assert_whole(world, many_users, done.summary)


def test_attach_shows_bars_and_leaves_the_daemon_alone(world: World, many_users: str) -> None:
    """A bar for the job and one for each slot; Ctrl-C ends the looking and nothing else."""
    daemon = launch(world, many_users, "--workers", "2")
    shell, terminal = in_terminal(world, "attach", JOB)
    shown = seen_in(terminal, "#1")
    assert "rows/s" in shown
    os.write(terminal, b"\x03")
    seen_in(terminal, "the job goes on")
    hang_up(shell, terminal)
    assert daemon.status()["state"] == "running"
    daemon.order("stop", "--wait")


def test_attach_ends_with_the_job(world: World, many_users: str) -> None:
    """It shows the end, and has the job's exit code."""
    daemon = launch(world, many_users)
    attached = world.start("attach", JOB)
    daemon.order("rate", "off")
    done = attached.finish()
    assert done.code == 0, done.err
    assert f"job {JOB}: complete" in done.out


def test_the_log_is_rotated(world: World, many_users: str) -> None:
    """Moved away, it is made anew, by the next line or by USR1; the daemon's streams go along, nothing is lost."""
    one_range = ("--range-rows", str(ROWS), "--workers", "1")  # so that the worker that is killed has a range in hand
    daemon = launch(world, many_users, "--log-format", "json", *one_range)
    log = world.state_dir / JOB / "log"
    log.rename(log.with_suffix(".1"))
    os.kill(daemon.pid, signal.SIGUSR1)
    wait_until(lambda: log.exists() and "log reopened" in log.read_text(), "a new log")
    os.kill(daemon.pid, signal.SIGUSR2)
    wait_until(lambda: "status: " in log.read_text(), "the status in the log")
    assert Path(f"/proc/{daemon.pid}/fd/2").readlink() == log
    kill(daemon.workers()[0])
    wait_until(lambda: "was killed by SIGKILL" in log.read_text(), "the death in the log")
    daemon.order("stop", "--wait")
    events = [json.loads(line) for line in (log.with_suffix(".1").read_text() + log.read_text()).splitlines()]
    for event in events:
        assert {"time", "level", "process", "pid", "message"} <= event.keys() <= {*event.keys(), "range"}
    assert any("range" in event for event in events)
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    shown = world.run("log", JOB)
    assert shown.code == 0
    assert shown.out == log.read_text()


def test_the_log_is_followed_to_the_end(world: World, many_users: str) -> None:
    """`log -f` ends with the job, and has shown every line."""
    daemon = launch(world, many_users)
    following = world.start("log", JOB, "-f")
    daemon.order("rate", "off")
    done = following.finish()
    assert done.code == 0
    assert done.out == daemon.log()
    assert f"job {JOB}: complete" in done.out


def test_a_log_that_is_rotated_is_followed_on(world: World, many_users: str) -> None:
    """`log -f` shows the old file to its end, and then the new one."""
    daemon = launch(world, many_users)
    log = world.state_dir / JOB / "log"
    following = world.start("log", JOB, "-f")
    wait_until(lambda: str(log) in descriptors(following.process.pid), "the log is followed")
    log.rename(log.with_suffix(".1"))
    os.kill(daemon.pid, signal.SIGUSR1)
    wait_until(lambda: log.exists() and "log reopened" in log.read_text(), "a new log")
    daemon.order("rate", "off")
    done = following.finish()
    assert done.code == 0
    assert done.out == log.with_suffix(".1").read_text() + daemon.log()
    assert f"job {JOB}: complete" in done.out


def test_a_service_manager_is_told(world: World, many_users: str, tmp_path: Path) -> None:
    """READY when everything is up, the status now and then, STOPPING at the end; workers do not inherit the socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        running = world.start(
            "run", "--table", many_users, "--job", JOB, *SLOW, "--progress", "none", job=JOB,
            NOTIFY_SOCKET=str(tmp_path / "notify"),
        )  # fmt: skip
        said = []
        while "READY=1" not in said:
            said += manager.recv(65536).decode().splitlines()
        for worker in running.workers():
            assert b"NOTIFY_SOCKET" not in Path(f"/proc/{worker}/environ").read_bytes().replace(
                b"NOTIFY_SOCKET=" + str(tmp_path / "notify").encode(), b""
            )  # what it was started with stays readable there; what it would hand on is not
        while not any(line.startswith("STATUS=") and "of the plan" in line for line in said):
            said += manager.recv(65536).decode().splitlines()
        running.signal(signal.SIGTERM)
        while "STOPPING=1" not in said:
            said += manager.recv(65536).decode().splitlines()
        assert running.finish().code == 143
    assert said.index("READY=1") < said.index("STOPPING=1")


def test_an_idle_daemon_costs_nothing(world: World, many_users: str) -> None:
    """Paused, it and its workers use less than 0.2 % of a CPU over ten seconds; and unpaused it goes on."""
    daemon = launch(world, many_users, "--workers", "2")
    daemon.order("pause")
    assert daemon.status()["state"] == "paused"
    pids = [daemon.pid, *daemon.workers(), daemon.janitor()]
    assert len(pids) == 4
    before_s, since_s = sum(map(cpu_s, pids)), time.monotonic()
    wait_until(lambda: time.monotonic() - since_s >= 10, "ten seconds")
    used_s = sum(map(cpu_s, pids)) - before_s
    assert used_s <= 0.02, f"{used_s} s of CPU in 10 s"
    daemon.order("rate", "off")
    daemon.order("unpause")
    assert_whole(world, many_users, daemon.end())


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used; the kernel counts the schedstat to the nanosecond."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def test_a_daemon_that_was_killed_has_died(world: World, many_users: str) -> None:
    """`jobs` and `status` tell it from one that stopped and one that is complete, and a pid alone fools nobody."""
    daemon = launch(world, many_users)
    kill(daemon.pid)
    wait_until(lambda: not processes_named("shardload: "), "the janitor has cleaned up")
    run_file = world.state_dir / JOB / "run.json"
    run = json.loads(run_file.read_text())
    run_file.write_text(json.dumps({**run, "pid": os.getpid()}))  # the pid has come back as another process
    assert world.run("status", JOB, "--json").summary["state"] == "died"
    assert re.search(rf"^{JOB} +died ", world.run("jobs").out, re.M)
    assert world.run("pause", JOB).code == 2
    assert "is not running: died" in world.run("pause", JOB).err
    assert world.run("resume", JOB, "--rate", "off").code == 0
    assert re.search(rf"^{JOB} +complete +100.0% +100,000 rows$", world.run("jobs").out, re.M)
    with sqlite3.connect(world.state_dir / JOB / "journal.sqlite") as db:
        assert db.execute("SELECT COUNT(*) FROM run").fetchone() == (2,)
