"""What a job's guards measure, and whether it can be measured when the job begins."""

from __future__ import annotations

from shardload.config.guards import as_source
from shardload.config.spec import JobSpec
from shardload.coordinator.gauges import Measured
from shardload.errors import SourceError, SourceLost
from shardload.source import SourceGauge


def measured(spec: JobSpec) -> Measured:
    """The guards' settings, and the servers. A verify that writes nothing fills no memory."""
    if spec.is_verify and not spec.repair:
        spec = spec.model_copy(update={"keep_free": 0.0, "on_eviction": "ignore"})
    replicas = tuple(as_source(url, spec.mysql) for url in spec.replica)
    return Measured(spec, spec.mysql, replicas, spec.redis)


def check_replicas(spec: JobSpec) -> None:
    """SourceLost if a replica that should be measured cannot be reached, or is none. Later that is a reason to wait."""
    for url in measured(spec).replicas:
        gauge = SourceGauge(url)
        try:
            gauge.lag_ms()
        except SourceError as error:
            raise SourceLost(f"--replica {url.place}: {error.message}", error.hint) from error
        finally:
            gauge.close()
