"""Processes killed, stopped, or robbed of what they need: no data is lost, and nothing is left behind."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shardload.coordinator.loop import STOP_GRACE_S
from shardload.coordinator.slot import MOST_BAD_STARTS
from shardload.sandbox import RedisServer
from tests.harness import Result, Running, World, by_id, ipc_objects, kill, processes_named, wait_until

JOB = "killed"
ROWS = 100_000
WORDS = ("run", "--key", "user:{id}", "--job", JOB, "--range-rows", "500", "--rate", "10000", "--json")
SEED = int(os.environ.get("SHARDLOAD_TEST_SEED", "0")) or random.randrange(1, 10**9)


def start(world: World, many_users: str, *more: str) -> Running:
    """An import that has begun and is far from its end, on a busy machine too: the rate holds it back."""
    running = world.start(*WORDS, "--table", many_users, *more, job=JOB)
    running.wait_for_ranges(3)
    return running


def go_on(world: World, running: Running) -> Result:
    """The end of an import that is no longer held back."""
    told = world.run("rate", JOB, "off")
    assert told.code == 0, told
    return running.finish()


def assert_whole(world: World, many_users: str, done: Result) -> None:
    """The command says that it is complete, the counts add up to exactly the rows, and the keys are the rows."""
    assert done.code == 0, done.err
    summary = done.summary
    assert (summary["status"], summary["rows_read"], summary["keys_written"]) == ("complete", ROWS, ROWS)
    assert summary["rows_skipped"] == summary["rows_failed"] == 0
    assert summary["ranges"] == summary["ranges_done"]
    assert world.assert_exact(many_users, by_id) == ROWS


def is_left(job: str) -> bool:
    """True as long as a process of the job is there."""
    return any(processes_named(f"shardload: {role} {job}") for role in ("coordinator", "worker", "janitor"))


@pytest.mark.parametrize("number", [1, 2])
def test_killed_workers_are_replaced(world: World, many_users: str, number: int) -> None:
    """kill -9 of one worker, and of two at once: others take over, and every row is counted once."""
    running = start(world, many_users, "--workers", "3")
    workers = wait_until(lambda: len(found := running.workers()) == 3 and found, "three workers")
    kill(*workers[:number])
    done = go_on(world, running)
    assert "was killed by SIGKILL" in done.err
    assert_whole(world, many_users, done)


def test_workers_that_work_may_be_killed_again_and_again(world: World, many_users: str) -> None:
    """Only one that never begins to work is a reason to give up."""
    words = ("run", "--table", many_users, "--key", "user:{id}", "--workers", "1", "--rate", "2000")
    daemon = world.launch(*words, job=JOB)
    for _ in range(MOST_BAD_STARTS + 1):
        one = daemon.wait_for("rows", lambda seen: [one for one in seen["slots"] if one["rows"] > 0])[0]
        kill(one["pid"])
        wait_until(lambda: one["pid"] not in daemon.workers(), "it is reaped")  # noqa: B023  # waited for at once
    daemon.order("rate", "off")
    done = daemon.end()
    assert done["status"] == "complete"
    assert world.assert_exact(many_users, by_id) == ROWS


def test_a_coordinator_without_descriptors_stops_in_order(world: World, many_users: str) -> None:
    """It can have no new janitor, nor write how it went: it has died, without a traceback, with nothing left behind."""
    before = ipc_objects()
    daemon = world.launch("run", "--table", many_users, "--key", "user:{id}", "--rate", "20000", job=JOB)
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (3, 3))
    kill(daemon.janitor())
    assert daemon.end()["state"] == "died"
    assert "the coordinator cannot go on: [Errno 24]" in daemon.log()
    assert "Traceback" not in daemon.log()
    assert ipc_objects() == before
    assert_whole(world, many_users, world.run("resume", JOB, "--rate", "off", "--json"))


def test_a_log_that_cannot_be_made_anew_stops_nobody(world: World, many_users: str) -> None:
    """A directory stands where the log was, and USR1 comes."""
    daemon = world.launch("run", "--table", many_users, "--key", "user:{id}", "--rate", "20000", job=JOB)
    log = world.state_dir / JOB / "log"
    log.rename(log.with_suffix(".1"))
    log.mkdir()
    os.kill(daemon.pid, signal.SIGUSR1)
    daemon.order("rate", "off")
    assert daemon.end()["state"] == "complete"
    assert world.assert_exact(many_users, by_id) == ROWS
    log.rmdir()


def test_a_full_disk_is_one_line_and_resumable(world: World, many_users: str) -> None:
    """No file may grow beyond 128 KiB: the journal cannot go on, and the command says so, with what is done so far."""
    full = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (131072, 131072)); "
    full += "os.execv(sys.executable, [sys.executable, '-m', 'shardload', *sys.argv[1:]])"
    words = ["run", "--table", many_users, "--key", "user:{id}", "--job", JOB, "--range-rows", "100"]
    done = subprocess.run(
        [sys.executable, "-c", full, *words],
        env=world.environment(), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert "rows read" in done.stdout
    assert f"to go on: shardload resume {JOB}" in done.stderr
    resumed = world.run("resume", JOB, "--json")
    assert_whole(world, many_users, resumed)


def test_a_killed_coordinator_leaves_nothing_and_is_resumed(world: World, many_users: str) -> None:
    """kill -9 at random moments: soon no process and no SysV object is there; resume completes."""
    print("seed", SEED)
    moments = sorted(random.Random(SEED).sample(range(2, 45), 3))
    before = ipc_objects()
    running = world.start(*WORDS, "--table", many_users, job=JOB)
    for done in moments:
        running.wait_for_ranges(done)
        kill(running.process.pid)
        running.process.wait()
        wait_until(lambda: not is_left(JOB) and ipc_objects() == before, "everything is gone")
        running.process.communicate()
        rate = () if done < moments[-1] else ("--rate", "off")
        running = world.start("resume", JOB, *rate, "--json", job=JOB)
    assert_whole(world, many_users, running.finish())


@pytest.mark.parametrize("role", ["coordinator", "worker"])
def test_who_is_killed_with_rows_in_flight_loses_nothing(
    world: World, many_users: str, own_redis: RedisServer, role: str
) -> None:
    """kill -9 while Redis does not answer, and both workers wait for it: it takes what they had sent from the dead."""
    running = start(world, many_users, "--workers", "2")
    workers = wait_until(lambda: len(found := running.workers()) == 2 and found, "two workers")
    os.kill(own_redis.pid, signal.SIGSTOP)
    try:
        assert world.run("rate", JOB, "off").code == 0
        wait_until(lambda: has_waiting(world.redis.port, len(workers)), "rows in flight")
        if role == "coordinator":
            kill(running.process.pid)
            running.process.communicate()
            wait_until(lambda: not is_left(JOB), "no process is left")
        else:
            kill(*workers)
            wait_until(
                lambda: len(found := running.workers()) == len(workers) and not {*found} & {*workers}, "new ones"
            )
    finally:
        os.kill(own_redis.pid, signal.SIGCONT)
    done = running.finish() if role == "worker" else world.run("resume", JOB, "--rate", "off", "--json")
    assert_whole(world, many_users, done)


def has_waiting(port: int, connections: int) -> bool:
    """True when so many of a server's connections have bytes that it has not read."""
    local = f"0100007F:{port:04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    queued = [int(queues.partition(":")[2], 16) for _, at, _, _, queues, *_ in lines if at == local]
    return sum(number > 0 for number in queued) >= connections


