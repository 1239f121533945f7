"""What the gauges measure of real servers, and what they say of one that does not answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from shardload.config.guards import GuardSpec
from shardload.config.urls import SourceUrl, parse_redis
from shardload.coordinator.gauges import Measured, Measuring
from shardload.errors import TargetLost
from shardload.sandbox import RedisCluster, RedisServer, Sentinels
from shardload.target import TargetGauge
from tests.harness import World, wait_until


def measuring(world: World, replicas: tuple[SourceUrl, ...] = (), **settings: Any) -> Measuring:
    """With these settings of guards."""
    return Measuring(Measured(GuardSpec(**settings), world.mysql, replicas, world.redis))


def test_replicas_of_one_host_are_all_measured(world: World) -> None:
    """They are told apart by port or socket."""
    here = replace(world.mysql, host="127.0.0.1", socket="")
    several = (here, replace(here, port=1), replace(here, host="localhost", port=0, socket="/nowhere/a.sock"))
    figures = measuring(world, several, replica=["some"], max_lag_millis=1).measure()
    assert figures is not None
    assert list(figures.lags_ms) == [f"127.0.0.1:{here.port}", "127.0.0.1:1", "/nowhere/a.sock"]
    assert len(figures.troubles) == 3


def test_status_variables_in_any_case(world: World) -> None:
    """As MySQL compares their names; one that is no whole number, and one that does not exist, are told."""
    loads: Any = {
        "max_load": "threads_CONNECTED=1,Nonsense=1,uptime=1",
        "critical_load": "Threads_connected=2,COMPRESSION=3",
    }
    figures = measuring(world, **loads).measure()
    assert figures is not None
    assert figures.status["threads_CONNECTED"] == figures.status["Threads_connected"] > 0
    assert figures.status.keys() == {"threads_CONNECTED", "Threads_connected", "uptime"}
    assert figures.troubles == (
        "MySQL has no status variable Nonsense; this guard steps aside",
        "MySQL's COMPRESSION is no whole number; this guard steps aside",
    )


def test_a_maxmemory_that_is_taken_away(own_redis: RedisServer, world: World) -> None:
    """It is measured still, because a job may wait for that; one that never was is not."""
    before = measuring(world)
    assert before.measure() is None
    own_redis.call("CONFIG", "SET", "maxmemory", "1gb")
    assert before.measure() is not None
    own_redis.call("CONFIG", "SET", "maxmemory", 0)
    figures = before.measure()
    assert figures is not None
    assert figures.nodes[0].most_bytes == 0
    assert measuring(world).measure() is None
    assert Measuring(Measured(GuardSpec(), world.mysql, (), world.redis), had_limit=True).measure() is not None


def test_servers_that_do_not_answer(world: World) -> None:
    """It is said of both, and that nobody knows whether all is well. A replica's lag that is not known is a reason to
    wait."""
    mysql, redis = replace(world.mysql, host="127.0.0.1", socket="", port=1), parse_redis("redis://127.0.0.1:1/0")
    spec = GuardSpec(max_load="Threads_running=1", while_saving="pause", replica=["some"], max_lag_millis=1)  # type: ignore[arg-type]
    figures = Measuring(Measured(spec, mysql, (mysql,), redis)).measure()
    assert figures is not None
    load, lag, nodes = figures.troubles
    assert load.startswith("MySQL's load is not known: ")
    assert nodes.startswith("Redis is not measured: ")
    assert load.endswith("; until it is, no pause ends")
    assert nodes.endswith("; until it is, no pause ends")
    assert lag.endswith("; the job waits until it is")
    assert not figures.is_whole


def addresses(servers: Sequence[RedisServer]) -> set[str]:
    """Theirs, as figures have them."""
    return {f"127.0.0.1:{server.port}" for server in servers}


def measured(gauge: TargetGauge) -> set[str]:
    """The nodes that are measured; none while there is a failover."""
    try:
        return {node.address for node in gauge.nodes(0.0)}
    except TargetLost:
        return set()


def test_a_cluster_that_changes(tmp_path: Path) -> None:
    """The new master is measured in place of the old one, which still answers; so is one that gets its first slots."""
    with RedisCluster(tmp_path / "cluster", masters=3, replicas=1) as cluster:
        gauge = TargetGauge(cluster.url)
        masters = cluster.masters()
        assert measured(gauge) == addresses(masters)
        (replica,) = cluster.replicas_of(masters[0])
        cluster.failover(replica)
        now = [replica, *masters[1:]]
        assert addresses(now) in (measured(gauge), measured(gauge))
        added = cluster.add_node()
        cluster.move_slots(masters[1], added, cluster.slots_of(masters[1])[:1])
        wait_until(lambda: measured(gauge) == addresses([*now, added]), "the added master is measured")
        gauge.close()


def test_the_master_that_sentinels_name(tmp_path: Path) -> None:
    """It is measured under its own address, also after a failover in order."""
    with Sentinels(tmp_path / "sentinels", RedisServer(tmp_path / "master"), replicas=1) as sentinels:
        gauge = TargetGauge(sentinels.url)
        first = sentinels.current_master()
        assert measured(gauge) == addresses([first])
        second = sentinels.failover()
        assert first.is_running
        wait_until(lambda: measured(gauge) == addresses([second]), "the new master is measured")
        gauge.close()


def test_a_replica_that_the_url_names(own_redis: RedisServer, tmp_path: Path) -> None:
    """A verify may compare with one: it is measured."""
    primary = RedisServer(tmp_path / "primary").start()
    own_redis.call("REPLICAOF", "127.0.0.1", primary.port)
    assert measured(TargetGauge(own_redis.url)) == addresses([own_redis])
    primary.stop(kill=True)
