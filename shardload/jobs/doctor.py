"""Checks whether this machine and the servers are fit for a job: one finding for each subject.

It changes nothing, except that it writes and removes a scratch key in Redis, and makes and removes SysV objects.
"""

from __future__ import annotations

import os
import platform
import pwd
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from shardload import source
from shardload.config import environment
from shardload.config.mysqlreach import mysql_from_flags
from shardload.config.reach import typed, with_reach
from shardload.config.urls import parse_redis
from shardload.encoding import KeyTemplate, Payload, default_template, is_native_built, parse_template
from shardload.errors import ShardloadError, SpecError, TargetError, TargetLost
from shardload.files.ownfile import other_writers
from shardload.ipc import Board, BoardHeader, create, describe_build, shortages, usage
from shardload.jobdir.directory import JobDirectory
from shardload.jobs.status import look
from shardload.model.limits import MOST_WORKERS
from shardload.model.wording import a_few_jobs, counted
from shardload.target import Needs, Target, TargetFacts, choose_for_target, open_target

_SMALL_FREE_BYTES, _LEAST_FREE_BYTES = 100 * 2**20, 2**20  # a journal takes some 100 bytes a range
_SYSTEMD = Path("/run/systemd/system")
_FIRST_USER_UID = 1000  # logind's RemoveIPC concerns those above the system's own users
_NO_FLAGS: dict[str, Any] = {}


Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """What was found of a subject, and what to do about it."""

    level: Level
    subject: str
    text: str
    hint: str = ""


def examine(
    state_dir: Path,
    *,
    mysql: str | None,
    redis: str | None,
    table: str | None = None,
    key: str | None = None,
    reach: Mapping[str, Any] = _NO_FLAGS,
) -> Iterator[Finding]:
    """Check everything, one after the other. If neither a URL nor the environment names a server, it is left out.

    `table` and the template `key` are those of a job to come; `reach` has the flags about the way to both servers.
    SpecError if the template is wrong.
    """
    template = parse_template(key) if key else default_template(table, ["key"]) if table else None
    yield Finding("ok", "system", f"{platform.system()} {platform.release()}, Python {platform.python_version()}")
    yield _encoder()
    yield from _sysv()
    yield _logout()
    yield from _state(state_dir)
    named = template.columns if template and key else ()
    of_mysql = {key: value for key, value in reach.items() if key.startswith("mysql_")}
    of_redis = {key: value for key, value in reach.items() if key not in of_mysql}
    has_file = bool(of_mysql.get("mysql_defaults_file"))
    yield from _server("MySQL", mysql, lambda url: _mysql(url, of_mysql, table, named), needs_url=not has_file)
    yield from _server("Redis", redis, lambda url: _redis(url, template, of_redis))


def _server(
    subject: str, flag: str | None, look_at: Callable[[str], Iterator[Finding]], *, needs_url: bool = True
) -> Iterator[Finding]:
    name = subject.lower()
    try:
        url = flag or environment.url_from_environment(name) or ""
    except SpecError as error:
        yield _failed(subject, error)
        return
    is_named = url or not needs_url
    yield from look_at(url) if is_named else [Finding("ok", subject, "not asked", f"give --{name} URL to examine it")]


def _encoder() -> Finding:
    if is_native_built():
        return Finding("ok", "encoder", "the compiled one is built")
    hint = "install a C compiler and Python's headers, and install shardload again"
    return Finding("warning", "encoder", "only the Python one: about twelve times the CPU a row", hint)


def _sysv() -> Iterator[Finding]:
    """Check the kernel's limits. If they suffice, make a run's objects as a run does, and remove them."""
    if found := shortages(Board.size_bytes(MOST_WORKERS)):
        yield from (Finding("problem", "kernel", error.message, error.hint) for error in found)
        return
    yield _made_and_removed()
    if said := usage():
        yield Finding("ok", "kernel", said)


