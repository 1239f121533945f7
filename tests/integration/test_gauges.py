"""What the gauges measure of real servers, and what they say of one that does not answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from shardload.config.guards import GuardSpec
from shardload.config.urls import SourceUrl, parse_redis
from shardload.coordinator.gauges import Measured, Measuring
from shardload.sandbox import RedisServer
from tests.harness import World


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
