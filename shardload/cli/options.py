"""The flags, each said once, and the groups of them that commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from shardload.cli.completion import job_names
from shardload.config.environment import DEFAULT_WORKERS, MYSQL_VARIABLE, REDIS_VARIABLE, STATE_DIR_VARIABLE
from shardload.config.urls import MYSQL_FORM, REDIS_FORM
from shardload.model.limits import DEFAULT_RANGE_ROWS, LOST_AT_A_STOP_S, MOST_WORKERS

_Function = TypeVar("_Function", bound=Callable[..., Any])


class _StateDir(click.Path):
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":  # a variable that is not set: it would mean the working directory
            self.fail("is empty", param, ctx)
        return super().convert(value, param, ctx)


# Values are validated by the spec, which knows the same for a TOML file; here they are text.
_SERVERS = [
    click.option("--mysql", metavar="URL", help=f"{MYSQL_FORM} [or {MYSQL_VARIABLE}]"),
    click.option("--redis", metavar="URL", help=f"{REDIS_FORM} [or {REDIS_VARIABLE}]"),
    click.option(
        "--mysql-server-public-key-path", metavar="FILE",
        help="MySQL's public key (its public_key.pem), for passwords without TLS.",
    ),
    click.option(
        "--mysql-get-server-public-key", is_flag=True, default=None,
        help="Without TLS, encrypt the password with whatever public key the server sends.",
    ),
    click.option(
        "--mysql-enable-cleartext-plugin", is_flag=True, default=None,
        help="Without TLS, send the password in clear text if the server asks for it.",
    ),
]  # fmt: skip
_STATE = [
    click.option(
        "--state-dir", type=_StateDir(file_okay=False, path_type=Path),
        help=f"Where job directories live. [or {STATE_DIR_VARIABLE}; default: ~/.local/state/shardload]",
    ),
]  # fmt: skip
_TABLE = click.option(
    "--table", metavar="NAME", help="The table to import; its primary key is a single integer column."
)
_KEY = click.option(
    "--key", metavar="TEMPLATE",
    help="The Redis key: columns as {id}, a brace as {{.  [default: TABLE:{PRIMARY KEY}]",
)  # fmt: skip
_MAPPING = [
    _TABLE,
    click.option("--columns", metavar="A,B,...", help="Columns that become hash fields.  [default: all]"),
    _KEY,
    click.option(
        "--null", metavar="omit|empty",
        help="NULL columns are left out of the hash, or written as an empty string.  [default: omit]",
    ),
]  # fmt: skip
_WRITING = [
    click.option("--ttl", metavar="TIME", help="Every key expires after this time (30m, 12h, 7d).  [default: never]"),
    click.option(
        "--ttl-jitter", metavar="SHARE",
        help="Spread the expiry evenly: 10% means TTL give or take a tenth, always the same for a key.  [default: 0]",
    ),
    click.option(
        "--encoding", metavar="auto|restore|commands",
        help="A key as one RESTORE (less work for Redis) or as DEL + HSET; auto asks Redis.  [default: auto]",
    ),
    click.option(
        "--encoder", metavar="auto|native|reference",
        help="The compiled encoder or the Python one; both write the same.  [default: auto: native where it was built]",
    ),
    click.option(
        "--hash-layout", metavar="compact|native",
        help="compact: rows up to 8 KiB are compact hashes, however long their values; native: as HSET would have made "
        "them.  [default: compact]",
    ),
]  # fmt: skip
_PLAN = [
    click.option(
        "--range-rows", metavar="N",
        help="About how many rows a range has: the unit of work and retry.  "
        f"[default: {DEFAULT_RANGE_ROWS}; fewer under a --rate: a stop undoes about {LOST_AT_A_STOP_S} s of work]",
    ),
    click.option("--job", metavar="NAME", help="The job's name, for resume and verify.  [default: table and time]"),
]  # fmt: skip
_RUNNING = [
    click.option(
        "--workers", metavar="N",
        help=f"Worker processes, 1 to {MOST_WORKERS}.  [default: {DEFAULT_WORKERS}, by the CPUs]",
    ),
    click.option(
        "--rate", metavar="N|off",
        help="At most so many rows a second, all workers together; shardload rate changes it.  [default: off]",
    ),
    click.option(
        "--hung-after", metavar="TIME",
        help="Kill and replace a worker that shows no life for so long; a wait for a server is none.  [default: 30s]",
    ),
    click.option(
        "--give-up-after", metavar="TIME",
        help="Stop, resumable, when servers were unreachable for so long (30s, 5m, 1h).  [default: 5m]",
    ),
    click.option(
        "--progress", metavar="auto|bar|plain|none", help="auto: a bar on a terminal, else a line every 10 s."
    ),
    click.option("--json", is_flag=True, default=None, help="The summary as one JSON object on standard output."),
    click.option("--log-format", metavar="text|json", help="The job's log: a line an event either way."),
    click.option("--verbose", is_flag=True, default=None, help="Tell more; show where an error comes from."),
]  # fmt: skip


_DAEMON = [
    click.option("--daemon", is_flag=True, help="Run in the background; return when everything is up."),
    click.option(
        "--chdir", type=click.Path(exists=True, file_okay=False), default="/", show_default=True,
        help="The daemon's working directory.",
    ),
]  # fmt: skip
_JOB = [click.argument("job", required=False, shell_complete=job_names())]


_RUNNING_JOB = [click.argument("job", required=False, shell_complete=job_names("running"))]


def _with(options: list[Any], function: _Function) -> _Function:
    for option in reversed(options):
        function = option(function)
    return function


def whole_spec(function: _Function) -> _Function:
    """Every flag of a new job."""
    return _with([*_SERVERS, *_MAPPING, *_WRITING, *_PLAN, *_STATE, *_RUNNING], function)


def existing_job(function: _Function) -> _Function:
    """The flags for going on with a job."""
    return _with([*_SERVERS, *_STATE, *_RUNNING], function)


def job_and_servers(function: _Function) -> _Function:
    """The flags for looking at a job's work in the servers."""
    return _with([*_SERVERS, *_STATE], function)


def table_and_key(function: _Function) -> _Function:
    """What a job will be about, for looking whether it could be."""
    return _with([_TABLE, _KEY], function)


def background(function: _Function) -> _Function:
    """The flags for running in the background."""
    return _with(_DAEMON, function)


def state_only(function: _Function) -> _Function:
    """The flag that says where jobs are."""
    return _with(_STATE, function)


def one_job(function: _Function) -> _Function:
    """A job, by default the only one that runs."""
    return _with([*_JOB, *_STATE], function)


def running_job(function: _Function) -> _Function:
    """The same for an order: the shell offers jobs that run."""
    return _with([*_RUNNING_JOB, *_STATE], function)
