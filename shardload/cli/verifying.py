"""`verify`, `differences`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from shardload.cli.completion import job_names
from shardload.cli.options import one_job, verified_job
from shardload.errors import EXIT_COMPLETE


@click.command(short_help="Compare every row with its key.")
@click.argument("subject", required=False, shell_complete=job_names(), metavar="[JOB|JOB.TOML]")
@verified_job
def verify(subject: str | None, state_dir: Path | None, daemon: bool, chdir: str, **flags: Any) -> int:
    """Compare every row of a job's table with its key, byte for byte. Without JOB, the flags say what `run` would load.

    It runs as an import does: as a job of its own (JOB-verify), with workers, in the background with --daemon; it can
    be stopped, resumed, paused and slowed down. The exit code is 4 if any key still differs at the end.
    """
    from shardload.jobs.launch import verify as compare

    is_file = subject is not None and subject.endswith(".toml") and Path(subject).exists()
    name, file = (None, Path(str(subject))) if is_file else (subject, None)
    return compare(name, file, state_dir, flags, daemon=daemon, chdir=chdir)


@click.command(short_help="List the keys that a verify has found different.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@one_job
def differences(job: str | None, state_dir: Path | None, as_json: bool) -> int:
    """List the keys that a verify has found different: JOB is an import, or its verify."""
    from shardload.jobs.watch import list_differences

    list_differences(state_dir, job, as_json=as_json)
    return EXIT_COMPLETE
