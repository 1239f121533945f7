"""Orders to a running job: carried out, answered, and no row lost or loaded twice by any of them."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import sysv_ipc

from shardload.cli import outcome
from shardload.ipc.board import _RUN_STATE_AT
from shardload.sandbox import RedisServer
from tests.e2e.test_daemon import JOB, ROWS, assert_whole, launch
from tests.harness import Daemon, World, descriptors, kill, processes_named, wait_until


def attempts(world: World) -> dict[int, int]:
    """How many ranges needed how many attempts."""
    with sqlite3.connect(f"file:{world.state_dir / JOB / 'journal.sqlite'}?mode=ro", uri=True, timeout=10) as db:
        return dict(db.execute("SELECT attempts, COUNT(*) FROM range GROUP BY attempts"))


def test_pause_and_unpause(world: World, many_users: str) -> None:
    """Paused means that nothing is loaded, that no connection reads, and that the job says so; then it goes on."""
    daemon = launch(world, many_users, "--workers", "2")
    daemon.wait_for("a range that is done", lambda seen: seen["ranges_done"])
    assert daemon.order("pause").out == f"job {JOB}: paused\n"
    seen = daemon.status()
    assert seen["state"] == "paused"
    assert {worker["doing"] for worker in seen["slots"]} == {"waiting for a range"}
    assert {worker["range"] for worker in seen["slots"]} == {None}
    keys = world.target().dbsize()
    daemon.order("rate", "off")
    assert daemon.order("pause").out == f"job {JOB}: paused\n"  # once more: it is
    assert daemon.status()["rows_read"] <= keys == world.target().dbsize()  # a part of a range is loaded again later
    later = daemon.status()
    assert later["seconds"] > seen["seconds"]
    assert later["rows_per_second"] == seen["rows_per_second"] > 0, "a pause counts for the rate"
    daemon.order("unpause")
    assert_whole(world, many_users, daemon.end())


def test_what_is_settled_is_soon_in_the_journal(world: World, many_users: str) -> None:
    """Finished ranges share a transaction; the last of them is committed although nothing happens any more."""
    daemon = launch(world, many_users, "--workers", "2", "--range-rows", "100")
    daemon.wait_for("many ranges that are done", lambda seen: seen["ranges_done"] > 20)
    daemon.order("pause")
    settled = daemon.status()["rows_read"]
    journal = f"file:{world.state_dir / JOB / 'journal.sqlite'}?mode=ro"

    def committed() -> int:
        with sqlite3.connect(journal, uri=True, timeout=10) as db:
            return int(db.execute("SELECT SUM(rows_read) FROM range").fetchone()[0])

    # A paused job wakes every ten seconds, and writes then at the latest: that is not what is waited for.
    wait_until(lambda: committed() == settled, "the journal has what the board shows", deadline_s=8)
    daemon.order("unpause")
    daemon.order("rate", "off")
    assert_whole(world, many_users, daemon.end())


@pytest.mark.parametrize("expires", [False, True])
def test_keys_removed_meanwhile_are_told(world: World, many_users: str, expires: bool) -> None:
    """FLUSHDB: what is gone is not loaded again, but a person hears of it; not where keys may go by themselves."""
    daemon = launch(world, many_users, *(["--ttl", "1h"] if expires else []))
    daemon.wait_for("a range that is done", lambda seen: seen["ranges_done"])
    daemon.order("pause")
    world.target().flushdb()
    daemon.order("rate", "off")
    daemon.order("unpause")
    done = daemon.end()
    keys = world.target().dbsize()
    assert (done["status"], done["keys_written"]) == ("complete", ROWS)
    assert keys < ROWS
    told = f"Redis has {keys:,} keys, and {ROWS:,} were confirmed"
    for place in (daemon.log(), world.run("status", JOB).out):
        assert (told in place) is not expires, place
    assert world.run("verify", JOB).code == 4


def test_scale_up_and_down(world: World, many_users: str) -> None:
    """More workers, fewer, one; by words and by signals; each range is loaded once."""
    daemon = launch(world, many_users, "--workers", "2")
    assert daemon.order("scale", "5").out == f"job {JOB}: 5 workers\n"
    wait_until(lambda: len(daemon.workers()) == 5, "five workers have their names")  # each names itself
    assert daemon.order("scale", JOB, "1").out == f"job {JOB}: 1 worker\n"
    assert len(daemon.workers()) == 1
    os.kill(daemon.pid, signal.SIGTTIN)
    daemon.wait_for("two workers", lambda seen: len(seen["slots"]) == 2 == seen["workers"])
    os.kill(daemon.pid, signal.SIGTTOU)
    daemon.wait_for("one worker", lambda seen: len(seen["slots"]) == 1 == seen["workers"])
    os.kill(daemon.pid, signal.SIGTTOU)  # never none
    daemon.order("rate", "off")
    done = daemon.end()
    assert_whole(world, many_users, done)
    assert done["ranges_retried"] == 0
    assert attempts(world) == {1: done["ranges"]}


@pytest.mark.parametrize("by_signal", [False, True])
def test_reload_replaces_every_worker(world: World, many_users: str, by_signal: bool) -> None:
    """One at a time, with new processes; no range is lost or loaded twice."""
    daemon = launch(world, many_users, "--workers", "3")
    before = set(wait_until(lambda: len(now := daemon.workers()) == 3 and now, "three workers"))
    if by_signal:
        os.kill(daemon.pid, signal.SIGHUP)
    else:
        assert daemon.order("reload").out == f"job {JOB}: 3 workers replaced\n"
        assert not before & set(daemon.workers())
    wait_until(lambda: len(now := daemon.workers()) == 3 and not before & set(now), "three new workers")
    daemon.order("rate", "off")
    done = daemon.end()
    assert_whole(world, many_users, done)
    assert attempts(world) == {1: done["ranges"]}


def test_a_worker_that_was_told_to_leave_leaves(world: World, many_users: str) -> None:
    """Also when, before it has heard, the job is paused, or scaled again."""
    daemon = world.launch(
        "run", "--table", many_users, "--key", "user:{id}", "--workers", "1", "--rate", "2000", job=JOB
    )
    (before,) = daemon.workers()
    os.kill(daemon.pid, signal.SIGHUP)
    wait_until(lambda: "reloading" in daemon.log(), "the reload is begun")
    daemon.order("pause")
    daemon.order("unpause")
    wait_until(lambda: daemon.workers() and before not in daemon.workers(), "a new worker")
    daemon.order("scale", "4")
    for workers in (3, 2):
        os.kill(daemon.pid, signal.SIGTTOU)
        wait_until(lambda: f"{workers} now" in daemon.log(), "the order is heeded")  # noqa: B023  # waited for at once
    daemon.order("rate", "off")
    done = daemon.end()
    assert_whole(world, many_users, done)
    assert done["workers"] == 2


def test_a_higher_rate_counts_at_once(world: World, many_users: str) -> None:
    """For a worker, too, that owes the old one minutes."""
    daemon = world.launch("run", "--table", many_users, "--key", "user:{id}", "--rate", "1", job=JOB)
    daemon.wait_for("workers in debt", lambda seen: seen["slots"][0]["doing"] == "held back by the rate limit")
    daemon.order("rate", "1000000")
    assert_whole(world, many_users, daemon.end())


def test_a_reload_reads_the_limits_again(world: World, many_users: str, tmp_path: Path) -> None:
    """Workers and rate, from the job's file; a file that is wrong by now changes nothing."""
    file = tmp_path / "job.toml"
    text = f'table = "{many_users}"\nkey = "user:{{id}}"\nrange-rows = 2000\nworkers = 2\nrate = 20000\n'
    file.write_text(text)
    daemon = world.launch("run", str(file), job=JOB)
    file.write_text(text.replace("workers = 2", "workers = 4").replace("20000", "15000"))
    daemon.order("reload")
    daemon.wait_for("new limits", lambda seen: (seen["workers"], seen["rate"]) == (4, 15000))
    file.write_text("workers = none")
    daemon.order("reload")
    assert "the limits stay as they are" in daemon.log()
    assert daemon.status()["workers"] == 4
    daemon.order("stop", "--wait")


