"""The ACL lines of docs/operations.md: an import with exactly these rights; none of the least can be left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shardload.config.urls import TargetUrl
from shardload.encoding import Payload, slot_of
from shardload.errors import TargetError
from shardload.sandbox import RedisCluster, Sentinels
from shardload.target import TargetConnection, choose_payload
from tests.harness import World, by_id, wait_until

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
LINES = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("ACL SETUSER ")]
ALL, LEAST, LEAST_WITHOUT_RESTORE, IN_A_CLUSTER, OF_SENTINELS = LINES
SECRET = "s3cret"


@pytest.fixture
def guarded(world: World) -> Iterator[World]:
    """A world whose user `shardload` is removed at the end."""
    yield world
    world.target().acl_deluser("shardload")


def words_of(line: str, without: str = "") -> list[str]:
    """The command in a line of the page, perhaps without one of its words."""
    return [word.replace(">...", f">{SECRET}") for word in line.split() if word != without]


def allow(world: World, line: str, without: str = "") -> TargetUrl:
    """Execute a line of the page, perhaps without one of its words; the user's URL."""
    words = words_of(line, without)
    client: Any = world.target()
    client.acl_deluser("shardload")
    assert client.execute_command(*words) in (True, b"OK", "OK")
    return TargetUrl(world.redis.host, world.redis.port, "shardload", SECRET, world.redis.database)


def denied(world: World) -> list[str]:
    """Commands that Redis refused for want of rights, from its ACL LOG."""
    log: Any = world.target().acl_log()
    return sorted({str(entry["object"]) for entry in log if entry["username"] == "shardload"})


def test_all_rights_of_the_page(guarded: World, few_users: str) -> None:
    """With all of them nothing is refused, by the import or by verify; the user can do no more."""
    url = allow(guarded, ALL)
    guarded.target().acl_log_reset()
    words = ["--table", few_users, "--key", "user:{id}", "--job", "j", "--json"]
    done = guarded.run("run", *words, SHARDLOAD_REDIS_URL=url.with_password())
    assert done.code == 0, done.err
    assert done.summary["encoder"].startswith("native, RESTORE listpack")
    assert guarded.assert_exact(few_users, by_id) == 20_000
    assert guarded.run("verify", "j", SHARDLOAD_REDIS_URL=url.with_password()).code == 0
    key = next(guarded.target().scan_iter())
    guarded.target().delete(key)
    done = guarded.run("verify", "j", "--repair", SHARDLOAD_REDIS_URL=url.with_password())
    assert (done.code, "no WATCH" in done.out, "(repaired)" in done.out) == (0, False, True), done.err
    connection = TargetConnection(url, name="j")
    connection.close()
    assert denied(guarded) == []
    for words_ in (("SET", "user:1", "x"), ("KEYS", "*"), ("CONFIG", "GET", "*"), ("HSET", "other:1", "a", "b")):
        connection = TargetConnection(url)
        with pytest.raises(TargetError, match="NOPERM"):
            connection.call(*words_)
        connection.close()


def test_a_repair_without_watch(guarded: World, few_users: str) -> None:
    """It writes all the same, and says what that may cost."""
    url = allow(guarded, ALL, without="+watch").with_password()
    words = ["--table", few_users, "--key", "user:{id}", "--job", "j"]
    assert guarded.run("run", *words, SHARDLOAD_REDIS_URL=url).code == 0
    key = next(guarded.target().scan_iter())
    guarded.target().delete(key)
    done = guarded.run("verify", "j", "--repair", SHARDLOAD_REDIS_URL=url)
    assert done.code == 0, done.err
    assert "no WATCH: a repair may undo what others write meanwhile" in done.out
    assert f"{key.decode()}: missing (repaired)" in done.out
    assert "without WATCH" in guarded.run("log", "j-verify").out
    assert guarded.assert_exact(few_users, by_id) == 20_000


@pytest.mark.parametrize(
    ("line", "encoder"), [(LEAST, "native, RESTORE listpack"), (LEAST_WITHOUT_RESTORE, "native, HSET")]
)
def test_the_least_rights_suffice(guarded: World, users_200k: str, line: str, encoder: str) -> None:
    """A whole import: every key. Without RESTORE it falls back to HSET and says why."""
    url = allow(guarded, line)
    words = ["--table", users_200k, "--key", "user:{id}", "--job", "j"]
    done = guarded.run("run", *words, SHARDLOAD_REDIS_URL=url.with_password())
    assert done.code == 0, done.err
    assert encoder in done.out
    if line is LEAST_WITHOUT_RESTORE:
        assert "RESTORE is unavailable" in done.out
        assert "NOPERM" in done.out
    assert guarded.assert_exact(users_200k, by_id) == 200_000
    assert SECRET not in done.out + done.err + guarded.run("log", "j").out


