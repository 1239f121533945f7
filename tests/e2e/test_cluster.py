"""Imports into a Redis Cluster, also while slots move, nodes come and go, and processes die: every key is there."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from shardload.sandbox import ClusterNode, RedisCluster
from tests.harness import Result, Running, World, by_id, kill, processes_named, wait_until

JOB = "cluster"
ROWS, FEW = 200_000, 20_000
WORDS = ("run", "--job", JOB, "--json")
SLOWLY = ("--range-rows", "500", "--rate", "4000")  # fifty seconds: what happens after three of them is in the middle
MOVED_SLOTS = 400
PAUSE_MS = 5000

Row = dict[str, bytes | None]


def start(world: World, table: str, *more: str, done: int = 20) -> Running:
    """An import that has so many ranges done and is far from its end, on a busy machine too: the rate holds it back."""
    running = world.start(*WORDS, *SLOWLY, "--table", table, "--key", "user:{id}", *more, job=JOB)
    running.wait_for_ranges(done)
    return running


def assert_in_the_middle(running: Running) -> None:
    """It runs and is not done."""
    assert running.process.poll() is None, running.finish()
    assert set(running.journal()) != {"done"}


def go_on(world: World, running: Running) -> Result:
    """The end of an import that is no longer held back."""
    told = world.run("rate", JOB, "off")
    assert told.code == 0, told
    return running.finish()


def assert_whole(
    world: World, table: str, done: Result, key: Callable[[Row], str] = by_id, *, rows: int = ROWS
) -> None:
    """The command says that it is complete, the counts add up to exactly the rows, and the keys are the rows."""
    assert done.code == 0, done.err
    summary = done.summary
    assert (summary["status"], summary["rows_read"], summary["keys_written"]) == ("complete", rows, rows)
    assert summary["rows_skipped"] == summary["rows_failed"] == 0
    assert summary["ranges"] == summary["ranges_done"]
    assert world.assert_exact(table, key) == rows


def refusals(node: ClusterNode, word: str) -> int:
    """How many commands this node has answered with such an error."""
    return int(node.info("errorstats").get(f"errorstat_{word}", "count=0").partition("count=")[2])


# ---- nothing happens


def test_every_key_is_where_its_slot_is(world: World, cluster: RedisCluster, users_200k: str) -> None:
    """And each node has its part."""
    done = world.run(*WORDS, "--table", users_200k, "--key", "user:{id}")
    assert_whole(world, users_200k, done)
    assert all(node.call("DBSIZE") > ROWS // 4 for node in cluster.nodes)


@pytest.mark.parametrize(
    "words",
    [
        ("--encoding", "commands"),
        ("--encoder", "reference"),
        ("--encoder", "reference", "--encoding", "commands"),
        ("--ttl", "7d", "--ttl-jitter", "10%"),
        ("--hash-layout", "native"),
        ("--workers", "1", "--range-rows", "1000"),
    ],
    ids=" ".join,
)
def test_however_a_key_is_written(world: World, cluster: RedisCluster, few_users: str, words: tuple[str, ...]) -> None:
    """With each encoder, each encoding and each layout."""
    done = world.run(*WORDS, "--table", few_users, "--key", "user:{id}", *words)
    assert_whole(world, few_users, done, rows=FEW)


@pytest.mark.parametrize(
    "words", [(), ("--encoding", "commands"), ("--as", "json"), ("--on-conflict", "keep")], ids=" ".join
)
def test_lookups_and_kept_keys(world: World, cluster: RedisCluster, few_users: str, words: tuple[str, ...]) -> None:
    """A lookup goes to the node of its own slot; counts are exact, whichever node answers."""
    lookup = ("--lookup", "name:{username}={id}")
    done = world.run(*WORDS, "--table", few_users, "--key", "user:{id}", *words, *lookup, "--ttl", "1d")
    assert done.code == 0, done.err
    assert (done.summary["keys_written"], done.summary["lookups_written"]) == (FEW, FEW)
    assert sum(node.call("DBSIZE") for node in cluster.nodes) == 2 * FEW
    verified = world.run("verify", JOB)
    assert verified.code == 0, verified.out
    keep = ("--on-conflict", "keep", "--encoding", "auto", "--range-rows", "500")
    kept = world.run("run", "--table", few_users, "--key", "user:{id}", "--json", *words, *lookup, *keep)
    assert (kept.summary["keys_kept"], kept.summary["keys_written"], kept.summary["lookups_written"]) == (FEW, 0, 0)


def test_a_cluster_behind_a_plain_url_is_found_out(world: World, cluster: RedisCluster, few_users: str) -> None:
    """The URL of any one node is enough; `verify` finds all keys."""
    url = cluster.nodes[2].url.with_password()
    done = world.run(*WORDS, "--table", few_users, "--key", "user:{id}", "--redis", url)
    assert_whole(world, few_users, done, rows=FEW)
    verified = world.run("verify", JOB, "--redis", url)
    assert verified.code == 0, verified.err
    assert f"{FEW:,} rows compared: 0 missing, 0 different" in verified.out
    assert re.search(r"^  target: \w+ [\d.]+, cluster of 3 masters$", verified.out, re.M)


def test_one_address_that_answers_is_enough(world: World, cluster: RedisCluster, few_users: str) -> None:
    """Of those in the URL; and another node's serves for the resumed job."""
    url = f"redis+cluster://127.0.0.1:1,127.0.0.1:{cluster.nodes[1].port}"
    done = world.run(*WORDS, "--table", few_users, "--key", "user:{id}", "--redis", url)
    assert_whole(world, few_users, done, rows=FEW)
    other = f"redis+cluster://127.0.0.1:{cluster.nodes[0].port}"
    again = world.run("resume", JOB, "--redis", other)
    assert again.code == 0, again.err
    assert "nothing is left to do" in again.err