def _made_and_removed() -> Finding:
    try:
        with tempfile.NamedTemporaryFile() as key_file:
            ipc = create(Path(key_file.name), BoardHeader(MOST_WORKERS, 1, os.getpid(), 0))
            ipc.remove()
            ipc.board.detach()
    except ShardloadError as error:
        return Finding("problem", "SysV IPC", error.message, error.hint)
    except OSError as error:
        return Finding("warning", "SysV IPC", f"not examined: no temporary file: {error.strerror}", "set TMPDIR")
    return Finding("ok", "SysV IPC", f"queues, semaphore and shared memory can be made; {describe_build()}")


def _logout() -> Finding:
    """Check whether logind removes the queues and the semaphore when the user logs out."""
    if not _SYSTEMD.is_dir():
        return Finding("ok", "logout", "no systemd here: nobody removes IPC objects at a logout")
    if os.getuid() < _FIRST_USER_UID:
        return Finding("ok", "logout", "a system user: logind's RemoveIPC does not concern it")
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # as in a container that is given a uid of its own
        return Finding("ok", "logout", f"uid {os.getuid()} has no name here: nobody can log in, or out, as it")
    if Path("/var/lib/systemd/linger", user).exists():
        return Finding("ok", "logout", f"{user} lingers: logind removes nothing")
    if _remove_ipc_is_off():
        return Finding("ok", "logout", "logind is set to RemoveIPC=no")
    hint = f"loginctl enable-linger {user}, or run it as a service"
    return Finding("warning", "logout", "logind removes a job's IPC objects when you log out (RemoveIPC)", hint)


def _remove_ipc_is_off() -> bool:
    said = "yes"
    for file in [Path("/etc/systemd/logind.conf"), *sorted(Path("/etc/systemd/logind.conf.d").glob("*.conf"))]:
        try:
            lines = file.read_text().splitlines()
        except OSError:
            continue
        said = next((line.partition("=")[2] for line in reversed(lines) if line.startswith("RemoveIPC=")), said)
    return said.strip().lower() in ("no", "false", "0", "off")


def _state(state_dir: Path) -> Iterator[Finding]:
    there = next(path for path in (state_dir, *state_dir.parents) if os.access(path, os.F_OK))
    if not os.access(there, os.W_OK | os.X_OK):
        yield Finding("problem", "state directory", f"{there} cannot be written", "choose another --state-dir")
        return
    free_bytes = shutil.disk_usage(there).free
    room = Finding("ok", "state directory", f"{state_dir}, {free_bytes // 2**20:,} MiB free")
    if free_bytes < _SMALL_FREE_BYTES:
        level: Level = "problem" if free_bytes < _LEAST_FREE_BYTES else "warning"
        room = replace(room, level=level, hint="a job's journal and log need room there")
    yield room
    if others := other_writers(state_dir):
        hint = f"chmod go-w {state_dir}, or choose another --state-dir"
        yield Finding("warning", "state directory", f"{others} may write it, too: jobs may vanish from there", hint)
    elif there == state_dir and state_dir.stat().st_mode & 0o077:
        yield Finding("warning", "state directory", "others may look into it", f"chmod 700 {state_dir}")
    try:
        yield from _jobs(state_dir)
    except ShardloadError as error:
        yield _failed("jobs", error)


def _jobs(state_dir: Path) -> Iterator[Finding]:
    """Jobs that need attention. A job that cannot be looked at does not hide the others."""
    died = []
    for directory in JobDirectory.all(state_dir):
        try:
            if look(directory).state == "died":
                died.append(directory.name)
        except ShardloadError as error:
            yield Finding("warning", "jobs", f"{directory.name}: {error.message}", error.hint)
    if died:
        yield Finding("warning", "jobs", f"died: {a_few_jobs(died)}", "shardload resume JOB, or shardload clean JOB")
    if foreign := [directory.name for directory in JobDirectory.foreign(state_dir)]:
        hint = "ask that user, or root; or choose another --state-dir"
        yield Finding("warning", "jobs", f"belong to another user: {a_few_jobs(foreign)}", hint)


