"""`run`, `resume`, `plan`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from shardload.cli.completion import job_names
from shardload.cli.options import existing_job, new_job, planned_job
from shardload.errors import EXIT_COMPLETE

_FILE = click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path), metavar="[JOB.TOML]")


@click.command(short_help="Import a table into Redis.")
@_FILE
@new_job
def run(file: Path | None, daemon: bool, chdir: str, **flags: Any) -> int:
    """Import a table: every row becomes a Redis hash, or what --as says.

    JOB.TOML says the same as the flags (range-rows = 50000). Flags win over the file, the file wins over the
    environment.

    \b
    shardload run --mysql mysql://reader:secret@db1/app --table user \\
                  --redis redis://cache/0 --key 'user:{id}' --workers 4
    """
    from shardload.jobs.launch import start

    return start(file, flags, daemon=daemon, chdir=chdir)


@click.command(short_help="Go on with a job that stopped or died.")
@click.argument("job", shell_complete=job_names("resumable"))
@existing_job
def resume(job: str, state_dir: Path | None, daemon: bool, chdir: str, **flags: Any) -> int:
    """Go on with a job that stopped or died: load the ranges that its journal does not have as done.

    Rows that were set aside are tried again. Passwords are not stored: if a URL had one, give the URL again, by flag
    or environment.
    """
    from shardload.jobs.launch import resume as go_on

    return go_on(job, state_dir, flags, daemon=daemon, chdir=chdir)


@click.command(short_help="Show what run would do.")
@_FILE
@planned_job
def plan(file: Path | None, **flags: Any) -> int:
    """Show what `run` with the same flags would do, and change nothing. Redis need not be named."""
    from shardload.jobs.plan import show_plan

    show_plan(file, flags)
    return EXIT_COMPLETE
