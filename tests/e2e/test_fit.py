"""Does it fit: the projection is what the import then uses; what does not fit is refused; nothing is left behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shardload.config.urls import TargetUrl
from shardload.errors import MissingServer
from shardload.sandbox import RedisCluster, RedisServer
from tests.harness import Result, World, wait_until

MIB = 2**20
TOLERANCE = 0.1
SERVERS = ("redis-server", "valkey-server")
TABLES = ("small", "wide", "texts")
FORMS = {
    "hash": (),
    "hset": ("--encoding", "commands", "--hash-layout", "native"),
    "json": ("--as", "json"),
}


@pytest.fixture(params=SERVERS)
def either(request: pytest.FixtureRequest, world: World, tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own, and a Valkey where one is installed; the world uses it."""
    try:
        server = RedisServer(tmp_path / "either", programs=(request.param,)).start()
    except MissingServer as error:
        pytest.skip(str(error))
    before, world.redis = world.redis, server.url
    yield server
    world.redis = before
    server.stop(kill=True)


def make(world: World, table: str) -> None:
    """One of three kinds of table: small rows with gaps between them; wide ones with NULLs; long texts, of which the
    first quarter is short, far apart from each other."""
    if table == "small":
        world.make_table("small", "id INT PRIMARY KEY, name VARCHAR(20), score INT")
        world.execute("INSERT INTO small SELECT seq * 3, LEFT(MD5(seq), seq % 14), seq * 7 FROM seq_1_to_30000")
    elif table == "wide":
        world.make_table("wide", "id INT PRIMARY KEY, " + ", ".join(f"c{at} VARCHAR(60)" for at in range(25)))
        values = (
            f"IF((seq + {at}) % 4, LEFT(SHA2(seq * {at + 1}, 256), 8 + (seq * {at + 3}) % 40), NULL)"
            for at in range(25)
        )
        world.execute(f"INSERT INTO wide SELECT seq, {', '.join(values)} FROM seq_1_to_8000")
    else:
        world.make_table("texts", "id BIGINT PRIMARY KEY, title VARCHAR(40), body TEXT")
        long = "REPEAT(SHA2(seq, 256), IF(seq < 2500, 1 + seq % 8, 30 + seq % 60))"
        world.execute(f"INSERT INTO texts SELECT seq * 1000003 + seq * seq % 1000003, seq, {long} FROM seq_1_to_10000")


def planned(world: World, *words: str, **environment: str) -> dict[str, Any]:
    """What `plan --json` says."""
    done = world.run("plan", "--json", *words, **environment)
    assert done.code == 0, done.err
    return done.summary


def used(server: RedisServer) -> int:
    """The bytes that are used now."""
    return int(server.info("memory")["used_memory"])


def grows_by(server: RedisServer, before: int, added: int) -> None:
    """Until what is used more is about that: old tables go a little later, and so do connections' buffers."""

    def is_near() -> bool:
        return abs(used(server) - before - added) <= TOLERANCE * (used(server) - before)

    wait_until(is_near, f"{added} more than {before}, it is {used(server) - before}", 15)