def test_the_next_command_cleans_up_when_the_janitor_died_too(world: World, many_users: str) -> None:
    """Coordinator and janitor killed at once: the workers die with them, and a resume removes the queues."""
    before = ipc_objects()
    running = start(world, many_users)
    kill(running.janitor(), running.process.pid)
    running.process.communicate()
    wait_until(lambda: not is_left(JOB), "no process is left")
    assert ipc_objects() - before
    assert_whole(world, many_users, world.run("resume", JOB, "--rate", "off", "--json"))
    assert ipc_objects() == before


def test_a_killed_janitor_is_replaced(world: World, many_users: str) -> None:
    """And the new one does its duty."""
    before = ipc_objects()
    running = start(world, many_users)
    first = running.janitor()
    kill(first)
    wait_until(lambda: (found := processes_named(f"shardload: janitor {JOB}")) and first not in found, "a new janitor")
    kill(running.process.pid)
    running.process.communicate()
    wait_until(lambda: not is_left(JOB) and ipc_objects() == before, "everything is gone")
    assert_whole(world, many_users, world.run("resume", JOB, "--rate", "off", "--json"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_stops_in_order(world: World, many_users: str, number: int, code: int) -> None:
    """The journal is written, the way to go on is said, and the second part completes the first."""
    running = start(world, many_users)
    running.signal(number)
    stopped = running.finish()
    assert stopped.code == code
    assert stopped.summary["status"] == "stopped"
    assert 0 < stopped.summary["rows_read"] < ROWS
    assert f"to go on: shardload resume {JOB}" in stopped.err
    assert_whole(world, many_users, world.run("resume", JOB, "--rate", "off", "--json"))


def test_int_for_the_whole_group_stops_in_order(world: World, many_users: str) -> None:
    """Ctrl-C goes to every process of the foreground group: only the coordinator decides."""
    running = start(world, many_users)
    os.killpg(running.process.pid, signal.SIGINT)
    stopped = running.finish()
    assert stopped.code == 130
    assert "was killed" not in stopped.err
    assert_whole(world, many_users, world.run("resume", JOB, "--rate", "off", "--json"))


def test_a_second_signal_leaves_at_once(world: World, many_users: str, own_redis: RedisServer) -> None:
    """With a Redis that does not answer, the first INT waits for the batches in hand, the second does not."""
    running = start(world, many_users)
    os.kill(own_redis.pid, signal.SIGSTOP)
    try:
        running.signal(signal.SIGINT)
        log = world.state_dir / JOB / "log"
        wait_until(lambda: "SIGINT: finishing" in log.read_text(), "the first signal is heeded")
        running.signal(signal.SIGINT)
        started_s = time.monotonic()
        stopped = running.finish()
        assert stopped.code == 130
        assert time.monotonic() - started_s < 4.5  # less than the grace of one signal
    finally:
        os.kill(own_redis.pid, signal.SIGCONT)
    assert_whole(world, many_users, world.run("resume", JOB, "--rate", "off", "--json"))


def test_queues_removed_from_outside_end_the_job_resumable(world: World, many_users: str) -> None:
    """As systemd-logind does at a logout: the cause is named, nothing is left, nothing is lost."""
    before = ipc_objects()
    running = start(world, many_users)
    for kind, number in ipc_objects() - before:
        if kind == "q":
            os.system(f"ipcrm -q {number}")
    ended = running.finish()
    assert ended.code == 3
    assert ended.summary["seconds"] < STOP_GRACE_S  # nobody can be heard: there is nothing to wait for
    assert "another program removed" in ended.err
    assert "RemoveIPC" in ended.err
    assert_whole(world, many_users, world.run("resume", JOB, "--rate", "off", "--json"))


def test_one_coordinator_a_job(world: World, many_users: str, own_redis: RedisServer) -> None:
    """A second start says who holds the job."""
    running = start(world, many_users)
    os.kill(own_redis.pid, signal.SIGSTOP)  # so that the first is at work for as long as the second asks
    try:
        second = world.run("resume", JOB)
    finally:
        os.kill(own_redis.pid, signal.SIGCONT)
    assert second.code == 2
    assert f"held by process {running.process.pid}" in second.err
    assert_whole(world, many_users, go_on(world, running))
