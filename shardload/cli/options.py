"""The flags, each defined once, and the groups of them that commands share. Help shows them in this order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from shardload.cli.completion import job_names
from shardload.cli.fleet import FLEET
from shardload.cli.reachflags import LOGIN, REACH
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
    click.option(
        "--redis", metavar="URL",
        help=f"{REDIS_FORM}; rediss://, unix:///PATH, redis+sentinel:// and redis+cluster:// too [or {REDIS_VARIABLE}]",
    ),
]  # fmt: skip
_TABLE = click.option("--table", metavar="NAME", help="The table to import.")
_KEY = click.option(
    "--key",
    metavar="TEMPLATE",
    help="The Redis key: columns as {id} or {id|hex}, a brace as {{.  [default: TABLE:{PRIMARY KEY}]",
)


def _given(_context: click.Context, _option: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...] | None:
    return value or None  # a flag that was not given is None


_MAPPING = [
    _TABLE,
    _KEY,
    click.option(
        "--key-prefix", metavar="TEXT", help="A literal text before every key that --key, or its default, makes."
    ),
    click.option(
        "--columns",
        metavar="A,B,...",
        help="The columns that become fields; `a,b` in backticks is one.  [default: all]",
    ),
]
_ROWS = [
    click.option("--where", metavar="CONDITION", help="Import only the rows that meet this SQL condition."),
    click.option("--query", metavar="SELECT", help="In place of --table: the rows of this query; needs --key."),
    click.option(
        "--split-by", metavar="A,B,...",
        help="The columns whose values split the rows into ranges.  [default: the primary key, else a unique index]",
    ),
    click.option(
        "--time-zone", metavar="ZONE", help="In which TIMESTAMPs are written: +02:00, Europe/Berlin.  [default: UTC]"
    ),
]  # fmt: skip
_FORM = [
    click.option(
        "--as", metavar="hash|json|string|redisjson",
        help="What a row becomes: a hash, a string with JSON, a string with one column's value, or a document of the "
        "JSON module.  [default: hash]",
    ),
    click.option("--value", metavar="COLUMN", help="With --as string: the column that is the value."),
    click.option(
        "--rename", metavar="COLUMN=FIELD", multiple=True, callback=_given,
        help="A field's name, where it is not the column's; may be given again.",
    ),
    click.option(
        "--field", metavar="NAME=TEXT", multiple=True, callback=_given,
        help="A field with the same text in every row; may be given again.",
    ),
    click.option(
        "--lookup", metavar="KEY=VALUE", multiple=True, callback=_given,
        help="A small key beside each row's own, as user:email:{email}={id}; may be given again.",
    ),
    click.option(
        "--null", metavar="omit|empty|null",
        help="Leave NULL columns out, write them as empty texts, or (JSON) as null.  [default: omit]",
    ),
    click.option(
        "--binary", metavar="raw|hex|base64|uuid",
        help="How values of binary columns are written, also in keys; uuid: those of 16 bytes, others as hex.  "
        "[default: raw, in JSON base64]",
    ),
    click.option("--json-decimal", metavar="string|number", help="DECIMAL in JSON.  [default: string]"),
    click.option(
        "--json-bigint", metavar="number|string", help="Integers in JSON that are beyond 2^53.  [default: number]"
    ),
    click.option(
        "--on-conflict", metavar="replace|keep",
        help="Replace a key that exists, or keep it as it is and count it.  [default: replace]",
    ),
]  # fmt: skip
_NAMING = [
    click.option("--job", metavar="NAME", help="The job's name, for resume and verify.  [default: table and time]")
]
_SPEED = [
    click.option(
        "--workers", metavar="N",
        help=f"How many worker processes, 1 to {MOST_WORKERS}.  [default: {DEFAULT_WORKERS}, by the CPUs]",
    ),
    click.option(
        "--rate", metavar="N|off",
        help="Load at most N rows a second, all workers together; shardload rate changes it.  [default: off]",
    ),
]  # fmt: skip
_VERIFY = [
    click.option(
        "--verify", is_flag=True, default=None, help="When every row is loaded, compare every row with its key."
    ),
]
_CHECKS = [
    click.option(
        "--sample", metavar="SHARE", help="Compare only this share of the rows (1%), by chance.  [default: all]"
    ),
    click.option("--extra", is_flag=True, default=None, help="Look for keys, too, that no row stands for."),
    click.option("--repair", is_flag=True, default=None, help="Write what differs again, and compare it again."),
]
_GUARDS = [
    click.option(
        "--max-load", metavar="NAME=N,...|off",
        help="Pause while a status variable of MySQL is above this: Threads_running=25.  [default: off]",
    ),
    click.option(
        "--critical-load", metavar="NAME=N,...|off", help="Stop, resumable, if one is above this.  [default: off]"
    ),
    click.option(
        "--max-lag-millis", metavar="N|off", help="Pause while a --replica is further behind.  [default: off]"
    ),
    click.option(
        "--replica", metavar="HOST[:PORT]|URL|off", multiple=True, callback=_given,
        help="A replica of MySQL whose lag is measured; may be given again.  [default: off; user and password: as in "
        "--mysql]",
    ),
    click.option(
        "--keep-free", metavar="SHARE|off",
        help="Pause when less than this share of Redis's maxmemory is free.  [default: 10%]",
    ),
    click.option(
        "--on-eviction", metavar="stop|ignore",
        help="What to do when Redis evicts keys; a cache that is always full needs --keep-free off, too.  [default: "
        "stop, resumable]",
    ),
    click.option(
        "--max-latency", metavar="TIME|off", help="Slow down while a PING of Redis takes longer (5ms).  [default: off]"
    ),
    click.option(
        "--while-saving", metavar="go|pause", help="Pause while Redis saves, or rewrites its AOF.  [default: go]"
    ),
    click.option("--pause-while-exists", metavar="FILE|off", help="Pause while there is such a file.  [default: off]"),
    click.option("--window", metavar="HH:MM-HH:MM|off", help="Work only in this time of the day, as 22:00-06:00."),
]  # fmt: skip
_DAEMON = [
    click.option("--daemon", is_flag=True, help="Run in the background; return when everything is up."),
]
_EXPIRY = [
    click.option("--ttl", metavar="TIME", help="Every key expires after this time (30m, 12h, 7d).  [default: never]"),
    click.option(
        "--ttl-jitter", metavar="SHARE",
        help="Spread the expiry evenly: 10% means TTL plus or minus a tenth, always the same for a key.  [default: 0]",
    ),
    click.option(
        "--ttl-column", metavar="COLUMN",
        help="A date or a Unix time that says when the key expires; rows past it are skipped, NULL has the --ttl.",
    ),
]  # fmt: skip
_SHOWING = [
    click.option(
        "--progress", metavar="auto|bar|plain|none", help="auto: a bar on a terminal, else a line every 10 s."
    ),
    click.option("--json", is_flag=True, default=None, help="Print the summary as one JSON object on standard output."),
    click.option("--log-format", metavar="text|json", help="The form of the job's log: one event a line."),
    click.option("--verbose", is_flag=True, default=None, help="Show more, and where an error comes from."),
]
_STATE = [
    click.option(
        "--state-dir", type=_StateDir(file_okay=False, path_type=Path),
        help=f"Where job directories are. [or {STATE_DIR_VARIABLE}; default: ~/.local/state/shardload]",
    ),
]  # fmt: skip
_PATIENCE = [
    click.option(
        "--give-up-after", metavar="TIME",
        help="Stop, resumable, when the servers were unreachable for so long (30s, 5m, 1h).  [default: 5m]",
    ),
    click.option(
        "--hung-after", metavar="TIME",
        help="Kill and replace a worker that shows no sign of life for so long; waiting for a server does not count.  "
        "[default: 30s]",
    ),
]  # fmt: skip
_FORCE = [
    click.option(
        "--force", is_flag=True, default=None,
        help="Begin even if Redis has too little memory for the keys, or would evict some.",
    ),
]  # fmt: skip
_TUNING = [
    click.option(
        "--range-rows", metavar="N",
        help="About how many rows a range has: the unit of work and retry.  "
        f"[default: {DEFAULT_RANGE_ROWS}; fewer under a --rate: a stop undoes about {LOST_AT_A_STOP_S} s of work]",
    ),
    click.option(
        "--encoding", metavar="auto|restore|commands",
        help="Write a key as one RESTORE (less work for Redis) or as DEL + HSET; auto asks Redis.  [default: auto]",
    ),
    click.option(
        "--hash-layout", metavar="compact|native",
        help="compact: rows up to 8 KiB become compact hashes, however long their values are; native: hashes as HSET "
        "makes them.  [default: compact]",
    ),
    click.option(
        "--encoder", metavar="auto|native|reference",
        help="The compiled encoder or the Python one; both write the same.  [default: auto: native if it was built]",
    ),
]  # fmt: skip
_CHDIR = [
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


def new_job(function: _Function) -> _Function:
    """The flags of `run`."""
    whole = [*_SERVERS, *_MAPPING, *_ROWS, *_FORM, *_NAMING, *_SPEED, *_DAEMON, *_EXPIRY, *_SHOWING, *_STATE]
    return _with(
        [*whole, *_VERIFY, *_CHECKS, *FLEET, *_GUARDS, *_PATIENCE, *_FORCE, *_TUNING, *LOGIN, *REACH, *_CHDIR], function
    )


def planned_job(function: _Function) -> _Function:
    """The flags of `plan`: those of `run`, but for the daemon's."""
    whole = [*_SERVERS, *_MAPPING, *_ROWS, *_FORM, *_NAMING, *_SPEED, *_EXPIRY, *_SHOWING, *_STATE]
    whole += [*_VERIFY, *_CHECKS, *FLEET, *_GUARDS]
    return _with([*whole, *_PATIENCE, *_FORCE, *_TUNING, *LOGIN, *REACH], function)