def test_a_cluster_behind_a_nat(world: World, tmp_path: Path, few_users: str) -> None:
    """Its nodes name addresses that lead nowhere from here; a map says where they are. Doctor lists them."""
    options = ("--cluster-announce-hostname", "node.invalid", "--cluster-preferred-endpoint-type", "hostname")
    with RedisCluster(tmp_path / "cluster", options=options) as cluster:
        ports = [node.port for node in cluster.nodes]
        flags = ("--redis", f"redis://127.0.0.1:{ports[0]}", "--redis-map")
        mapped = ",".join(f"node.invalid:{port}=127.0.0.1:{port}" for port in ports)
        lost = world.run("run", "--table", few_users, "--job", "lost", *flags[:2])
        assert lost.code == 3
        assert "node.invalid" in lost.err
        done = world.run(*WORDS, "--table", few_users, "--key", "user:{id}", *flags, mapped)
        assert done.code == 0, done.err
        assert sum(node.call("DBSIZE") for node in cluster.nodes) == FEW
        assert world.run("verify", JOB, *flags, mapped).code == 0
        doctor = world.run("doctor", *flags, mapped).out
    assert re.search(r"redis [\d.]+, cluster of 3 masters", doctor)
    assert [f"node.invalid:{port}: " in doctor for port in ports] == [True] * 3
    assert len(re.findall(r"5,46[12] slots, 0 replicas", doctor)) == 3


@pytest.fixture
def tagged(world: World) -> str:
    """A table with braces of every kind in a column, which make hash tags, or do not."""
    world.make_table("tagged", "id INT PRIMARY KEY, tag VARCHAR(40) NOT NULL")
    kinds = (
        "{#}", "{}", "{}{#}", "{", "}", "}{#", "}{#}", "{{#}}", "{{#}", "{#}}", "{#}{b}", "{é#}", "{ }", "", "#",
        "{#}:{x}", "a{#", "{#\\\\}", "{\\'#}",
    )  # fmt: skip
    one_of = ", ".join(f"'{kind}'" for kind in kinds)
    digit = "(SELECT 0 d" + "".join(f" UNION ALL SELECT {number}" for number in range(1, 10)) + ")"
    numbers = f"SELECT a.d + 10*b.d + 100*c.d + 1000*e.d n FROM {digit} a, {digit} b, {digit} c, {digit} e"
    tag = f"REPLACE(ELT(1 + n % {len(kinds)}, {one_of}), '#', n % 1009)"
    world.execute(f"INSERT INTO tagged SELECT n, {tag} FROM ({numbers}) numbers")
    return "tagged"


