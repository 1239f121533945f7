"""Guards beside live traffic: each figure is made bad on a real server, and the job does what it should."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from shardload import source
from shardload.sandbox import MysqlServer, RedisServer
from tests.harness import Daemon, World, by_id, processes_named, wait_until
from tests.replica import master_and_replica, on_replica

JOB = "guarded"
ROWS = 100_000
SLOW = ("--rate", "20000", "--workers", "2", "--range-rows", "2000")


def launch(world: World, table: str, *words: str) -> Daemon:
    """A job that lasts five seconds, if nothing holds it."""
    return world.launch("run", "--table", table, "--key", "user:{id}", *SLOW, *words, job=JOB)


def wait_for_pause(daemon: Daemon, reason: str) -> None:
    """Until a guard has paused it, for this reason."""
    daemon.wait_for("a pause", lambda seen: seen["state"] == "paused")
    assert any(reason in trouble for trouble in daemon.status()["troubles"]), daemon.status()


def whole(world: World, table: str, done: dict[str, Any]) -> None:
    """Complete, and every key is as its row."""
    assert (done["status"], done["keys_written"]) == ("complete", ROWS)
    assert world.assert_exact(table, by_id) == ROWS


def ends_whole(world: World, table: str, daemon: Daemon) -> None:
    """It goes on, and every key is there; nothing is left behind."""
    daemon.wait_for("it goes on", lambda seen: seen["state"] != "paused")
    world.run("rate", JOB, "off")  # unless it has ended meanwhile
    whole(world, table, daemon.end())
    wait_until(lambda: not processes_named(f"shardload: gauges {JOB}"), "the gauges are gone")


@contextmanager
def own_redis(world: World, tmp_path: Path, *options: str) -> Iterator[redis.Redis]:
    """A Redis of the test's own, which the world uses."""
    server = RedisServer(tmp_path / "redis", options).start()
    before, world.redis = world.redis, server.url
    try:
        yield world.target()
    finally:
        world.redis = before
        server.stop()


@contextmanager
def busy_mysql(world: World, threads: int) -> Iterator[None]:
    """So many queries run meanwhile."""
    numbers: list[int] = []
    others = []

    def sleep(connection: Any) -> None:
        with connection.cursor() as cursor:
            try:
                cursor.execute("SELECT SLEEP(600)")
            except Exception:
                return

    for _ in range(threads):
        connection = source.connect(world.mysql)
        numbers.append(connection.thread_id())  # type: ignore[no-untyped-call]
        others.append(threading.Thread(target=sleep, args=(connection,)))
        others[-1].start()
    try:
        yield
    finally:
        for number in numbers:
            world.execute(f"KILL {number}")
        for other in others:
            other.join()


def test_a_load_that_is_too_high(world: World, many_users: str) -> None:
    """Threads_running above --max-load: paused until it falls; a person's unpause does not help."""
    with busy_mysql(world, 20):
        daemon = launch(world, many_users, "--max-load", "Threads_running=18")
        wait_for_pause(daemon, "MySQL's Threads_running is")
        assert "but by a guard" in daemon.order("unpause").out
        assert daemon.status()["state"] == "paused"
        rows = daemon.status()["rows_read"]
        assert rows < ROWS
    ends_whole(world, many_users, daemon)
    assert "goes on: it was paused because MySQL's Threads_running" in daemon.log()


def test_a_critical_load_stops(world: World, many_users: str) -> None:
    """Exit code 3, resumable, with the reason."""
    with busy_mysql(world, 20):
        done = world.run("run", "--table", many_users, "--key", "user:{id}", *SLOW, "--job", JOB,
                         "--critical-load", "Threads_running=18")  # fmt: skip
        assert done.code == 3
        assert "a guard stopped the job: MySQL's Threads_running is" in done.err
    done = world.run("resume", JOB, "--critical-load", "off", "--rate", "off", "--json")
    assert done.code == 0, done.err
    whole(world, many_users, done.summary)


