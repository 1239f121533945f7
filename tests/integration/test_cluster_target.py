"""A cluster as a target: what is not confirmed when a node refuses keys and something else goes wrong, too."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from shardload.encoding import Form, Lookup, Part, Payload, Shape, Slot, make_encoder, slot_of
from shardload.errors import TargetBusy, TargetError, TargetLost
from shardload.sandbox import ClusterNode, RedisCluster
from shardload.target import Target, open_target
from tests.harness import wait_until
from tests.layouts import straight
from tests.unit import wire

FORM = Form(Payload.LISTPACK)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    """Three masters of the test's own."""
    with RedisCluster(tmp_path / "cluster") as cluster:
        yield cluster


@pytest.fixture
def target(cluster: RedisCluster) -> Iterator[Target]:
    """Connections to them."""
    target = open_target(cluster.url, form=FORM)
    yield target
    target.close()


def parts_of(target: Target, keys: range) -> list[Part]:
    """Commands that write these keys."""
    encoder = make_encoder(straight(), FORM, native=True)
    encoder.route(target.routes)
    encoder.begin(0)
    return encoder.encode(wire.stream([wire.row([b"%d" % key]) for key in keys])[0]).parts


def node_of(target: Target, cluster: RedisCluster, number: int) -> ClusterNode:
    """The server with this number."""
    return next(node for node in cluster.nodes if node.port == target.addresses[number].port)


def move_a_slot(cluster: RedisCluster, source: ClusterNode, target: ClusterNode) -> bytes:
    """Give a slot of one to the other; the newest key of it."""
    slots = set(cluster.slots_of(source))
    key = next(b"k:%d" % number for number in range(10_000) if slot_of(b"k:%d" % number) in slots)
    cluster.move_slots(source, target, [slot_of(key)])
    return key


def moved(node: ClusterNode) -> int:
    """How many commands it refused because another one has the slot."""
    return int(node.info("errorstats").get("errorstat_MOVED", "count=0").partition("count=")[2])


def confirmed(target: Target, parts: list[Part], error: TargetError) -> set[int]:
    """The nodes whose parts would count as confirmed."""
    left = target.unconfirmed(error)
    return {part.node for part in parts if left.get(part.node, 0) == 0}


def test_refused_keys_are_written_elsewhere(cluster: RedisCluster, target: Target) -> None:
    """Within one `confirm`: all of them, and each once."""
    first, second = (node_of(target, cluster, number) for number in (0, 1))
    move_a_slot(cluster, first, second)
    target.send(parts_of(target, range(2000)))
    target.confirm({}, lambda: None)
    assert moved(first) >= 1
    assert sum(node.call("DBSIZE") for node in cluster.nodes) == 2000
    assert target.routes == open_target(cluster.url).routes


@pytest.mark.parametrize("form", [Form(Payload.LISTPACK, keeps=True), Form(shape=Shape.JSON, keeps=True)])
def test_kept_keys_are_counted_where_they_were_sent_first(cluster: RedisCluster, form: Form) -> None:
    """A key that was refused, followed, and found there counts for the batch and the node that had it first; so does a
    lookup. What the others kept is not mixed with it."""
    target = open_target(cluster.url, form=form)
    layout = replace(straight(), lookups=(Lookup((b"l:", Slot(0)), (Slot(0),)),))
    encoder = make_encoder(layout, form, native=True)
    encoder.route(target.routes)
    first, second = (node_of(target, cluster, number) for number in (0, 1))
    on_first = set(cluster.slots_of(first))
    keys = [b"k:%d" % n for n in range(1500)] + [b"l:%d" % n for n in range(1500)]
    mine = [key for key in keys if slot_of(key) in on_first]
    followed = [next(key for key in mine if key.startswith(kind)) for kind in (b"k", b"l")]
    old = [*followed, *[key for key in mine if key.endswith(b"7")]]
    target.call_keys([("SET", key, "old") for key in old])
    cluster.move_slots(first, second, [slot_of(key) for key in followed])
    kept, written = [], []
    for start in (0, 500, 1000):
        encoder.begin(0)
        parts = encoder.encode(wire.stream([wire.row([b"%d" % n]) for n in range(start, start + 500)])[0]).parts
        target.send(parts)
        written.append({part.node for part in parts})
    target.confirm({}, lambda: None)
    for nodes in written:
        kept.append({node: target.take_kept(node) for node in nodes})
    for batch, start in enumerate((0, 500, 1000)):
        expected = [
            sum(key in {b"%b:%d" % (kind, n) for n in range(start, start + 500)} for key in set(old))
            for kind in (b"k", b"l")
        ]
        assert kept[batch][0] == tuple(expected)
        assert [kept[batch][node] for node in (1, 2)] == [(0, 0)] * 2
    assert sum(node.call("DBSIZE") for node in cluster.nodes) == 3000
    assert target.call_keys([("GET", key) for key in followed]) == [b"old"] * 2
    target.close()


