"""Servers that restart, stay away or break off in the middle: noticed, waited for, and every row is loaded."""

from __future__ import annotations

import dataclasses
import signal
import sqlite3
from pathlib import Path

import pytest

from shardload.sandbox import RedisServer
from tests.e2e.test_killed import JOB, ROWS, WORDS, assert_whole, go_on, start
from tests.harness import World, by_id, wait_until
from tests.proxy import AFTER_REPLIES, Proxy
from tests.troubled_mysql import Trouble, troubled


def test_a_redis_that_comes_back_empty_is_noticed(world: World, many_users: str, own_redis: RedisServer) -> None:
    """The keys that it had confirmed are gone: their ranges are loaded again, and the command says so."""
    running = start(world, many_users)
    own_redis.stop(kill=True)
    own_redis.start()
    done = go_on(world, running)
    assert "Redis was restarted" in done.err
    assert "loading them again" in done.err
    assert_whole(world, many_users, done)


def test_a_redis_restarted_between_stop_and_resume_is_noticed(
    world: World, many_users: str, own_redis: RedisServer
) -> None:
    """The journal remembers which epoch of Redis confirmed a range."""
    running = start(world, many_users)
    running.signal(signal.SIGTERM)
    assert running.finish().code == 143
    own_redis.stop()
    own_redis.start()
    done = world.run("resume", JOB, "--rate", "off", "--json")
    assert "Redis was restarted since" in done.err
    assert_whole(world, many_users, done)


def test_a_redis_that_was_a_replica_meanwhile_is_noticed(
    world: World, many_users: str, own_redis: RedisServer, tmp_path: Path
) -> None:
    """It took over an empty server's data, while the workers' connections stayed: others load all of it again."""
    other = RedisServer(tmp_path / "other", ["--repl-diskless-sync-delay", "0"]).start()
    running = start(world, many_users)
    assert world.run("pause", JOB).code == 0
    before = set(running.workers())
    client = world.target()
    client.replicaof("127.0.0.1", other.port)
    wait_until(lambda: client.info("replication")["master_link_status"] == "up", "it is a replica")
    client.replicaof("NO", "ONE")
    assert client.dbsize() == 0
    assert set(running.workers()) == before
    assert world.run("unpause", JOB).code == 0
    done = go_on(world, running)
    other.stop(kill=True)
    assert "Redis was restarted, was a replica meanwhile" in done.err
    assert_whole(world, many_users, done)


def test_two_servers_behind_one_address_end_the_job(
    world: World, many_users: str, own_redis: RedisServer, tmp_path: Path
) -> None:
    """A balancer between servers with nothing in common: no endless job, but exit 3 and a line that says what it is."""
    other = RedisServer(tmp_path / "other").start()
    balancer = Proxy(own_redis.port, other.port)
    url = dataclasses.replace(world.redis, port=balancer.port).with_password()
    done = world.run(*WORDS, "--rate", "off", "--table", many_users, "--redis", url, "--progress", "none")
    balancer.close()
    other.stop(kill=True)
    assert done.code == 3, done.err
    assert done.summary["status"] == "failed"
    assert "--redis leads to several servers that do not have the same data" in done.err
    assert "resume" in done.err


@pytest.mark.parametrize("odd", [b"+OK\r\n", b"$4\r\n\r\n\r\n\r\n"], ids=["too many", "a bulk"])
def test_a_reply_that_nobody_asked_for_hides_none(
    world: World, many_users: str, own_redis: RedisServer, odd: bytes
) -> None:
    """It stands amid the replies to a batch, once: the connection is lost, its rows are written again, no row fails."""
    rows = 3 * AFTER_REPLIES
    world.execute(f"CREATE TABLE few LIKE {many_users}", f"INSERT INTO few SELECT * FROM {many_users} LIMIT {rows}")
    world.tables.append("few")
    proxy = Proxy(own_redis.port, insert=odd)
    url = dataclasses.replace(world.redis, port=proxy.port).with_password()
    done = world.run("run", "--key", "user:{id}", "--table", "few", "--redis", url, "--workers", "1", "--json")
    proxy.close()
    assert done.code == 0, done.err
    assert done.summary["ranges_retried"] > 0
    assert (done.summary["keys_written"], done.summary["rows_failed"]) == (rows, 0)
    assert world.assert_exact("few", by_id) == rows


def test_a_killed_mysql_connection_is_made_anew(world: World, many_users: str) -> None:
    """KILL in the middle of a range: more rows than the sockets hold are on their way to a worker in debt."""
    whole = ("--workers", "1", "--range-rows", str(10 * ROWS), "--rate", "1")
    running = world.start(*WORDS, *whole, "--table", many_users, job=JOB)
    wait_until(world.kill_readers, "a connection that reads")
    done = go_on(world, running)
    assert "MySQL closed the connection before the end of the result; trying again" in done.err
    assert done.summary["ranges"] == done.summary["ranges_retried"] == 1
    assert_whole(world, many_users, done)


