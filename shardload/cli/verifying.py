"""`verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from shardload.cli.completion import job_names
from shardload.cli.options import job_and_servers


@click.command(short_help="Compare every row with its key.")
@click.argument("job", shell_complete=job_names())
@job_and_servers
def verify(job: str, state_dir: Path | None, **flags: Any) -> int:
    """Compare every row of a job's table with its key, byte for byte. The exit code is 4 if any differs."""
    from shardload.jobs.verify import verify as compare

    return compare(job, state_dir, flags)
