"""`verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from shardload import source
from shardload.cli.completion import job_names
from shardload.cli.options import job_and_servers
from shardload.cli.output import echo
from shardload.config import environment
from shardload.errors import EXIT_COMPLETE, EXIT_DIFFERENCES
from shardload.jobdir.directory import JobDirectory
from shardload.jobs import prepare as jobs
from shardload.jobs.owner import become_owner
from shardload.jobs.verify import MOST_SHOWN
from shardload.jobs.verify import verify as compare_all
from shardload.model.orders import STOP_SIGNALS
from shardload.process import stop_by_exception
from shardload.target import TargetConnection


@click.command()
@click.argument("job", shell_complete=job_names())
@job_and_servers
def verify(job: str, state_dir: Path | None, **flags: Any) -> int:
    """Compare every row of a job's table with its key, byte for byte. Exit code 4 if any differs."""
    with stop_by_exception(STOP_SIGNALS):
        directory = JobDirectory.find(environment.state_dir_from(state_dir), job)
        return _compare(become_owner(directory, imports_more=True), flags)


def _compare(directory: JobDirectory, flags: dict[str, Any]) -> int:
    wanted, journal = jobs.stored_job(directory, flags)
    connection = source.connect(wanted.mysql)
    subject = jobs.examine(connection, wanted)
    jobs.check_unchanged(directory.name, "table", journal.fact("table"), subject.description())
    journal.close()
    target = TargetConnection(wanted.redis)
    found = compare_all(connection, target, wanted.table, subject.key_column, subject.layout)
    for line in found.shown:
        echo(line)
    if found.total > len(found.shown):
        echo(f"... and {found.total - len(found.shown):,} more (the first {MOST_SHOWN} are shown)")
    echo(
        f"{found.rows_compared:,} rows compared: {found.missing:,} missing, {found.different:,} different, "
        f"{found.other_type:,} of another type, {found.rows_without_key:,} rows that make no key"
    )
    return EXIT_DIFFERENCES if found.total else EXIT_COMPLETE