def test_what_a_node_kept_outlives_its_connection(cluster: RedisCluster) -> None:
    """A node that has given all its slots away is left; what it had kept is asked for later."""
    form = Form(Payload.LISTPACK, keeps=True)
    target = open_target(cluster.url, form=form)
    encoder = make_encoder(straight(), form, native=True)
    encoder.route(target.routes)
    batches = []
    for _ in range(3):
        encoder.begin(0)
        batches.append(encoder.encode(wire.stream([wire.row([b"%d" % n]) for n in range(300)])[0]).parts)
        target.send(batches[-1])
    target.confirm({}, lambda: None)
    first, second = (node_of(target, cluster, number) for number in (0, 1))
    cluster.move_slots(first, second, cluster.slots_of(first))
    target.send(batches[0])
    target.confirm({}, lambda: None)
    assert [number for number, _ in target.masters()] == [1, 2]
    keys = {part.node: part.keys for part in batches[0]}
    for kept in (0, 1, 1, 1):
        assert [target.take_kept(node) for node in keys] == [(kept * count, 0) for count in keys.values()]
    target.close()


def test_a_refusal_is_not_forgotten_when_its_node_dies(cluster: RedisCluster, target: Target) -> None:
    """Its replies count as answered, but the keys are nowhere."""
    first, second = (node_of(target, cluster, number) for number in (0, 1))
    key = move_a_slot(cluster, first, second)
    parts = [part for part in parts_of(target, range(10_000)) if part.node == 0]
    target.send(parts)
    wait_until(lambda: moved(first), "the refusal")
    os.kill(first.pid, signal.SIGSTOP)
    target.send(parts)
    first.stop(kill=True)
    with pytest.raises(TargetLost) as caught:
        target.confirm({}, lambda: None)
    assert target.unconfirmed(caught.value)[0] >= 2 * sum(part.keys for part in parts)  # of both batches
    assert second.call("EXISTS", key) == 0


def test_a_refusal_is_not_forgotten_when_another_node_dies(cluster: RedisCluster, target: Target) -> None:
    """The nodes are asked one after the other; what the first refused was not written yet."""
    first, second, third = (node_of(target, cluster, number) for number in (0, 1, 2))
    move_a_slot(cluster, first, third)
    parts = parts_of(target, range(10_000))
    os.kill(second.pid, signal.SIGSTOP)
    target.send(parts)
    second.stop(kill=True)
    with pytest.raises(TargetLost) as caught:
        target.confirm({}, lambda: None)
    assert not confirmed(target, parts, caught.value)


def test_a_node_that_is_cut_off_is_not_believed(cluster: RedisCluster, target: Target) -> None:
    """It says itself that its cluster has failed; with no other one the target is busy, not wrong."""
    for node in cluster.nodes[1:]:
        node.stop(kill=True)
    wait_until(lambda: b"cluster_state:fail" in cluster.nodes[0].call("CLUSTER", "INFO"), "the first one has noticed")
    with pytest.raises(TargetBusy, match="says that its cluster has failed"):
        open_target(cluster.url)


def test_numbers_stay_when_it_is_connected_to_again(cluster: RedisCluster, target: Target) -> None:
    """So that what was encoded before goes to the right nodes; and the nodes that are known are as good as a URL's."""
    parts = parts_of(target, range(100))
    known = list(reversed(target.addresses))
    dead = cluster.url.at(known[0])
    again = open_target(dead, form=FORM, known=target.addresses)
    assert list(again.addresses) == list(target.addresses)
    again.send(parts)
    again.confirm({}, lambda: None)
    again.close()
    assert sum(node.call("DBSIZE") for node in cluster.nodes) == 100
