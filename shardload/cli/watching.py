"""`jobs`, `status`, `attach`, `log`, `failures`: looking at jobs, changing nothing."""

from __future__ import annotations

from pathlib import Path

import click

from shardload.cli.options import one_job, running_job, state_only
from shardload.errors import EXIT_COMPLETE


@click.command(short_help="List all jobs and their states.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@state_only
def jobs(state_dir: Path | None, as_json: bool) -> int:
    """List all jobs: running, finished, stopped, died.

    A job runs if a process holds its lock. It has died if no process holds it and its last run did not say how it
    ended. It is damaged if its files make no sense, and foreign if it belongs to another user.
    """
    from shardload.jobs.watch import list_jobs

    list_jobs(state_dir, as_json=as_json)
    return EXIT_COMPLETE


@click.command(short_help="Show how a job is.")
@click.option(
    "--watch", is_flag=True, help="Show it every second until the job ends, with the rate of the last seconds."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: the names of `run --json`, and more.")
@one_job
def status(job: str | None, state_dir: Path | None, as_json: bool, watch: bool) -> int:
    """Show how a job is, running or not. Without JOB: the only one that runs."""
    from shardload.jobs.watch import show_status

    show_status(state_dir, job, as_json=as_json, watch=watch)
    return EXIT_COMPLETE


@click.command(short_help="Watch a running job with live bars.")
@running_job
def attach(job: str | None, state_dir: Path | None) -> int:
    """Watch a running job: one bar for the job, and one for each worker. Ctrl-C leaves the job alone.

    Ends when the job ends, with the job's exit code.
    """
    from shardload.jobs.watch import attach as show_bars

    return show_bars(state_dir, job)


@click.command(short_help="Show a job's log.")
@click.option("--follow", "-f", is_flag=True, help="Go on until the job ends.")
@one_job
def log(job: str | None, state_dir: Path | None, follow: bool) -> int:
    """Show a job's log."""
    from shardload.jobs.watch import show_log

    show_log(state_dir, job, follow=follow)
    return EXIT_COMPLETE


@click.command(short_help="List the rows that could not be loaded.")
@one_job
def failures(job: str | None, state_dir: Path | None) -> int:
    """List the rows that a job could not load: primary key and reason."""
    from shardload.jobs.watch import list_failures

    list_failures(state_dir, job)
    return EXIT_COMPLETE
