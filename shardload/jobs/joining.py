"""Makes this process a machine of a fleet."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

from shardload.config import environment
from shardload.config.fleet import read_scheduler
from shardload.errors import JobError, SpecError
from shardload.fleet.join import join
from shardload.fleet.machine import set_up
from shardload.jobdir.directory import JobDirectory
from shardload.jobdir.lease import Lease
from shardload.jobs.cleanup import clean_up
from shardload.model.limits import MOST_WORKERS
from shardload.process import set_title
from shardload.reporting.output import echo


def join_fleet(scheduler: str, *, workers: str | None, name: str | None, host: str | None) -> None:
    """Serve until a signal ends it. SpecError for a wrong value, FleetMissing without Dask, FleetLost if the scheduler
    does not answer."""
    try:
        url = read_scheduler(scheduler)
    except ValueError as error:
        raise SpecError(f"URL {error}, not {scheduler!r}", "see: shardload machine --help") from None
    if not isinstance(url, str):
        raise SpecError("URL should be that of a scheduler", "see: shardload machine --help")
    if workers is not None and not (workers.isdecimal() and 1 <= int(workers) <= MOST_WORKERS):
        raise SpecError(f"--workers should be 1 to {MOST_WORKERS}, not {workers!r}", "see: shardload machine --help")
    state_dir = environment.state_dir_from(None)
    clean_up(state_dir)
    _remove_dead_blocks(state_dir)
    set_up(int(workers) if workers else environment.DEFAULT_WORKERS, state_dir)
    called = name or f"{socket.gethostname()}-{os.getpid()}"
    set_title(f"shardload: machine {called}")
    join(url, called, host, echo)


def _remove_dead_blocks(state_dir: Path) -> None:
    """Remove the blocks of a machine that was killed with all its processes: their heads have given them to others."""
    for directory in JobDirectory.all(state_dir):
        with suppress(JobError, OSError):
            lease = Lease.of(directory.path)
            if lease.is_limited and not lease.holds and not directory.is_locked():
                directory.remove()