@pytest.mark.parametrize("line", [LEAST, LEAST_WITHOUT_RESTORE])
def test_none_of_the_least_can_be_left_out(guarded: World, line: str) -> None:
    """Each of the commands, taken away, makes the probe fail."""
    commands = [word for word in line.split() if word.startswith("+")]
    assert len(commands) >= 2
    for word in commands:
        connection = TargetConnection(allow(guarded, line, without=word))
        with pytest.raises(TargetError, match="NOPERM"):
            choose_payload(connection, b"user:scratch", "auto", [Payload.LISTPACK, Payload.PLAIN])
        connection.close()
        guarded.target().flushdb()


def test_what_happens_without_one_of_them(guarded: World) -> None:
    """The page's table: each command but DEL may be missing."""
    guarded.make_table("few", "id INT PRIMARY KEY, name VARCHAR(20)")
    guarded.execute("INSERT INTO few VALUES (1, 'a'), (2, 'b')")
    for word in [word for word in ALL.split() if word.startswith("+")]:
        url = allow(guarded, ALL, without=word)
        guarded.target().flushdb()
        done = guarded.run("run", "--table", "few", "--key", "user:{id}", SHARDLOAD_REDIS_URL=url.with_password())
        if word == "+del":
            assert done.code == 3
            continue
        assert done.code == 0, f"{word}: {done.err}"
        assert ("HSET" in done.out) is (word in ("+restore", "+hgetall")), word
        assert guarded.assert_exact("few", by_id) == 2


@pytest.mark.parametrize("without", ["", "+cluster|slots", "+asking"])
def test_the_rights_in_a_cluster(world: World, tmp_path: Path, few_users: str, without: str) -> None:
    """They suffice while slots move; without one of the two a line says which command is refused."""
    with RedisCluster(tmp_path / "cluster") as cluster:
        for node in cluster.nodes:
            node.call(*words_of(IN_A_CLUSTER, without))
        url = replace(cluster.url, user="shardload", password=SECRET)
        words = ("--table", few_users, "--key", "user:{{all}}:{id}", "--rate", "4000", "--range-rows", "200")
        running = world.start("run", *words, "--job", "j", job="j", SHARDLOAD_REDIS_URL=url.with_password())
        if without == "+cluster|slots":
            done = running.finish()
            assert done.code == 3
            assert "CLUSTER was refused: NOPERM" in done.err
            return
        running.wait_for_ranges(2)
        slot = slot_of(b"all")  # of every key
        source = cluster.node_of(slot)
        target = next(node for node in cluster.masters() if node.id != source.id)

        def wait_for_asking() -> None:
            wait_until(lambda: source.info("errorstats").get("errorstat_ASK"), "a key for the open slot")

        cluster.move_slots(source, target, [slot], on_step=wait_for_asking)
        if without:
            done = running.finish()
            assert done.code == 3
            assert "ASKING was refused: NOPERM" in done.err
            return
        world.run("rate", "j", "off")
        done = running.finish()
        assert done.code == 0, done.err
        assert replace(world, redis=cluster.url).assert_exact(few_users, in_one_slot) == 20_000


def in_one_slot(row: dict[str, bytes | None]) -> str:
    """The key that `user:{{all}}:{id}` makes."""
    return by_id(row).replace("user:", "user:{all}:")


def test_the_rights_of_sentinels(world: World, sentinels: Sentinels, few_users: str) -> None:
    """Their own user may ask one question."""
    for sentinel in sentinels.sentinels:
        sentinel.call(*words_of(OF_SENTINELS))
    url = replace(sentinels.url, sentinel_user="shardload", sentinel_password=SECRET)
    words = ("--table", few_users, "--key", "user:{id}", "--job", "j")
    done = world.run("run", *words, SHARDLOAD_REDIS_URL=url.with_password())
    assert done.code == 0, done.err
    assert world.assert_exact(few_users, by_id) == 20_000
    assert SECRET not in done.out + done.err + world.run("log", "j").out
    wrong = replace(url, service="wrong").with_password()
    refused = world.run("run", "--table", few_users, "--job", "k", SHARDLOAD_REDIS_URL=wrong)
    assert refused.code == 3
    assert "knows no master 'wrong' (check the name in --redis)" in refused.err
