"""A master dies and a replica takes its place, which may lack what the master had confirmed: every key is there at the
end, and little is loaded again."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable

import pytest

from shardload.sandbox import RedisCluster, RedisServer, Sentinels
from tests.e2e.test_cluster import FEW, JOB, ROWS, WORDS, assert_in_the_middle, assert_whole, go_on, start
from tests.harness import World, kill, processes_named, wait_until

MIB = 1024 * 1024
CAUGHT_UP_RANGES = 80
FASTER = ("--rate", "8000")  # so that a replica lacks much soon


def offset(server: RedisServer) -> int:
    """How far the server's stream of changes has come."""
    return int(server.info("replication")["master_repl_offset"])


def has_caught_up(master: RedisServer, replicas: list[RedisServer]) -> bool:
    """True if every replica has all that the master had a moment ago."""
    reached = offset(master)
    return all(int(replica.info("replication")["slave_repl_offset"]) >= reached for replica in replicas)


# ---- Sentinel


def test_the_master_that_sentinels_name_is_loaded(world: World, sentinels: Sentinels, few_users: str) -> None:
    """And the replicas get every key from it."""
    done = world.run(*WORDS, "--table", few_users, "--key", "user:{id}")
    assert_whole(world, few_users, done, rows=FEW)
    assert sentinels.master.call("DBSIZE") == FEW
    wait_until(lambda: all(server.call("DBSIZE") == FEW for server in sentinels.replicas), "the replicas have them")
    assert re.fullmatch(r"\w+ [\d.]+, a master and 2 replicas, found by Sentinel", done.summary["target"])


def test_one_sentinel_that_answers_is_enough(world: World, sentinels: Sentinels, few_users: str) -> None:
    """The first ones in the URL are dead."""
    for dead in sentinels.sentinels[:2]:
        dead.stop(kill=True)
    assert_whole(world, few_users, world.run(*WORDS, "--table", few_users, "--key", "user:{id}"), rows=FEW)


def test_a_killed_master_is_replaced(world: World, sentinels: Sentinels, users_200k: str) -> None:
    """The Sentinels promote a replica, and the job goes on there."""
    running = start(world, users_200k)
    sentinels.master.stop(kill=True)
    promoted = sentinels.wait_for_another(sentinels.master)
    assert_in_the_middle(running)
    assert_whole(world, users_200k, go_on(world, running))
    assert promoted.call("DBSIZE") == ROWS


def test_a_master_that_steps_down_is_left(world: World, sentinels: Sentinels, users_200k: str) -> None:
    """A failover by order: the old master lives, and becomes a replica, which must not be written to."""
    running = start(world, users_200k)
    promoted = sentinels.failover()
    assert_in_the_middle(running)
    assert_whole(world, users_200k, go_on(world, running))
    assert promoted.call("DBSIZE") == ROWS


def test_two_failovers_in_one_job(world: World, sentinels: Sentinels, users_200k: str) -> None:
    """The second is noticed as the first was."""
    running = start(world, users_200k, "--rate", "5000")
    for _ in range(2):
        before = sentinels.current_master()
        before.stop(kill=True)
        sentinels.wait_for_another(before)
        assert_in_the_middle(running)
    assert_whole(world, users_200k, go_on(world, running))


def test_a_failover_between_stop_and_resume_is_noticed(world: World, sentinels: Sentinels, users_200k: str) -> None:
    """The job is resumed by the same URL, at another master."""
    running = start(world, users_200k)
    kill(running.process.pid)
    running.process.communicate()
    wait_until(lambda: not processes_named(f"shardload: worker {JOB}"), "no worker is left")
    sentinels.master.stop(kill=True)
    sentinels.wait_for_another(sentinels.master)
    assert_whole(world, users_200k, world.run("resume", JOB, "--rate", "off", "--json"))