@pytest.mark.parametrize(
    ("template", "python"),
    [
        ("user:{{{id}}}", "user:{{{id}}}"),
        ("{{{id}}}:{tag}", "{{{id}}}:{tag}"),
        ("t:{tag}:{id}", "t:{tag}:{id}"),
        ("{tag}{id}", "{tag}{id}"),
        ("{{{tag}}}{id}", "{{{tag}}}{id}"),
        ("}}{{x{tag}y:{id}}}", "}}{{x{tag}y:{id}}}"),
        ("{{all}}:{id}", "{{all}}:{id}"),
    ],
)
@pytest.mark.parametrize("encoder", ["native", "reference"])
def test_hash_tags_decide(
    world: World, cluster: RedisCluster, tagged: str, encoder: str, template: str, python: str
) -> None:
    """Those of the template, and those that come out of the data."""

    def key(row: Row) -> str:
        id_, tag = row["id"], row["tag"]
        assert id_ is not None
        assert tag is not None
        return python.format(id=id_.decode(), tag=tag.decode())

    done = world.run(*WORDS, "--table", tagged, "--key", template, "--encoder", encoder)
    assert_whole(world, tagged, done, key, rows=10_000)


def test_a_cluster_has_one_database(world: World, cluster: RedisCluster, users_200k: str) -> None:
    """Another one is refused before anything is written, in one line."""
    for url in (f"{cluster.url.with_password().removesuffix('/0')}/3", f"redis://127.0.0.1:{cluster.nodes[0].port}/3"):
        done = world.run("run", "--table", users_200k, "--job", JOB, "--redis", url)
        assert done.code == 3, done.err
        assert f":{cluster.nodes[0].port}/3" in done.err
        assert "this cluster has database 0 only" in done.err
        assert len(done.err.strip().splitlines()) == 1, done.err
    assert all(node.call("DBSIZE") == 0 for node in cluster.nodes)


# ---- something happens in the middle


def test_slots_move(world: World, six_nodes: RedisCluster, users_200k: str) -> None:
    """Several hundred of them, with their keys; keys of a slot that is open are asked for elsewhere."""
    running = start(world, users_200k)
    source, target = six_nodes.masters()[:2]
    slots = six_nodes.slots_of(source)[:MOVED_SLOTS]
    slots.sort(key=lambda slot: -int(source.call("CLUSTER", "COUNTKEYSINSLOT", slot)))  # the first has keys

    def wait_for_asking() -> None:
        if not refusals(source, "ASK"):
            wait_until(lambda: refusals(source, "ASK"), "a key that belongs into the open slot")

    six_nodes.move_slots(source, target, slots, keys_per_step=2, on_step=wait_for_asking)
    assert_in_the_middle(running)
    wait_until(lambda: refusals(source, "MOVED"), "a key that belongs into a slot that has moved")
    done = go_on(world, running)
    assert_whole(world, users_200k, done)
    assert set(slots) <= set(six_nodes.slots_of(target))


def test_slots_move_there_and_back(world: World, six_nodes: RedisCluster, users_200k: str) -> None:
    """A map that was right before is right again: no key is where it was for a while."""
    running = start(world, users_200k)
    first, second, third = six_nodes.masters()
    slots = six_nodes.slots_of(first)[:100]
    for source, target in ((first, second), (second, third), (third, first)):
        six_nodes.move_slots(source, target, slots, keys_per_step=1)
    assert_in_the_middle(running)
    assert_whole(world, users_200k, go_on(world, running))


def test_a_killed_master_is_replaced(world: World, six_nodes: RedisCluster, users_200k: str) -> None:
    """By its replica, which may lack what the master had confirmed last."""
    running = start(world, users_200k)
    master = six_nodes.masters()[0]
    (replica,) = six_nodes.replicas_of(master)
    master.stop(kill=True)
    six_nodes.wait_until_ok()
    assert replica in six_nodes.masters()
    assert_in_the_middle(running)
    assert_whole(world, users_200k, go_on(world, running))


def test_a_master_that_comes_back_is_a_replica(world: World, six_nodes: RedisCluster, users_200k: str) -> None:
    """One after the other is killed and comes back, until each has been a replica and a master."""
    running = start(world, users_200k, "--rate", "5000")
    for master in six_nodes.masters():
        master.stop(kill=True)
        six_nodes.wait_until_ok()
        master.start()
        six_nodes.wait_until_ok()
        assert_in_the_middle(running)
    assert_whole(world, users_200k, go_on(world, running))


def test_a_replica_takes_over_in_order(world: World, six_nodes: RedisCluster, users_200k: str) -> None:
    """CLUSTER FAILOVER: nothing can have been lost."""
    running = start(world, users_200k)
    for master in six_nodes.masters():
        six_nodes.failover(six_nodes.replicas_of(master)[0])
    assert_in_the_middle(running)
    assert_whole(world, users_200k, go_on(world, running))