def _mysql(text: str, reach: Mapping[str, Any], table: str | None, key_columns: Sequence[str]) -> Iterator[Finding]:
    try:
        url = mysql_from_flags(text or None, reach)
        connection = source.connect(url)
    except ShardloadError as error:
        yield _failed("MySQL", error)
        return
    try:
        yield Finding(
            "ok", "MySQL", f"{url}: {source.server_version(connection)}{source.tls_in_words(connection, url.tls)}"
        )
        tables = source.readable_tables(connection)
        if tables:
            yield Finding("ok", "MySQL rights", f"may SELECT from {tables:,} tables of {url.database}")
        else:
            hint = "GRANT SELECT, or name another database in --mysql"
            yield Finding("problem", "MySQL rights", f"may SELECT from no table of {url.database}", hint)
        if table:
            found = source.describe(connection, table)
            chosen = source.choose_key(found, None)
            key = ", ".join(chosen.selection.key_names) or "no key"
            told = f"{table}: split by {key}, {len(found.columns)} columns that may be read"
            for column in key_columns:
                found.resolve_column(column, "--key")
            yield Finding("ok", "table", told, chosen.word)
    except ShardloadError as error:
        yield _failed("MySQL", error)
    finally:
        source.abandon(connection)


def _redis(text: str, template: KeyTemplate | None, reach: Mapping[str, Any]) -> Iterator[Finding]:
    try:
        target = open_target(with_reach(parse_redis(text), typed(reach), {}))
    except (ValueError, ShardloadError) as error:
        yield _failed("Redis", error)
        return
    try:
        facts = target.describe()
        yield Finding("ok", "Redis", facts.described)
        yield from _nodes(facts)
        yield from _writing(target, template)
        if facts.epoch == 0:
            hint = "allow INFO, so that a restart of Redis is noticed"
            yield Finding("warning", "Redis rights", "INFO is not allowed", hint)
        if facts.evicts:
            hint = "raise maxmemory, or choose noeviction while a job runs"
            yield Finding("warning", "Redis memory", f"maxmemory-policy {facts.evicts}: keys may vanish", hint)
    except ShardloadError as error:
        yield _failed("Redis", error)
    finally:
        target.close()


def _nodes(facts: TargetFacts) -> Iterator[Finding]:
    """Every master of a cluster; and whether one is a replica."""
    for node in facts.nodes:
        if not node.is_master:
            hint = "name the master in --redis, or its Sentinels"
            yield Finding("problem", "Redis role", f"{node.address} is a replica: nobody can write to it", hint)
        if facts.kind == "cluster":
            told = f"{counted(node.slot_count, 'slot')}, {counted(node.replicas, 'replica')}"
            yield Finding("ok", "Redis node", f"{node.address}: {told}")


def _writing(target: Target, template: KeyTemplate | None) -> Iterator[Finding]:
    """Check whether keys can be written. If the template is known, try such a key: an ACL may allow only those."""

    def make_key() -> bytes:
        name = f"shardload-doctor-{os.getpid()}-{os.urandom(4).hex()}"
        return (template.filled(name) if template else name).encode()

    try:
        choice = choose_for_target(target, make_key, "auto", [Payload.LISTPACK, Payload.PLAIN])
    except TargetError as error:
        if template or "permissions to access" not in error.message:  # Redis's words for a key, not for a command
            raise
        told = "not examined: this user may not use the scratch key shardload-doctor-..."
        yield Finding("warning", "Redis rights", told, "give --key TEMPLATE as the job will have it")
        return
    if choice.payload is not None:
        yield Finding("ok", "Redis rights", "RESTORE and DEL work on a scratch key")
        return
    yield Finding("warning", "Redis rights", f"HSET, but {choice.reason}", "allow RESTORE: it is faster")
    try:
        choose_for_target(target, make_key, "commands", [], Needs(expires=True))
    except TargetError as error:
        if isinstance(error, TargetLost):
            raise
        yield Finding("warning", "Redis rights", f"no --ttl: {error.message}", "allow PEXPIRE, if keys are to expire")


def _failed(subject: str, error: Exception) -> Finding:
    if isinstance(error, ShardloadError):
        return Finding("problem", subject, error.message, error.hint)
    return Finding("problem", subject, str(SpecError(str(error))))