def test_the_rate_is_kept(world: World, many_users: str) -> None:
    """Over seconds, all workers together, within a burst; and it can be lowered, raised and lifted."""
    daemon = world.launch(
        "run", "--table", many_users, "--key", "user:{id}", "--workers", "3", "--rate", "5000", job=JOB
    )
    client = world.target()
    first, since_s = client.dbsize(), time.monotonic()
    wait_until(lambda: time.monotonic() - since_s > 4, "four seconds")
    loaded, passed_s = client.dbsize() - first, time.monotonic() - since_s
    assert 0.5 * 5000 * passed_s < loaded < 1.2 * 5000 * passed_s + 5000, f"{loaded} rows in {passed_s:.1f} s"
    assert daemon.status()["rate"] == 5000
    daemon.order("rate", "1000")
    assert daemon.status()["rate"] == 1000
    daemon.order("rate", "off")
    assert daemon.status()["rate"] is None
    assert_whole(world, many_users, daemon.end())


def test_stop_and_resume(world: World, many_users: str) -> None:
    """In order, and at once; the status says stopped, and the rest is loaded by a daemon again."""
    daemon = launch(world, many_users)
    assert daemon.order("stop", "--wait").out.splitlines()[-1] == f"job {JOB}: stopped"
    assert daemon.status()["state"] == "stopped"
    daemon = world.launch_again(JOB)
    daemon.order("stop", "--now", "--wait")
    daemon = world.launch_again(JOB, "--rate", "off")
    assert_whole(world, many_users, daemon.end())


