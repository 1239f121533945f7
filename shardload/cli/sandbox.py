"""`demo` and `seed`: throwaway servers, synthetic users."""

from __future__ import annotations

import click

from shardload.config import environment
from shardload.config.urls import MYSQL_FORM
from shardload.errors import EXIT_COMPLETE
from shardload.reporting.output import echo


@click.command(short_help="Run the whole story on private servers.")
@click.option("--rows", type=click.IntRange(0, 100_000_000), default=200_000, show_default=True, help="How many users.")
@click.option(
    "--keep", is_flag=True, help="Leave the servers running until Enter is pressed, and show how to reach them."
)
def demo(rows: int, keep: bool) -> int:
    """Run the main job before your eyes: private servers, synthetic users, the real import, every key compared.

    Everything that it starts is removed at the end, also after Ctrl-C.
    """
    from shardload.sandbox.demo import run_demo  # here: `run` should not wait for the sandbox to be imported

    return run_demo(rows, keep=keep)


@click.command(short_help="Make a table of synthetic users.")
@click.option("--mysql", metavar="URL", help=f"{MYSQL_FORM} [or {environment.MYSQL_VARIABLE}]")
@click.option("--table", default="user", show_default=True, help="The table to make; it must not exist.")
@click.option("--rows", type=click.IntRange(0, 1_000_000_000), required=True, help="How many users.")
@click.option("--random-seed", type=int, default=1, show_default=True, help="The same seed makes the same users.")
def seed(mysql: str | None, table: str, rows: int, random_seed: int) -> int:
    """Make a table of synthetic users: gaps in the ids, NULLs, unicode, empty strings, long texts.

    \b
    shardload seed --mysql mysql://writer:secret@localhost/test --table user --rows 1000000
    """
    from shardload.sandbox.users import seed_named

    url = seed_named(mysql, table, rows, random_seed)
    echo(f"{rows:,} users in table {table} on {url}")
    return EXIT_COMPLETE