@pytest.mark.parametrize("enough", ["200mb", "0"])
def test_memory_is_kept_free(world: World, many_users: str, tmp_path: Path, enough: str) -> None:
    """Paused before maxmemory is reached, without an eviction; what it will need is told before, from what was used.
    Raised maxmemory lets it go on, and so does none."""
    with own_redis(world, tmp_path, "--maxmemory", "10mb", "--maxmemory-policy", "allkeys-lru") as client:
        daemon = launch(world, many_users, "--keep-free", "30%", "--force")
        wait_for_pause(daemon, "--keep-free 30%: raise its maxmemory")
        (told,) = [trouble for trouble in daemon.status()["troubles"] if "will need about" in trouble]
        assert client.info("stats")["evicted_keys"] == 0
        client.config_set("maxmemory", enough)
        ends_whole(world, many_users, daemon)
        needed = float(told.split("about ")[1].split(" MiB")[0]) * 2**20
        assert 0.9 < needed / client.info("memory")["used_memory"] < 1.4  # buffers weigh much in so small a Redis


def test_evictions_stop(world: World, many_users: str, tmp_path: Path) -> None:
    """What is loaded would push out what is there."""
    with own_redis(world, tmp_path, "--maxmemory", "8mb", "--maxmemory-policy", "allkeys-lru"):
        done = world.run(
            "run", "--table", many_users, "--key", "user:{id}", *SLOW, "--job", JOB, "--keep-free", "off", "--force"
        )
        assert done.code == 3
        assert "evicts keys" in done.err
        assert f"shardload resume {JOB}" in done.err


def test_a_file_pauses(world: World, many_users: str, tmp_path: Path) -> None:
    """For as long as it is there."""
    file = tmp_path / "hold"
    file.touch()
    daemon = launch(world, many_users, "--pause-while-exists", str(file))
    wait_for_pause(daemon, f"paused: {file} exists")
    file.unlink()
    ends_whole(world, many_users, daemon)


def test_a_save_pauses(world: World, many_users: str, tmp_path: Path) -> None:
    """While Redis saves: it would for a minute, and its child is then told to give up."""
    with own_redis(world, tmp_path, "--save", "", "--rdb-key-save-delay", "15000") as client:
        others = [f"other:{number}" for number in range(4000)]
        client.mset(dict.fromkeys(others, "x"))
        client.bgsave()
        server = client.info("server")["process_id"]
        (saving,) = wait_until(lambda: Path(f"/proc/{server}/task/{server}/children").read_text().split(), "its child")
        client.delete(*others)
        daemon = launch(world, many_users, "--while-saving", "pause")
        wait_for_pause(daemon, "is saving")
        os.kill(int(saving), signal.SIGUSR1)
        ends_whole(world, many_users, daemon)


def test_latency_slows_down(world: World, many_users: str, tmp_path: Path) -> None:
    """A Redis that is busy with something else gets less, and more again later."""
    with own_redis(world, tmp_path) as client:
        stop = threading.Event()

        def disturb() -> None:
            while not stop.is_set():
                client.eval("local t = redis.call('TIME') repeat local n = redis.call('TIME') until "
                            "(n[1] - t[1]) * 1000000 + n[2] - t[2] > 30000", 0)  # fmt: skip

        other = threading.Thread(target=disturb)
        other.start()
        try:
            daemon = launch(world, many_users, "--max-latency", "10ms", "--rate", "4000")
            daemon.wait_for("it is slowed down", lambda seen: seen["rate"] < 1_500)
            assert any("slowed down: a PING takes" in trouble for trouble in daemon.status()["troubles"])
        finally:
            stop.set()
            other.join()
        slow = daemon.status()["rate"]
        daemon.order("rate", "off")
        daemon.wait_for("it is faster again", lambda seen: seen["rate"] is None or seen["rate"] > 1.5 * slow)
        ends_whole(world, many_users, daemon)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_gauges_that_die_or_hang_are_replaced(world: World, many_users: str, tmp_path: Path, number: int) -> None:
    """Others measure in their place, and the job does not stop."""
    with own_redis(world, tmp_path, "--maxmemory", "200mb") as client:
        daemon = world.launch("run", "--table", many_users, "--key", "user:{id}", "--rate", "2000", job=JOB)
        (gauges,) = wait_until(lambda: processes_named(f"shardload: gauges {JOB}"), "the gauges")
        os.kill(gauges, number)
        wait_until(lambda: processes_named(f"shardload: gauges {JOB}") not in ([gauges], []), "others", deadline_s=60)
        client.config_set("maxmemory", "2mb")
        wait_for_pause(daemon, "--keep-free")
        client.config_set("maxmemory", "200mb")
        ends_whole(world, many_users, daemon)