def test_giving_up_is_resumable(world: World, many_users: str, own_redis: RedisServer) -> None:
    """A Redis that stays away for longer than --give-up-after: exit 3, one clear line, and a resume completes."""
    running = start(world, many_users, "--give-up-after", "500ms")
    own_redis.stop(kill=True)
    gave_up = running.finish()
    assert gave_up.code == 3
    assert gave_up.summary["status"] == "failed"
    assert "nothing has succeeded for 0.5 s" in gave_up.err
    own_redis.start()
    assert_whole(world, many_users, world.run("resume", JOB, "--rate", "off", "--json"))


def test_a_job_that_shows_nothing_wakes_for_lost_connections(
    world: World, many_users: str, own_redis: RedisServer
) -> None:
    """Without a display nothing else wakes the coordinator when a worker may try again."""
    running = start(world, many_users, "--workers", "1", "--progress", "none")
    client = world.target()
    for _ in range(6):
        wait_until(lambda: client.client_kill_filter(_type="normal", skipme=True), "a connection of the worker")
    client.close()
    done = go_on(world, running)
    assert_whole(world, many_users, done)


def test_the_last_question_is_asked_until_redis_answers(world: World, many_users: str, own_redis: RedisServer) -> None:
    """Every range is done, and no new connection to Redis is to be had: asked again until there is, and complete."""
    door = Proxy(own_redis.url.port)
    there = f"redis://127.0.0.1:{door.port}/0"
    running = start(world, many_users, "--workers", "1", "--progress", "none", "--redis", there)
    door.close()
    assert world.run("rate", JOB, "off").code == 0
    wait_until(lambda: set(running.journal()) == {"done"}, "all ranges are done")
    assert running.process.poll() is None
    door.open()
    assert_whole(world, many_users, running.finish())
    door.close()


def test_a_galera_node_that_is_not_prepared_blames_no_row(world: World, many_users: str) -> None:
    """It answers every query with error 1047 for a while, which is waited for."""
    with troubled(world.mysql, Trouble(refusals=[1047] * 6)) as url:
        done = world.run(
            "run", "--table", many_users, "--key", "user:{id}", "--job", JOB, "--range-rows", "5000", "--json",
            SHARDLOAD_MYSQL_URL=url.with_password(),
        )  # fmt: skip
    assert "[1047]" in done.err
    assert "halving" not in done.err
    assert_whole(world, many_users, done)


def test_connections_that_were_idle_too_long_blame_no_row(world: World, own_redis: RedisServer) -> None:
    """Both servers close what is idle for a second; under a low rate a worker waits for longer than that."""
    world.make_table("few", "id INT PRIMARY KEY")
    world.execute("INSERT INTO few VALUES (1), (2), (4), (5), (6), (8)", "SET GLOBAL wait_timeout = 1")
    client = world.target()
    client.config_set("timeout", 1)
    client.close()
    done = world.run(
        "run", "--table", "few", "--rate", "1", "--workers", "1", "--range-rows", "3", "--job", JOB, "--json"
    )
    world.execute("SET GLOBAL wait_timeout = DEFAULT")
    assert done.code == 0, done.err
    assert (done.summary["rows_read"], done.summary["keys_written"], done.summary["ranges_retried"]) == (6, 6, 0)


def test_a_redis_with_room_for_fewer_workers_gets_fewer(world: World, many_users: str, own_redis: RedisServer) -> None:
    """A word instead of a failure; and the last question is asked although the workers hold all connections."""
    client = world.target()
    client.config_set("maxclients", 3)  # this one and two workers
    done = world.run("run", "--table", many_users, "--key", "user:{id}", "--workers", "4", "--range-rows", "5000",
                     "--job", JOB, "--json")  # fmt: skip
    client.config_set("maxclients", 10_000)
    client.close()
    assert "going on with fewer workers" in done.err
    assert_whole(world, many_users, done)


def test_a_server_that_is_away_is_tried_with_one_range(world: World, many_users: str, own_redis: RedisServer) -> None:
    """The others that a worker held wait with the coordinator, and are not tried in vain, again and again."""
    running = start(world, many_users, "--workers", "1", "--range-rows", "100")
    own_redis.stop(kill=True)
    journal = f"file:{world.state_dir / JOB / 'journal.sqlite'}?mode=ro"

    def attempts() -> list[int]:
        with sqlite3.connect(journal, uri=True, timeout=10) as db:
            return [number for (number,) in db.execute("SELECT attempts FROM range ORDER BY attempts DESC LIMIT 3")]

    wait_until(lambda: attempts()[0] >= 6, "six attempts")
    assert attempts()[2] < 4
    running.signal(signal.SIGTERM)
    assert running.finish().code == 143
    own_redis.start()
    assert_whole(world, many_users, world.run("resume", JOB, "--rate", "off", "--json"))
