"""`clean` and `doctor`: what dead jobs left, and whether this machine and the servers are fit for a job."""

from __future__ import annotations

from pathlib import Path

import click

from shardload.cli.completion import job_names
from shardload.cli.options import job_and_servers, state_only, table_and_key
from shardload.config.environment import state_dir_from
from shardload.config.keyfile import read_public_key
from shardload.config.urls import PasswordRules
from shardload.errors import EXIT_CANNOT_START, EXIT_COMPLETE
from shardload.reporting.output import echo


@click.command()
@click.argument("names", nargs=-1, metavar="[JOB]...", shell_complete=job_names())
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@click.option("--resumable", is_flag=True, help="Remove the directories of jobs that could still be resumed as well.")
@state_only
def clean(names: tuple[str, ...], dry_run: bool, resumable: bool, state_dir: Path | None) -> int:
    """Remove what dead jobs left: their SysV objects, orphaned workers, and their directories.

    A job that stopped or died half-way keeps its directory, so that it can be resumed, unless it is named or
    --resumable is given; a damaged one, unless it is named; one whose SysV objects are another container's or
    another user's, in any case. A running job is never touched, nor anything that is not provably shardload's.
    """
    from shardload.jobs.cleanup import clean as clean_all

    for line in clean_all(state_dir_from(state_dir), names, resumable=resumable, dry_run=dry_run):
        echo(line)
    return EXIT_COMPLETE


@click.command()
@job_and_servers
@table_and_key
def doctor(
    state_dir: Path | None, mysql: str | None, redis: str | None, table: str | None, key: str | None,
    mysql_server_public_key_path: str | None, mysql_get_server_public_key: bool | None,
    mysql_enable_cleartext_plugin: bool | None,
) -> int:  # fmt: skip
    """Examine this machine, and with URLs the servers: a line each, ok, warning or problem, and what to do.

    With the --table and --key of a job to come it looks whether that table can be read and such keys be written. A
    problem is what an import would fail of. The exit code is 3 if there is one.
    """
    from shardload.jobs.doctor import examine

    public_key = mysql_server_public_key_path and read_public_key(
        Path(mysql_server_public_key_path), "--mysql-server-public-key-path"
    )
    rules = PasswordRules(bool(mysql_enable_cleartext_plugin), bool(mysql_get_server_public_key), public_key or None)
    worst = EXIT_COMPLETE
    for finding in examine(state_dir_from(state_dir), mysql, redis, table, key, rules):
        echo(f"{finding.level:<8} {finding.subject}: {finding.text}" + (f" ({finding.hint})" * bool(finding.hint)))
        if finding.level == "problem":
            worst = EXIT_CANNOT_START
    return worst
