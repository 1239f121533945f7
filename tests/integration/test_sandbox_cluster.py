"""The sandbox's clusters and Sentinels: what the tests of clusters and failovers stand on."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from redis import RedisCluster as Client
from redis.crc import key_slot

from shardload.errors import ShardloadError
from shardload.sandbox import RedisCluster, RedisServer, Sentinels
from shardload.sandbox.cluster import SLOTS
from tests.harness import processes_named, wait_until


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """Three masters and three replicas. Each test leaves three masters with replicas behind."""
    with RedisCluster(tmp_path_factory.mktemp("cluster") / "cluster", masters=3, replicas=1) as cluster:
        yield cluster


@pytest.fixture
def client(cluster: RedisCluster) -> Iterator[Client]:
    """redis-py's client, and 5,000 keys."""
    client = Client(host="127.0.0.1", port=cluster.nodes[0].port)
    client.flushall(target_nodes=Client.PRIMARIES)
    for number in range(5_000):
        client.set(f"key:{number}", number)
    yield client
    client.close()


def have_as_many_keys(one: RedisServer, other: RedisServer) -> bool:
    return bool(one.call("DBSIZE") == other.call("DBSIZE"))


def assert_all_are_there(cluster: RedisCluster, client: Client) -> None:
    """Each of the 5,000 keys is on one master and has its value, and there is no other key."""
    found = sorted((key for master in cluster.masters() for key in master.call("KEYS", "*")), key=lambda k: int(k[4:]))
    assert found == [b"key:%d" % number for number in range(5_000)]
    assert [client.get(key) for key in found] == [b"%d" % number for number in range(5_000)]


def test_every_slot_has_a_master_with_a_replica(cluster: RedisCluster, client: Client) -> None:
    """The masters share all slots equally; each one's replica has as many keys as it."""
    masters = cluster.masters()
    shares = [cluster.slots_of(master) for master in masters]
    assert sorted(slot for share in shares for slot in share) == list(range(SLOTS))
    assert {len(share) for share in shares} <= {SLOTS // 3, SLOTS // 3 + 1}
    for master, share in zip(masters, shares, strict=True):
        assert cluster.node_of(share[0]) is cluster.node_of(share[-1]) is master
        (replica,) = cluster.replicas_of(master)
        wait_until(partial(have_as_many_keys, master, replica), "the replica has all keys")
    assert_all_are_there(cluster, client)


def test_slots_move_while_keys_are_read(cluster: RedisCluster, client: Client) -> None:
    """A node comes and takes slots with their keys, in the middle of a slot too; then it gives them back and leaves."""
    source, before = cluster.masters()[0], len(cluster.nodes)
    slots = cluster.slots_of(source)[:100]
    steps = []

    def look() -> None:
        steps.append(client.get("key:1"))

    target = cluster.add_node()
    assert len(cluster.masters()) == 4
    with pytest.raises(ShardloadError, match="has slots"):
        cluster.remove_node(source)
    cluster.move_slots(source, target, slots, keys_per_step=1, on_step=look)
    assert cluster.slots_of(target) == slots
    assert target.call("DBSIZE") == len(steps) > 0
    assert set(steps) == {b"1"}
    assert_all_are_there(cluster, client)
    cluster.move_slots(target, source, slots)
    cluster.wait_until_ok()
    cluster.remove_node(target)
    assert not target.is_running
    assert len(cluster.nodes) == before
    assert all(len(node.known()) == before for node in cluster.nodes)
    assert_all_are_there(cluster, client)


def test_a_slot_in_the_middle_of_its_move_answers_ask(cluster: RedisCluster, client: Client) -> None:
    """A key that has been moved already is asked for elsewhere: what a client must bear."""
    source, target = cluster.masters()[:2]
    slots = set(cluster.slots_of(source))
    key = next(key for key in map("key:{}".format, range(5_000)) if key_slot(key.encode()) in slots)
    slot, refusals = key_slot(key.encode()), []

    def look() -> None:
        with pytest.raises(ShardloadError) as caught:
            source.call("GET", f"{{{key}}}-new")
        refusals.append(caught.value.message)

    cluster.move_slots(source, target, [slot], keys_per_step=1, on_step=look)
    assert f"ASK {slot} 127.0.0.1:{target.port}" in refusals[0]
    cluster.move_slots(target, source, [slot])
    cluster.wait_until_ok()
    assert_all_are_there(cluster, client)


def test_a_replica_takes_over(cluster: RedisCluster, client: Client) -> None:
    """In order; and after its master was killed, which comes back empty and becomes its replica."""
    master = cluster.node_of(0)
    (replica,) = cluster.replicas_of(master)
    cluster.failover(replica)
    assert cluster.node_of(0) is replica
    assert cluster.replicas_of(replica) == [master]
    replica.stop(kill=True)
    assert not replica.is_running
    cluster.wait_until_ok()
    assert cluster.node_of(0) is master
    replica.start()
    cluster.wait_until_ok()
    assert cluster.replicas_of(master) == [replica]
    assert_all_are_there(cluster, client)


def test_without_a_replica_slots_are_not_served(tmp_path: Path) -> None:
    """Until the node is back, at its old place."""
    with RedisCluster(tmp_path / "cluster") as cluster:
        gone, slot = cluster.masters()[0], cluster.slots_of(cluster.masters()[0])[0]
        gone.stop(kill=True)
        with pytest.raises(LookupError):
            cluster.node_of(slot)
        wait_until(lambda: b"cluster_state:fail" in cluster.masters()[0].call("CLUSTER", "INFO"), "it is noticed")
        gone.start()
        cluster.wait_until_ok()
        assert cluster.node_of(slot) is gone


def test_sentinels_promote_a_replica(tmp_path: Path) -> None:
    """By order, and because the master was killed."""
    first = RedisServer(tmp_path / "master")
    with Sentinels(tmp_path / "sentinels", first, replicas=2) as sentinels:
        assert sentinels.current_master() is first
        assert sentinels.master_address() == ("127.0.0.1", first.port)
        first.call("SET", "key", "value")
        second = sentinels.failover()
        assert second is not first
        assert second.call("GET", "key") == b"value"
        wait_until(lambda: second.info("replication")["connected_slaves"] == "1", "the other replica follows it")
        second.stop(kill=True)
        third = sentinels.wait_for_another(second)
        assert third.call("GET", "key") == b"value"
    assert not any(server.is_running for server in (*sentinels.servers, *sentinels.sentinels))


def test_no_server_outlives_who_started_it(tmp_path: Path) -> None:
    """A kill -9 of the process with a cluster and Sentinels ends them all."""
    program = (
        "import pathlib, sys\n"
        "from shardload.sandbox import RedisCluster, RedisServer, Sentinels\n"
        "place = pathlib.Path(sys.argv[1])\n"
        "with RedisCluster(place / 'cluster'), Sentinels(place / 's', RedisServer(place / 'master')):\n"
        "    print('up', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    before = set(processes_named("-server "))
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        assert len(set(processes_named("-server ")) - before) == 3 + 2 + 3
        owner.send_signal(signal.SIGKILL)
    wait_until(lambda: set(processes_named("-server ")) <= before, "no server is left")
