"""`stop`, `pause`, `unpause`, `scale`, `rate`, `reload`: orders to a running job."""

from __future__ import annotations

from pathlib import Path

import click

from shardload.cli.completion import job_names
from shardload.cli.options import running_job, state_only
from shardload.errors import EXIT_COMPLETE


def _order(state_dir: Path | None, job: str | None, words: str) -> int:
    from shardload.jobs.control import give_order

    give_order(state_dir, job, words)
    return EXIT_COMPLETE


def _order_with_value(state_dir: Path | None, verb: str, value: str, words: tuple[str, ...]) -> int:
    from shardload.jobs.control import give_order_with_value

    give_order_with_value(state_dir, verb, value, words)
    return EXIT_COMPLETE


@click.command(short_help="End a job in order, resumable.")
@click.option("--wait", is_flag=True, help="Return when the job has ended.")
@click.option("--now", is_flag=True, help="Do not finish the current batches.")
@running_job
def stop(job: str | None, state_dir: Path | None, now: bool, wait: bool) -> int:
    """End a job in order: the current batches are finished, and `resume` goes on later."""
    from shardload.jobs.control import stop as stop_job

    stop_job(state_dir, job, now=now, wait=wait)
    return EXIT_COMPLETE


@click.command(short_help="Stop loading, but keep the job.")
@running_job
def pause(job: str | None, state_dir: Path | None) -> int:
    """Stop loading, but keep the job: the workers hand back their ranges, and use no connection and no CPU."""
    return _order(state_dir, job, "pause")


@click.command(short_help="Go on after a pause.")
@running_job
def unpause(job: str | None, state_dir: Path | None) -> int:
    """Go on after a pause."""
    return _order(state_dir, job, "unpause")


@click.command(short_help="Change the number of workers.")
@click.argument("job_and_workers", nargs=-1, required=True, metavar="[JOB] N", shell_complete=job_names("running"))
@state_only
def scale(job_and_workers: tuple[str, ...], state_dir: Path | None) -> int:
    """Have N workers from now on. Those that are too many finish their current range first."""
    return _order_with_value(state_dir, "scale", "N", job_and_workers)


@click.command(short_help="Change the rate limit.")
@click.argument("job_and_rate", nargs=-1, required=True, metavar="[JOB] N|off", shell_complete=job_names("running"))
@state_only
def rate(job_and_rate: tuple[str, ...], state_dir: Path | None) -> int:
    """Load at most N rows a second from now on, all workers together; off: no limit."""
    return _order_with_value(state_dir, "rate", "N|off", job_and_rate)


@click.command(short_help="Replace the workers, one at a time.")
@running_job
def reload(job: str | None, state_dir: Path | None) -> int:
    """Replace the workers, one at a time; no range is lost or loaded twice. Workers and rate are read again from the
    job's TOML file, if it has one."""
    return _order(state_dir, job, "reload")