def test_nothing_to_guard_costs_nothing(world: World, few_users: str) -> None:
    """A Redis without maxmemory, and no flag: the gauges leave at once."""
    daemon = world.launch("run", "--table", few_users, "--key", "user:{id}", "--rate", "2000", job=JOB)
    wait_until(lambda: not processes_named(f"shardload: gauges {JOB}"), "they have left")
    daemon.order("rate", "off")
    daemon.end()


def test_a_figure_that_nobody_has(world: World, few_users: str) -> None:
    """It is said once, and the job is done."""
    done = world.run("run", "--table", few_users, "--key", "user:{id}", "--rate", "8000", "--max-load", "Nonsense=1")
    assert done.code == 0
    log = next(world.state_dir.glob("*/log")).read_text()
    assert log.count("MySQL has no status variable Nonsense; this guard steps aside") == 1


@contextmanager
def a_master_and_its_replica(world: World, tmp_path: Path) -> Iterator[MysqlServer]:
    """The world uses the master; the replica follows it."""
    with master_and_replica(tmp_path) as (master, replica):
        before, world.mysql = world.mysql, master.url
        try:
            yield replica
        finally:
            world.mysql = before
            world.tables.clear()


def test_a_replica_that_is_behind(world: World, tmp_path: Path) -> None:
    """One that lags pauses the job, and so does one that does not replicate; when it has caught up, it goes on."""
    with a_master_and_its_replica(world, tmp_path) as replica:
        if not world.is_mariadb:
            pytest.skip("the statements are MariaDB's")
        world.make_table("led", "id INT PRIMARY KEY, name VARCHAR(10)")
        world.execute("INSERT INTO led SELECT seq, 'x' FROM seq_1_to_20000")
        words = ("--replica", replica.url.with_password(), "--max-lag-millis", "1500", "--rate", "1000")
        daemon = world.launch("run", "--table", "led", "--key", "user:{id}", "--workers", "1", *words, job=JOB)
        daemon.wait_for("a range that is in hand", lambda seen: seen["rows_read"])
        on_replica(replica, "STOP SLAVE SQL_THREAD")
        wait_for_pause(daemon, "is not known: does it replicate?")
        on_replica(replica, "START SLAVE SQL_THREAD")
        daemon.wait_for("it goes on", lambda seen: seen["state"] == "running")
        locking = source.connect(replica.url)
        with locking.cursor() as cursor:
            cursor.execute("FLUSH TABLES WITH READ LOCK")
            world.execute("UPDATE led SET name = 'y' WHERE id = 1")
            wait_for_pause(daemon, "ms behind, and --max-lag-millis 1,500")
            cursor.execute("UNLOCK TABLES")
        locking.close()
        daemon.wait_for("it goes on", lambda seen: seen["state"] == "running")
        daemon.order("rate", "off")
        assert daemon.end()["keys_written"] == 20_000
        nobody = world.run(
            "run", "--table", "led", "--key", "u:{id}", "--replica", "127.0.0.1:1", "--max-lag-millis", "9"
        )
        assert nobody.code == 3, nobody.err
        assert "--replica 127.0.0.1:1: " in nobody.err
        daemon = world.launch("run", "--table", "led", "--key", "u:{id}", *words, job="gone")
        daemon.order("stop", "--wait")
        replica.stop()
        assert world.run("resume", "gone", "--rate", "off").code == 3
        done = world.run("resume", "gone", "--rate", "off", "--max-lag-millis", "off", "--json")
        assert (done.code, done.summary["keys_written"]) == (0, 20_000), done.err