def test_a_pause_of_writes_is_no_hang(world: World, cluster: RedisCluster, many_users: str) -> None:
    """As at the end of an atomic migration of slots: a node answers no write for a while. Nobody is killed for that."""
    running = start(world, many_users, "--hung-after", "1s", "--workers", "2")
    cluster.nodes[1].call("CLIENT", "PAUSE", PAUSE_MS, "WRITE")
    done = go_on(world, running)
    assert_whole(world, many_users, done, rows=100_000)
    assert done.summary["seconds"] > PAUSE_MS / 1000
    assert done.summary["ranges_retried"] == 0
    assert "is killed" not in done.err


def test_nodes_come_and_go(world: World, six_nodes: RedisCluster, users_200k: str) -> None:
    """A new one takes the slots of another one, which leaves."""
    old = six_nodes.add_node()
    slots = six_nodes.slots_of(six_nodes.masters()[0])[:MOVED_SLOTS]
    six_nodes.move_slots(six_nodes.node_of(slots[0]), old, slots)
    six_nodes.wait_until_ok()
    running = start(world, users_200k)
    new = six_nodes.add_node()
    six_nodes.move_slots(old, new, slots, keys_per_step=2)
    six_nodes.remove_node(old)
    assert_in_the_middle(running)
    done = go_on(world, running)
    assert_whole(world, users_200k, done)
    assert new.call("DBSIZE") > 0


def test_a_killed_worker_loses_nothing(world: World, six_nodes: RedisCluster, users_200k: str) -> None:
    """What it had sent to one node and not to another is written again."""
    running = start(world, users_200k, "--workers", "2")
    workers = wait_until(lambda: len(found := running.workers()) == 2 and found, "two workers")
    kill(workers[0])
    done = go_on(world, running)
    assert "was killed by SIGKILL" in done.err
    assert_whole(world, users_200k, done)


def test_a_killed_coordinator_is_resumed(world: World, six_nodes: RedisCluster, users_200k: str) -> None:
    """Whatever had reached some nodes and not the others is written again."""
    running = start(world, users_200k)
    kill(running.process.pid)
    running.process.communicate()
    wait_until(lambda: not processes_named(f"shardload: worker {JOB}"), "no worker is left")
    assert_whole(world, users_200k, world.run("resume", JOB, "--rate", "off", "--json"))


def test_a_failover_between_stop_and_resume_is_noticed(world: World, six_nodes: RedisCluster, users_200k: str) -> None:
    """A killed coordinator, and a killed master before anybody resumes."""
    running = start(world, users_200k)
    kill(running.process.pid)
    running.process.communicate()
    six_nodes.masters()[0].stop(kill=True)
    six_nodes.wait_until_ok()
    assert_whole(world, users_200k, world.run("resume", JOB, "--rate", "off", "--json"))


def test_a_node_without_a_replica_is_waited_for(world: World, users_200k: str, tmp_path: Path) -> None:
    """Then the job gives up, resumable. The node comes back empty: what it had had is loaded again."""
    with RedisCluster(tmp_path / "cluster") as cluster:
        before, world.redis = world.redis, cluster.url
        running = start(world, users_200k, "--give-up-after", "5s")
        node = cluster.masters()[0]
        node.stop(kill=True)
        gave_up = running.finish()
        assert gave_up.code == 3, gave_up.err
        assert gave_up.summary["status"] == "failed"
        assert "nothing has succeeded for 5 s" in gave_up.err
        node.start()
        cluster.wait_until_ok()
        assert_whole(world, users_200k, world.run("resume", JOB, "--rate", "off", "--json"))
        world.redis = before


def test_a_node_that_is_back_in_time_costs_nobody_patience(world: World, users_200k: str, tmp_path: Path) -> None:
    """It is waited for; it comes back empty, and the job loads again what it had had."""
    with RedisCluster(tmp_path / "cluster") as cluster:
        before, world.redis = world.redis, cluster.url
        running = start(world, users_200k)
        node = cluster.masters()[0]
        node.stop(kill=True)
        wait_until(partial(is_down, cluster.masters()[0]), "the others notice it")
        node.start()
        cluster.wait_until_ok()
        assert_in_the_middle(running)
        assert_whole(world, users_200k, go_on(world, running))
        world.redis = before


def is_down(node: ClusterNode) -> bool:
    """True when this node says that the cluster does not serve every slot."""
    return b"cluster_state:fail" in node.call("CLUSTER", "INFO")
