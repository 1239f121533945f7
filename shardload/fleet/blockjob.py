"""A block as a job of a machine: its directory, its plan, its lease, and what its process is told."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shardload.config import environment
from shardload.config.urls import add_password, parse_redis, read_mysql
from shardload.errors import SpecError
from shardload.jobdir.directory import JobDirectory
from shardload.jobdir.journal import Journal
from shardload.jobdir.lease import Lease
from shardload.jobdir.settled import BlockJournal
from shardload.model.blocks import BlockOrder

_GIVE_UP_AFTER_S = 20.0  # the head tries elsewhere, and again
_OWN: dict[str, Any] = {
    "verify": False, "fleet": None, "mysql_read": [], "give_up_after": _GIVE_UP_AFTER_S,
    "max_load": "off", "critical_load": "off", "max_lag_millis": None, "replica": [], "keep_free": 0.0,
    "on_eviction": "ignore", "max_latency": None, "while_saving": "go", "pause_while_exists": None, "window": None,
    "log_format": "text",
}  # fmt: skip
"""What the head does for all machines, and a block therefore does not."""


@dataclass(frozen=True)
class BlockJob:
    """A block that can be run: by `shardload resume`, in this environment."""

    directory: JobDirectory
    journal: BlockJournal
    lease: Lease
    environment: Mapping[str, str]

    def remove(self) -> None:
        """Remove all its files."""
        shutil.rmtree(self.directory.path, ignore_errors=True)


def make_block_job(order: BlockOrder, state_dir: Path, workers: int, rate_rows: int) -> BlockJob:
    """Make a block's directory and journal. ShardloadError or OSError if that fails; then nothing is left."""
    directory = JobDirectory.create(state_dir, order.name)
    try:
        stored: dict[str, Any] = {**order.spec, **{name: value for name, value in _OWN.items() if name in order.spec}}
        stored |= {"job": order.name, "workers": workers, "rate": rate_rows or None}
        lease = Lease.create(directory.path)
        Journal.create(directory.journal_file, dict(order.facts), order.ranges).close()
        directory.write_spec(stored)
    except BaseException:
        shutil.rmtree(directory.path, ignore_errors=True)
        raise
    return BlockJob(directory, BlockJournal(directory.journal_file), lease, _environment(order, environment.current()))


def _environment(order: BlockOrder, own: Mapping[str, str]) -> dict[str, str]:
    """The environment of the block's process: this one's, with the job's servers, and with the passwords that the head
    has sent, or else those that this machine has for them. SpecError if it has none."""
    environ = {name: value for name, value in own.items() if name not in environment.PASSWORD_FILES.values()}
    for name in ("mysql", "redis"):
        environ.pop(environment.VARIABLES[name], None)
        if name in order.urls:
            environ[environment.VARIABLES[name]] = order.urls[name]
        elif order.spec["passwords"][name]:
            url, known = str(order.spec[name]), _known_password(name, own)
            if known is None:
                raise SpecError(
                    f"it has no password for {url}",
                    f"set {environment.VARIABLES[name]} there, or use a tls:// scheduler: then the head sends it",
                )
            environ[environment.VARIABLES[name]] = add_password(url, known)
    environ.pop(environment.STATE_DIR_VARIABLE, None)
    return environ


def _known_password(name: str, own: Mapping[str, str]) -> str | None:
    """The password in this machine's own URL of this name; None if there is none."""
    url = environment.url_from_environment(name, own)
    if url is None:
        return None
    return read_mysql(url).password if name == "mysql" else parse_redis(url).password