def test_a_second_stop_changes_nothing(world: World, many_users: str, own_redis: RedisServer) -> None:
    """Asked twice, by words and by TERM, the job still lets its workers finish; INT twice and --now are impatient."""
    daemon = launch(world, many_users, "--workers", "2")
    os.kill(own_redis.pid, signal.SIGSTOP)
    try:
        for _ in range(2):
            assert daemon.order("stop").out == f"job {JOB}: stopping: the current batches are finished\n"
            os.kill(daemon.pid, signal.SIGTERM)
    finally:
        os.kill(own_redis.pid, signal.SIGCONT)
    assert daemon.end()["state"] == "stopped"
    assert daemon.log().count("left as it was asked") == 2
    assert "leaving at once" not in daemon.log()
    outcome = json.loads((world.state_dir / JOB / "run.json").read_text())["outcome"]
    assert (outcome["status"], outcome["exit_code"]) == ("stopped", 143)


def test_an_order_that_takes_too_long_is_told_as_such(
    world: World, many_users: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is under way, and the exit code does not say that it is done."""
    daemon = launch(world, many_users, "--workers", "2", "--rate", "100")
    monkeypatch.setattr("shardload.jobs.control._DONE_WITHIN_S", 0.2)
    monkeypatch.setattr(sys, "argv", ["shardload", "scale", JOB, "1", "--state-dir", str(world.state_dir)])
    assert outcome() == 3
    assert f"job {JOB}: under way, not done after 0.2 s: workers start, or leave after their" in capsys.readouterr().err
    assert daemon.status()["workers"] == 1
    daemon.order("stop", "--wait")


def test_stop_while_paused(world: World, many_users: str) -> None:
    """A paused job can be ended."""
    daemon = launch(world, many_users)
    daemon.order("pause")
    daemon.order("stop", "--wait")
    assert world.run("resume", JOB, "--rate", "off").code == 0
    assert world.target().dbsize() == ROWS


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["scale", "0"], "should be 1 to 64 workers"),
        (["scale", "many"], "should be 1 to 64 workers"),
        (["scale", JOB, "2", "3"], "scale takes a job and N"),
        (["rate", "0"], "or off"),
        (["rate", "-1"], "No such option"),
        (["pause", "nothing"], "there is no job 'nothing'"),
        (["status", "nothing"], "there is no job 'nothing'"),
        (["stop", "../x"], "'../x' is not a job name"),
    ],
)
def test_wrong_orders(world: World, many_users: str, words: list[str], told: str) -> None:
    """One line, exit code 2, and the job does not notice."""
    daemon = launch(world, many_users)
    done = world.run(*words)
    assert (done.code, done.out) == (2, "")
    assert told in done.err
    assert len(done.err.splitlines()) == 1
    daemon.order("stop", "--wait")
    assert daemon.status()["ranges_retried"] == 0


def test_without_a_name(world: World, many_users: str) -> None:
    """The only running job is meant; with none, or with two, the command says which there are."""
    none = world.run("pause")
    assert none.code == 2
    assert "no job is running" in none.err
    daemon = launch(world, many_users)
    assert daemon.order("status").out.startswith(f"job {JOB}: running")
    other = world.launch("run", "--table", many_users, "--key", "o:{id}", "--rate", "2000", job="other")
    two = world.run("pause")
    assert two.code == 2
    assert f"2 jobs are running (name one: {JOB}, other)" in two.err
    assert re.findall(r"^(\w+) +(\w+)", world.run("jobs").out, re.M) == [(JOB, "running"), ("other", "running")]
    other.order("stop", "other", "--wait")
    daemon.order("stop", JOB, "--wait")
    ended = world.run("status")
    assert f"name one of those that ended: {JOB}, other" in ended.err


@pytest.mark.parametrize("writes", [False, True])
def test_a_coordinator_that_is_stopped_or_dead_is_told_apart(world: World, many_users: str, writes: bool) -> None:
    """Busy is not dead: the answer says what to do, within a bound; also if it was stopped while it wrote the board."""
    daemon = launch(world, many_users)
    os.kill(daemon.pid, signal.SIGSTOP)
    try:
        if writes:
            memory = sysv_ipc.attach(daemon.ipc()["board"]["id"])
            memory.write(struct.pack("<Q", 2**63 + 1), _RUN_STATE_AT)  # odd: a writing that was begun
            memory.detach()
        silent = world.run("pause", JOB)
        assert silent.code == 3
        assert f"process {daemon.pid}, is stopped by a signal (kill -CONT {daemon.pid}" in silent.err
        told = daemon.order("status", JOB).out
        assert told.startswith(f"job {JOB}: running, process {daemon.pid}")
        assert "SIGSTOP" in told
    finally:
        os.kill(daemon.pid, signal.SIGCONT)
    daemon.wait_for("the order was kept", lambda seen: seen["state"] == "paused")
    daemon.order("unpause")
    kill(daemon.pid)
    wait_until(lambda: not processes_named("shardload: "), "nothing is left")
    dead = world.run("pause", JOB)
    assert dead.code == 2
    assert f"job {JOB} is not running: died (to continue it, run: shardload resume {JOB})" in dead.err
    assert list((world.state_dir / JOB).glob("answer.*")) == []


def test_a_hung_worker_is_killed_and_replaced(world: World, many_users: str) -> None:
    """One that was stopped by a signal shows no life: it is noticed, told of, and its range is loaded by another."""
    daemon = launch(world, many_users, "--workers", "2", "--hung-after", "1s")
    hung = daemon.workers()[0]
    os.kill(hung, signal.SIGSTOP)
    daemon.wait_for("the hung one is replaced", lambda seen: hung not in {one["pid"] for one in seen["slots"]})
    wait_until(lambda: len(daemon.workers()) == 2, "two workers")
    assert f"(pid {hung}) was stopped by a signal" in daemon.log()
    assert any("was killed by SIGKILL" in text for text in daemon.status()["troubles"])
    daemon.order("rate", "off")
    assert_whole(world, many_users, daemon.end())


def test_a_worker_that_waits_for_a_server_is_not_hung(world: World, many_users: str) -> None:
    """A lock in MySQL keeps every read waiting for longer than --hung-after: nobody is killed."""
    with world.sql() as cursor:
        cursor.execute(f"LOCK TABLES `{many_users}` READ")  # the planner may read
        daemon = launch(world, many_users, "--workers", "2", "--hung-after", "1s")
        before = daemon.workers()
        daemon.order("pause")
        cursor.execute(f"LOCK TABLES `{many_users}` WRITE")
        daemon.order("unpause")
        daemon.wait_for(
            "workers that wait for longer than --hung-after",
            lambda seen: [one for one in seen["slots"] if one["doing"] == "reading MySQL" and one["silent_s"] > 3],
        )
        assert daemon.workers() == before
    daemon.order("rate", "off")
    done = daemon.end()
    assert_whole(world, many_users, done)
    assert done["troubles"] == []


def test_a_stopped_holder_of_the_semaphore_stops_nobody_else(world: World, many_users: str) -> None:
    """Whoever holds the board's semaphore and is stopped: the job goes on, and nobody waits for it without a bound."""
    daemon = launch(world, many_users, "--workers", "2")
    record = daemon.ipc()["semaphore"]
    semaphore = sysv_ipc.Semaphore(record["key"])
    assert semaphore.id == record["id"]
    semaphore.undo = True
    semaphore.acquire()
    try:
        daemon.order("rate", "off")
        assert daemon.status()["rows_read"] >= 0
        assert_whole(world, many_users, daemon.end())
    finally:
        with suppress(sysv_ipc.ExistentialError):  # the job has removed it
            semaphore.release()


def test_deaths_are_told_in_words(world: World, many_users: str) -> None:
    """By signal and by exit code, in the log and in the status."""
    daemon = launch(world, many_users, "--workers", "3")
    for number, words in ((signal.SIGSEGV, "a fault in native code"), (signal.SIGKILL, "out of memory")):
        worker = daemon.workers()[0]
        os.kill(worker, number)
        told = f"(pid {worker}) was killed by {signal.Signals(number).name} ("
        wait_until(lambda: told in daemon.log(), "the death in the log")  # noqa: B023  # waited for at once
        assert words in daemon.order("status").out
    daemon.order("stop", "--wait")


def test_status_from_another_container(world: World, many_users: str) -> None:
    """With the job's directory, but not its memory: it runs, says the lock; how exactly, nobody there can see."""
    if subprocess.run(["unshare", "--ipc", "true"], capture_output=True, check=False).returncode:
        pytest.skip("only root, with all of root's capabilities, can make an IPC namespace")
    daemon = launch(world, many_users, "--workers", "2")
    words = ["unshare", "--ipc", sys.executable, "-m", "shardload", "status", JOB]
    asked = subprocess.run(words, env=world.environment(), capture_output=True, text=True, check=True)
    assert asked.stdout.startswith(f"job {JOB}: running")
    assert "it runs in another IPC namespace" in asked.stdout
    assert " of 2 workers" not in asked.stdout
    assert "namespace" not in daemon.order("status").out
    daemon.order("stop", "--wait")
    ended = subprocess.run(words, env=world.environment(), capture_output=True, text=True, check=True)
    assert ended.stdout.startswith(f"job {JOB}: stopped")
    assert "namespace" not in ended.stdout


def test_status_is_quick(world: World, many_users: str) -> None:
    """It does not import what only a load needs (and so answers in a fraction of a second)."""
    done = Daemon(world, JOB, 0).world.run("jobs", PYTHONPROFILEIMPORTTIME="1")
    modules = set(re.findall(r"\| +([\w.]+)$", done.err, re.M))
    assert "shardload.jobs.status" in modules
    assert not modules & {"redis", "pymysql", "pydantic", "tqdm", "hiredis"}


def test_no_descriptor_is_lost(world: World, many_users: str) -> None:
    """However many workers and janitors come and go, and however many orders: the coordinator keeps as many as at the
    beginning, and a new worker is not handed more than an old one."""
    daemon = launch(world, many_users, "--workers", "2")

    def held() -> list[int]:
        """How many each has for good. The journal is closed for a fork, and opened when it is next needed; an answer is
        written, and read by the asker, before it is closed."""
        wait_until(lambda: len(daemon.workers()) == 2 and processes_named(f"shardload: janitor {JOB}"), "all are there")
        every = [descriptors(pid) for pid in (daemon.pid, *daemon.workers())]
        assert sum("/journal" in name for name in every[0]) <= 3, every[0]  # the file, its log, its index
        passing = ("/journal", "/answer.", "/run.", "/report.", "/proc/")
        return [sum(not any(part in name for part in passing) for name in names) for names in every]

    daemon.order("pause")
    daemon.order("reload")  # these have not connected
    before = held()
    for _ in range(3):
        gone = [daemon.workers()[0], *processes_named(f"shardload: janitor {JOB}")]
        kill(*gone)
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in gone), "they are reaped")  # noqa: B023
        daemon.order("reload")
        daemon.order("scale", "3")
        daemon.order("scale", "2")
    os.kill(daemon.pid, signal.SIGUSR1)
    wait_until(lambda: "log reopened" in daemon.log(), "the log is reopened")
    wait_until(lambda: held() == before, f"they hold {before} descriptors again")
    daemon.order("stop", "--wait")