@pytest.mark.parametrize("ttl", [(), ("--ttl", "1d")], ids=["forever", "ttl"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("table", TABLES)
def test_what_is_projected_is_what_is_used(
    world: World, either: RedisServer, table: str, form: str, ttl: tuple[str, ...]
) -> None:
    """Within a tenth, for three kinds of table, whatever a row becomes. Nothing of the scratch keys stays."""
    make(world, table)
    words = ("--table", table, "--key", f"{table}:{{id}}", *FORMS[form], *ttl)
    told = planned(world, *words)
    assert either.call("DBSIZE") == 0
    assert told["memory_by"].startswith("measured with")
    before = used(either)
    assert world.run("run", *words).code == 0
    assert either.call("DBSIZE") == told["rows"] == told["memory"][0]["new_keys"]
    grows_by(either, before, told["memory"][0]["added_bytes"])


def test_rows_on_top_of_others(world: World, either: RedisServer) -> None:
    """The table of the keys is there already; of the job's own keys half are, and count as nothing more."""
    make(world, "small")
    words = ("--table", "small", "--lookup", "name:{score}={id}")
    assert world.run("run", *words, "--where", "id % 2 = 0").code == 0
    told = planned(world, *words)
    assert told["existing_share"] == pytest.approx(0.5, abs=0.08)
    before = used(either)
    assert world.run("run", *words).code == 0
    assert either.call("DBSIZE") == 60_000
    grows_by(either, before, told["memory"][0]["added_bytes"])


@pytest.mark.parametrize(
    ("rows", "how"),
    [
        ("seq_1_to_1 WHERE seq > 1", "by arithmetic: too few rows to tell"),
        ("seq_1_to_3", "by arithmetic: too few rows to tell"),
        ("seq_5_to_44", "by arithmetic: the first row is too large to try"),
    ],
)
def test_too_little_to_try(world: World, own_redis: RedisServer, rows: str, how: str) -> None:
    """It says so, and asks Redis nothing that is wrong."""
    world.make_table("few", "id INT PRIMARY KEY, body LONGTEXT")
    world.execute(f"INSERT INTO few SELECT seq, REPEAT('x', IF(seq = 5, 2000000, 9)) FROM {rows}")
    own_redis.call("CONFIG", "RESETSTAT")
    assert planned(world, "--table", "few")["memory_by"] == how
    assert "cmdstat_exec" not in own_redis.info("commandstats")


# ---- what does not fit


def limit(server: RedisServer, size_bytes: int, policy: str = "noeviction") -> None:
    """From now on."""
    server.call("CONFIG", "SET", "maxmemory", size_bytes)
    server.call("CONFIG", "SET", "maxmemory-policy", policy)


def assert_refused(world: World, done: Result, *fragments: str) -> None:
    """One line, exit 3, no job directory."""
    assert (done.code, done.out, len(done.err.splitlines())) == (3, "", 1), done
    for fragment in fragments:
        assert fragment in done.err
    assert not list(world.state_dir.glob("*"))


@pytest.mark.parametrize(
    ("policy", "why"), [("noeviction", "it does not fit: "), ("allkeys-lru", "Redis would evict keys: ")]
)
def test_what_does_not_fit_is_refused(
    world: World, own_redis: RedisServer, few_users: str, policy: str, why: str
) -> None:
    """It says what is missing and what to do; `plan` says so, too; nothing is written."""
    words = ("--table", few_users, "--key", "user:{id}")
    added = planned(world, *words)["memory"][0]["added_bytes"]
    limit(own_redis, used(own_redis) + added // 2, policy)
    done = world.run("run", *words)
    assert_refused(world, done, why, f"(maxmemory, {policy})", "are missing", "raise maxmemory", "--force")
    assert own_redis.call("DBSIZE") == 0
    told = planned(world, *words)
    assert (told["fits"], told["memory"][0]["fits"]) == (False, False)
    assert told["memory"][0]["missing_bytes"] > added // 3
    assert "it does not fit: " in world.run("plan", *words).out


def test_who_forces_it_is_told(world: World, own_redis: RedisServer, few_users: str) -> None:
    """It begins, and evicts keys; the note is in the log, too."""
    limit(own_redis, used(own_redis) + 2 * MIB, "allkeys-lru")
    done = world.run("run", "--table", few_users, "--key", "user:{id}", "--force", "--job", "j")
    assert done.code == 0, done.err
    assert "begun by --force" in done.err
    assert "Redis evicted" in done.err
    assert "begun by --force" in world.run("log", "j").out


def test_what_just_fits_is_told(world: World, own_redis: RedisServer, few_users: str) -> None:
    """With less than a tenth left."""
    words = ("--table", few_users, "--key", "user:{id}", "--workers", "1")
    peak = planned(world, *words)["memory"][0]["peak_bytes"]
    limit(own_redis, int(peak * 1.04))
    done = world.run("run", *words)
    assert done.code == 0, done.err
    assert "it fits, with less than a tenth of the limit left" in done.err
    assert own_redis.call("DBSIZE") == 20_000


def test_far_below_a_limit_nothing_is_tried(world: World, own_redis: RedisServer, few_users: str) -> None:
    """The start of a run takes no longer, and says nothing."""
    limit(own_redis, 500 * MIB)
    own_redis.call("CONFIG", "RESETSTAT")
    done = world.run("run", "--table", few_users, "--key", "user:{id}", "--progress", "none")
    assert (done.code, done.err) == (0, ""), done.err
    assert "cmdstat_exists" not in own_redis.info("commandstats")


def test_keys_that_exist_fit_again(world: World, own_redis: RedisServer, few_users: str) -> None:
    """All of them are there: nothing more is needed."""
    words = ("--table", few_users, "--key", "user:{id}")
    assert world.run("run", *words).code == 0
    limit(own_redis, used(own_redis) + 2 * MIB)
    done = world.run("run", *words)
    assert done.code == 0, done.err
    assert "for 0 keys" in done.err


def test_a_resume_looks_at_what_is_left(world: World, own_redis: RedisServer, many_users: str) -> None:
    """It is refused, too; with more memory it goes on."""
    words = ("--table", many_users, "--key", "user:{id}", "--range-rows", "5000", "--rate", "20000", "--job", "j")
    running = world.start("run", *words, job="j")
    running.wait_for_ranges(3)
    assert world.run("stop", "j", "--wait").code == 0
    running.finish()
    limit(own_redis, used(own_redis) + 4 * MIB)
    done = world.run("resume", "j", "--rate", "off")
    assert done.code == 3, done
    assert "it does not fit: " in done.err
    limit(own_redis, 0)
    assert world.run("resume", "j", "--rate", "off").code == 0
    assert own_redis.call("DBSIZE") == 100_000


# ---- rights


ALL = "+restore +hgetall +del +hset +pexpire +ping +info +dbsize +exists +select +multi +exec"


@pytest.mark.parametrize(
    ("without", "how", "right"),
    [
        ("+multi", "by arithmetic: MULTI was refused", None),
        ("+exists", "measured with", "EXISTS is refused"),
        ("+info", None, "INFO is refused"),
    ],
)
def test_without_a_right(
    world: World, own_redis: RedisServer, without: str, how: str | None, right: str | None
) -> None:
    """`plan` names it; what is not measured is arithmetic; `run` begins."""
    make(world, "small")
    words = [word for word in ALL.split() if word != without]
    own_redis.call("ACL", "SETUSER", "some", "on", ">s3cret", "resetkeys", "~small:*", "-@all", *words)
    url = TargetUrl(own_redis.url.host, own_redis.url.port, "some", "s3cret", "0").with_password()
    told = planned(world, "--table", "small", SHARDLOAD_REDIS_URL=url)
    assert own_redis.call("DBSIZE") == 0
    assert (told["memory_by"] or "").startswith(how or "")
    assert (told["fits"] is None) == (without == "+info")
    assert any(one.startswith(right or "") for one in told["rights"]) == bool(right), told["rights"]
    assert "s3cret" not in json.dumps(told)
    before = used(own_redis)
    assert world.run("run", "--table", "small", SHARDLOAD_REDIS_URL=url).code == 0
    if told["memory"]:
        grows_by(own_redis, before, told["memory"][0]["added_bytes"])


# ---- several nodes, and what else is told


def test_each_node_of_a_cluster(world: World, cluster: RedisCluster, users_200k: str) -> None:
    """Measured and projected for each; the fullest one decides."""
    words = ("--table", users_200k, "--key", "user:{id}")
    told = planned(world, *words)
    assert told["memory_by"] == "measured with 768 scratch keys"
    by_address = {one["address"]: one for one in told["memory"]}
    nodes = {f"127.0.0.1:{node.port}": node for node in cluster.nodes}
    assert by_address.keys() == nodes.keys()
    before = {address: used(node) for address, node in nodes.items()}
    narrow = cluster.nodes[1]
    limit(narrow, used(narrow) + MIB)
    try:
        assert_refused(world, world.run("run", *words), f"it does not fit: 127.0.0.1:{narrow.port}: ")
    finally:
        limit(narrow, 0)
    assert all(node.call("DBSIZE") == 0 for node in cluster.nodes)
    assert world.run("run", *words).code == 0
    for address, node in nodes.items():
        grows_by(node, before[address], by_address[address]["added_bytes"])


def test_saves_and_rates_are_told(world: World, own_redis: RedisServer, few_users: str) -> None:
    """Save points and an append-only file, the encoding and why, and the time at a rate."""
    own_redis.call("CONFIG", "SET", "save", "3600 1")
    own_redis.call("CONFIG", "SET", "appendonly", "yes")
    told = planned(world, "--table", few_users, "--rate", "1000")
    assert any("(3600 1)" in one for one in told["saves"])
    assert any("append-only" in one for one in told["saves"])
    assert (told["rate"], told["estimated_s"]) == (1000, 20.0)
    assert (told["encoding"], told["encoding_reason"]) == ("RESTORE listpack", "a scratch key came back equal")
    assert (told["rows"], told["rows_exact"]) == (20_000, True)
    lines = world.run("plan", "--table", few_users, "--rate", "1000").out
    for fragment in ("rows: 20,000 counted", "time: 20.0 s at 1,000 rows/s", "it fits", "encoding: RESTORE listpack"):
        assert fragment in lines


def test_a_replica_is_refused(world: World, own_redis: RedisServer, few_users: str, tmp_path: Path) -> None:
    """`plan` says what it is; `run` does not begin."""
    with_data = RedisServer(tmp_path / "primary").start()
    try:
        own_redis.call("REPLICAOF", "127.0.0.1", with_data.port)
        wait_until(lambda: own_redis.info("replication").get("master_link_status") == "up", "a replica")
        words = ("--table", few_users, "--key", "user:{id}")
        done = world.run("run", *words)
        assert (done.code, list(world.state_dir.glob("*"))) == (3, []), done.err
        assert "replica" in done.err
        told = planned(world, *words)
        assert "replica" in told["target"]
        assert (told["fits"], told["memory"]) == (None, [])
    finally:
        with_data.stop(kill=True)
