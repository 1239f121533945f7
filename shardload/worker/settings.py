"""What every worker of a job needs to know: where rows come from, what they become, where they go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from shardload.config.addresses import Address
from shardload.config.urls import SourceUrl, TargetUrl
from shardload.encoding import Form, Layout
from shardload.jobdir.directory import JobDirectory
from shardload.jobdir.lease import Lease
from shardload.model.keys import RangeRecord
from shardload.source import Selection


@dataclass(frozen=True)
class Checks:
    """What a verify does. `sample` (0 to 1) is the share of the rows that is compared, by chance from `seed` on;
    `repairs` says that keys which differ are written again, and `finds_extra` that keys are looked for that no row
    stands for. The keys were written since `began_s`, a Unix time; 0: not known."""

    sample: float = 1.0
    seed: int = 0
    repairs: bool = False
    finds_extra: bool = False
    began_s: float = 0.0


@dataclass(frozen=True)
class WorkerSettings:
    """Shared by all workers; created before the fork."""

    directory: JobDirectory
    mysql: SourceUrl
    redis: TargetUrl
    selection: Selection
    range_rows: int
    layout: Layout
    form: Form
    native: bool
    plan: Mapping[int, RangeRecord] = field(default_factory=dict)
    """The ranges that were to do when the run began, by their ids. Parts of them are in the journal alone."""
    known_nodes: tuple[Address, ...] = ()
    """Of a cluster, when the job began."""
    checks: Checks = field(default_factory=Checks)
    lease: Lease = field(default_factory=lambda: Lease(None))
