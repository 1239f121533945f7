"""Clusters and Sentinels for end-to-end tests. Those who break theirs get one of their own: a few seconds each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shardload.sandbox import RedisCluster, RedisServer, Sentinels
from tests.harness import World


@contextmanager
def _used(world: World, servers: RedisCluster | Sentinels) -> Iterator[None]:
    before, world.redis = world.redis, servers.url
    yield
    world.redis = before


@pytest.fixture(scope="session")
def three_masters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """Three masters without replicas, for tests that only load into them."""
    with RedisCluster(tmp_path_factory.mktemp("cluster") / "cluster") as cluster:
        yield cluster


@pytest.fixture
def cluster(world: World, three_masters: RedisCluster) -> Iterator[RedisCluster]:
    """The same, empty; the world uses it."""
    with _used(world, three_masters):
        for client in world.masters():
            client.flushall()
            client.close()
        yield three_masters


@pytest.fixture
def six_nodes(world: World, tmp_path: Path) -> Iterator[RedisCluster]:
    """Three masters and three replicas of the test's own; the world uses them. A replica takes over however long it was
    stopped (by default it does not after 20 s)."""
    options = ("--cluster-replica-validity-factor", "0")
    with RedisCluster(tmp_path / "cluster", replicas=1, options=options) as cluster, _used(world, cluster):
        yield cluster


@pytest.fixture
def sentinels(world: World, tmp_path: Path) -> Iterator[Sentinels]:
    """A master with two replicas, and three Sentinels, of the test's own; the world uses them."""
    master = RedisServer(tmp_path / "master")
    with Sentinels(tmp_path / "sentinels", master, replicas=2) as sentinels, _used(world, sentinels):
        yield sentinels