def existing_job(function: _Function) -> _Function:
    """The flags of `resume`."""
    whole = [*_SERVERS, *_SPEED, *_DAEMON, *FLEET, *_GUARDS, *_SHOWING, *_STATE, *_PATIENCE, *_FORCE]
    return _with([*whole, *LOGIN, *REACH, *_CHDIR], function)


def verified_job(function: _Function) -> _Function:
    """The flags of `verify`: those of `run`, for what is compared may have no job."""
    whole = [*_SERVERS, *_CHECKS, *_SPEED, *_DAEMON, *_NAMING, *_SHOWING, *_STATE, *_MAPPING, *_ROWS, *_FORM, *_EXPIRY]
    return _with([*whole, *FLEET, *_GUARDS, *_PATIENCE, *_FORCE, *_TUNING, *LOGIN, *REACH, *_CHDIR], function)


def job_and_servers(function: _Function) -> _Function:
    """The flags of commands that look at a job's table and keys."""
    return _with([*_SERVERS, *_STATE, *LOGIN, *REACH], function)


def table_and_key(function: _Function) -> _Function:
    """The table and the key of a job to come."""
    return _with([_TABLE, _KEY], function)


def state_only(function: _Function) -> _Function:
    """The flag that says where job directories are."""
    return _with(_STATE, function)


def one_job(function: _Function) -> _Function:
    """A job, by default the only one that runs."""
    return _with([*_JOB, *_STATE], function)


def running_job(function: _Function) -> _Function:
    """A running job, by default the only one; the shell offers those that run."""
    return _with([*_RUNNING_JOB, *_STATE], function)
