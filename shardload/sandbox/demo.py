"""The demo: start private servers, make users, import them, show one in MySQL and Redis, and compare all of them.

It prints to the terminal itself; the commands that it runs do so too.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import click

from shardload import source
from shardload.model.orders import STOP_SIGNALS
from shardload.process import spawn, stop_by_exception
from shardload.reporting.output import echo
from shardload.sandbox.servers import Sandbox
from shardload.sandbox.users import seed_with_bar
from shardload.target import TargetConnection

_SEED = 1


def run_demo(rows: int, *, keep: bool) -> int:
    """Run the demo. Gives the import's exit code, or the comparison's if the import succeeded.

    With `keep` the servers run until Enter is pressed. A signal that stops the demo removes them, too.
    """
    with stop_by_exception(STOP_SIGNALS):
        return _run(rows, keep=keep)


def _run(rows: int, *, keep: bool) -> int:
    _heading("Starting a private MySQL and a private Redis")
    with Sandbox() as sandbox, tempfile.TemporaryDirectory(prefix="shardload-demo-") as state_dir:
        echo(f"MySQL: {sandbox.mysql.url}", f"Redis: {sandbox.redis.url}")
        _heading(f"Making {rows:,} synthetic users")
        started_s = time.monotonic()
        seed_with_bar(sandbox.mysql.url, "user", rows, _SEED)
        echo(f"{rows:,} rows in {time.monotonic() - started_s:.1f} s")
        _heading("Importing them")
        environment = os.environ | {
            "SHARDLOAD_MYSQL_URL": sandbox.mysql.url.with_password(),
            "SHARDLOAD_REDIS_URL": str(sandbox.redis.url),
            "SHARDLOAD_STATE_DIR": state_dir,
        }
        code = _run_shardload(["run", "--table", "user", "--key", "user:{id}", "--job", "demo"], environment)
        if code == 0:
            _heading("One user in both places")
            _show_one(sandbox)
            _heading("Comparing every key with its row")
            code = _run_shardload(["verify", "demo"], environment)
        if keep:
            _wait_for_enter(sandbox, state_dir)
    echo("", "The servers are stopped and their directory is removed.")
    return code


def _run_shardload(words: list[str], environment: dict[str, str]) -> int:
    """Print and run a shardload command in this terminal. Gives its exit code."""
    echo(f"$ shardload {' '.join(words)}")
    child = spawn([sys.executable, "-m", "shardload", *words], env=environment)
    try:
        return child.wait()
    except BaseException:
        child.terminate()  # on Ctrl-C the child got the signal too, and stops in order
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
        echo("(no user to show)")
        return
    target = TargetConnection(sandbox.redis.url)
    key = f"user:{row[0]}"
    flat = target.call("HGETALL", key)
    target.close()
    fields = {name.decode(): value.decode() for name, value in zip(flat[::2], flat[1::2], strict=True)}
    echo(f"{'column':12}{'MySQL, id ' + str(row[0]):44}Redis, {key}")
    for name, value in zip(names, row, strict=True):
        shown = "NULL" if value is None else str(value)
        echo(f"{name:12}{_short(shown):44}{_short(fields.get(name, '(no such field)'))}")


def _short(text: str) -> str:
    shown = text if text.isprintable() else repr(text)
    return shown if len(shown) <= 40 else shown[:37] + "..."


def _wait_for_enter(sandbox: Sandbox, state_dir: str) -> None:
    secret = Path(state_dir) / "mysql-url"
    secret.touch(mode=0o600)
    secret.write_text(sandbox.mysql.url.with_password() + "\n")
    _heading("The servers are still running")
    echo(f"MySQL's URL with its password is in {secret}", f"Redis: {sandbox.redis.url}")
    echo(f"To look at the job: export SHARDLOAD_STATE_DIR={state_dir} SHARDLOAD_MYSQL_URL=$(cat {secret})")
    click.prompt("Press Enter to stop and remove them", default="", show_default=False, prompt_suffix=" ")


def _heading(text: str) -> None:
    echo("", f"== {text}")
