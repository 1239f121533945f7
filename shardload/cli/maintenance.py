"""`clean` and `doctor`: what dead jobs left, and whether this machine and the servers are fit for a job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from shardload.cli.completion import job_names
from shardload.cli.options import job_and_servers, state_only, table_and_key
from shardload.config.environment import state_dir_from
from shardload.errors import EXIT_CANNOT_START, EXIT_COMPLETE
from shardload.reporting.output import echo


@click.command(short_help="Remove what dead jobs left.")
@click.argument("names", nargs=-1, metavar="[JOB]...", shell_complete=job_names())
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@click.option("--resumable", is_flag=True, help="Also remove the directories of jobs that could be resumed.")
@state_only
def clean(names: tuple[str, ...], dry_run: bool, resumable: bool, state_dir: Path | None) -> int:
    """Remove what dead jobs left: their SysV objects, orphaned workers, and their directories.

    A job that can be resumed keeps its directory, unless it is named or --resumable is given. A damaged job keeps its
    directory unless it is named. A job whose SysV objects belong to another container or another user always keeps
    it. Running jobs are never touched, and only what is provably shardload's is removed.
    """
    from shardload.jobs.cleanup import clean as clean_all

    for line in clean_all(state_dir_from(state_dir), names, resumable=resumable, dry_run=dry_run):
        echo(line)
    return EXIT_COMPLETE


@click.command(short_help="Examine this machine and the servers.")
@job_and_servers
@table_and_key
def doctor(
    state_dir: Path | None, mysql: str | None, redis: str | None, table: str | None, key: str | None, **reach: Any
) -> int:
    """Examine this machine and, if URLs are given, the servers. Each line says ok, warning or problem, and what to do.

    With --table and --key it checks whether that table can be read and such keys can be written. An import would fail
    because of a problem; the exit code is 3 if there is one.
    """
    from shardload.jobs.doctor import examine

    worst = EXIT_COMPLETE
    findings = examine(state_dir_from(state_dir), mysql=mysql, redis=redis, table=table, key=key, reach=reach)
    for finding in findings:
        echo(f"{finding.level:<8} {finding.subject}: {finding.text}" + (f" ({finding.hint})" * bool(finding.hint)))
        if finding.level == "problem":
            worst = EXIT_CANNOT_START
    return worst
