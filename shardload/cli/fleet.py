"""`machine`: joins a fleet; and the flags of a job that a fleet does."""

from __future__ import annotations

from typing import Any

import click

from shardload.errors import EXIT_COMPLETE

FLEET = [
    click.option(
        "--fleet", metavar="URL|off",
        help="Have the machines of this Dask scheduler do the job (tcp://HOST:8786, tls://HOST:8786).",
    ),
    click.option(
        "--mysql-read", metavar="HOST[:PORT]|URL", multiple=True, callback=lambda _c, _p, given: given or None,
        help="A replica that machines read from, in turn; may be given again.  [user and password: as in --mysql]",
    ),
]  # fmt: skip


@click.command(short_help="Join a fleet: do blocks of other machines' jobs.")
@click.argument("scheduler", metavar="URL")
@click.option("--workers", metavar="N", help="How many worker processes.  [default: by the CPUs]")
@click.option("--name", metavar="NAME", help="What the head calls this machine.  [default: host name and pid]")
@click.option("--host", metavar="ADDRESS", help="The address at which others reach this machine.  [default: Dask's]")
def machine(scheduler: str, **flags: Any) -> int:
    """Join the fleet of a Dask scheduler, and do its blocks until TERM or Ctrl-C; one at a time.

    The URLs' passwords are read from this machine's environment (SHARDLOAD_MYSQL_URL, SHARDLOAD_REDIS_URL, or their
    files), unless the scheduler's URL is tls://: then the head sends them.
    """
    from shardload.jobs.joining import join_fleet

    join_fleet(scheduler, **flags)
    return EXIT_COMPLETE
