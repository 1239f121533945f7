"""What the gauges measure of real servers, and what they say of one that does not answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from shardload.config.guards import GuardSpec
from shardload.config.urls import SourceUrl
from shardload.coordinator.gauges import Measured, Measuring
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