def test_without_a_master_the_job_gives_up(world: World, sentinels: Sentinels, users_200k: str) -> None:
    """Resumable: nobody is left to be promoted, until the servers are back, empty."""
    running = start(world, users_200k, "--give-up-after", "5s")
    for server in sentinels.servers:
        server.stop(kill=True)
    gave_up = running.finish()
    assert gave_up.code == 3, gave_up.err
    assert "nothing has succeeded for 5 s" in gave_up.err
    sentinels.start()
    assert_whole(world, users_200k, world.run("resume", JOB, "--rate", "off", "--json"))


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis+sentinel://{sentinels}/secondary/0", "secondary"),
        ("redis+sentinel://127.0.0.1:1/primary/0", "127.0.0.1:1"),
    ],
    ids=["an unknown name", "no Sentinel"],
)
def test_a_wrong_sentinel_url_is_one_line(
    world: World, sentinels: Sentinels, users_200k: str, url: str, told: str
) -> None:
    """It says which name, or which Sentinel, and what to do."""
    there = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in sentinels.sentinels)
    done = world.run("run", "--table", users_200k, "--job", JOB, "--redis", url.format(sentinels=there))
    assert done.code == 3
    assert told in done.err
    assert len(done.err.strip().splitlines()) <= 2, done.err
    assert "Traceback" not in done.err


# ---- replicas that lag


def lose_what_follows(
    world: World,
    table: str,
    master: RedisServer,
    replicas: list[RedisServer],
    lag_bytes: int,
    promote: Callable[[], RedisServer],
) -> None:
    """Kill a master that has so much more than its replicas, which have the beginning; every key is there at the end,
    and fewer ranges were loaded again than were done when it died."""
    running = start(world, table, *FASTER, done=CAUGHT_UP_RANGES)
    wait_until(lambda: has_caught_up(master, replicas), "the replicas have the beginning")
    since = offset(master)
    for replica in replicas:
        os.kill(replica.pid, signal.SIGSTOP)
    try:
        wait_until(lambda: offset(master) - since > lag_bytes, "the replicas lack much")
        assert_in_the_middle(running)
        confirmed, done_ranges = offset(master), running.journal()["done"]
        master.stop(kill=True)
    finally:
        for replica in replicas:
            os.kill(replica.pid, signal.SIGCONT)
    promoted = promote()
    assert int(promoted.info("replication")["second_repl_offset"]) < confirmed - MIB, "nothing was lost: no test"
    done = go_on(world, running)
    assert_whole(world, table, done)
    assert 0 < done.summary["ranges_retried"] < done_ranges < done.summary["ranges"]


def test_what_lagging_replicas_lack_is_loaded_again(world: World, sentinels: Sentinels, users_200k: str) -> None:
    """And not what they have: they lag since a known moment."""
    master, replicas = sentinels.master, sentinels.replicas
    lose_what_follows(world, users_200k, master, replicas, 16 * MIB, lambda: sentinels.wait_for_another(master))


def test_what_a_lagging_replica_of_a_cluster_lacks_is_loaded_again(
    world: World, six_nodes: RedisCluster, users_200k: str
) -> None:
    """One node of three has lost something: the same, although every range has keys there."""
    master = six_nodes.masters()[0]
    (replica,) = six_nodes.replicas_of(master)

    def promote() -> RedisServer:
        six_nodes.wait_until_ok()
        assert replica in six_nodes.masters()
        return replica

    lose_what_follows(world, users_200k, master, [replica], 10 * MIB, promote)


def test_a_replica_that_lags_behind_a_dead_coordinator_is_noticed(
    world: World, sentinels: Sentinels, users_200k: str
) -> None:
    """Nobody watched when the master died: the journal alone tells what may be gone."""
    master, replicas = sentinels.master, sentinels.replicas
    running = start(world, users_200k, *FASTER, done=CAUGHT_UP_RANGES)
    since = offset(master)
    for replica in replicas:
        os.kill(replica.pid, signal.SIGSTOP)
    try:
        wait_until(lambda: offset(master) - since > 16 * MIB, "the replicas lack much")
        kill(running.process.pid)
        running.process.communicate()
        wait_until(lambda: not processes_named(f"shardload: worker {JOB}"), "no worker is left")
        master.stop(kill=True)
    finally:
        for replica in replicas:
            os.kill(replica.pid, signal.SIGCONT)
    promoted = sentinels.wait_for_another(master)
    assert promoted.call("DBSIZE") < ROWS
    assert_whole(world, users_200k, world.run("resume", JOB, "--rate", "off", "--json"))
