"""The demo: real servers, a real import, one user shown in both places, every key compared with its row."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import click

from shardload import source
from shardload.process import spawn
from shardload.sandbox.servers import Sandbox
from shardload.sandbox.users import seed_with_bar
from shardload.target import TargetConnection

_SEED = 1


def run_demo(rows: int, *, keep: bool) -> int:
    """The result is the exit code of the import, or else of the comparison."""
    _head("Starting a private MySQL and a private Redis")
    with Sandbox() as sandbox, tempfile.TemporaryDirectory(prefix="shardload-demo-") as state_dir:
        click.echo(f"MySQL: {sandbox.mysql.url}\nRedis: {sandbox.redis.url}")
        _head(f"Making {rows:,} synthetic users")
        started_s = time.monotonic()
        seed_with_bar(sandbox.mysql.url, "user", rows, _SEED)
        click.echo(f"{rows:,} rows in {time.monotonic() - started_s:.1f} s")
        _head("Importing them")
        environment = os.environ | {
            "SHARDLOAD_MYSQL_URL": sandbox.mysql.url.with_password(),
            "SHARDLOAD_REDIS_URL": str(sandbox.redis.url),
            "SHARDLOAD_STATE_DIR": state_dir,
        }
        code = _shardload(["run", "--table", "user", "--key", "user:{id}", "--job", "demo"], environment)
        if code == 0:
            _head("One user in both places")
            _show_one(sandbox)
            _head("Comparing every key with its row")
            code = _shardload(["verify", "demo"], environment)
        if keep:
            _wait_for_enter(sandbox, state_dir)
    click.echo("\nThe servers are stopped and their directory is removed.")
    return code


def _shardload(words: list[str], environment: dict[str, str]) -> int:
    """Run the real command on this terminal, as a person would."""
    click.echo(f"$ shardload {' '.join(words)}")
    child = spawn([sys.executable, "-m", "shardload", *words], env=environment)
    try:
        return child.wait()
    except BaseException:
        child.terminate()  # after Ctrl-C it has had the signal too, and is leaving in order
        child.wait()
        raise


def _show_one(sandbox: Sandbox) -> None:
    connection = source.connect(sandbox.mysql.url)
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM user WHERE full_name <> '' ORDER BY id LIMIT 1 OFFSET 3")
        row = cursor.fetchone()
        names = [item[0] for item in cursor.description]
    connection.close()
    if row is None:
        click.echo("(no user to show)")
        return
    target = TargetConnection(sandbox.redis.url)
    key = f"user:{row[0]}"
    flat = target.call("HGETALL", key)
    target.close()
    there = {name.decode(): value.decode() for name, value in zip(flat[::2], flat[1::2], strict=True)}
    click.echo(f"{'column':12}{'MySQL, id ' + str(row[0]):44}Redis, {key}")
    for name, value in zip(names, row, strict=True):
        shown = "NULL" if value is None else str(value)
        click.echo(f"{name:12}{_short(shown):44}{_short(there.get(name, '(no such field)'))}")


def _short(text: str) -> str:
    shown = text if text.isprintable() else repr(text)
    return shown if len(shown) <= 40 else shown[:37] + "..."


def _wait_for_enter(sandbox: Sandbox, state_dir: str) -> None:
    secret = Path(state_dir) / "mysql-url"
    secret.touch(mode=0o600)
    secret.write_text(sandbox.mysql.url.with_password() + "\n")
    _head("The servers are still there")
    click.echo(f"MySQL's URL with its password is in {secret}\nRedis: {sandbox.redis.url}")
    click.echo(f"The job: export SHARDLOAD_STATE_DIR={state_dir} SHARDLOAD_MYSQL_URL=$(cat {secret})")
    click.prompt("Press Enter to take everything down", default="", show_default=False, prompt_suffix=" ")


def _head(text: str) -> None:
    click.echo(f"\n== {text}")
