"""What every worker of a job needs to know: where rows come from, what they become, where they go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from shardload.config.addresses import Address
from shardload.config.urls import SourceUrl, TargetUrl
from shardload.encoding import Form, Layout
from shardload.jobdir.directory import JobDirectory
from shardload.model.keys import RangeRecord
from shardload.source import Selection


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
