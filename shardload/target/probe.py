"""Which Redis this is, and whether we may write to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shardload.encoding import Payload, restore_command
from shardload.errors import TargetBusy, TargetError, TargetLost
from shardload.model import UNKNOWN_LIFE
from shardload.target.connection import TargetConnection

_SCRATCH_TTL_MS = 60_000  # gone by itself, should this process die before it removes it


@dataclass(frozen=True)
class TargetFacts:
    """`life` changes with every restart of the server process; UNKNOWN_LIFE where INFO is not allowed. `evicts` is
    the policy by which keys may vanish under memory pressure, if there is one. `keys` is how many the database has,
    None where the question is not allowed."""

    server: str
    life: int
    evicted_keys: int
    evicts: str = ""
    keys: int | None = None


def describe_server(connection: TargetConnection) -> TargetFacts:
    """What INFO and DBSIZE say, or stand-ins where the ACL forbids them. TargetBusy if they are refused for now."""
    text, size = connection.call_many([("INFO",), ("DBSIZE",)], errors=True)
    for reply in (text, size):
        if isinstance(reply, TargetBusy):
            raise reply
    keys = size if isinstance(size, int) else None
    if not isinstance(text, bytes):
        return TargetFacts("redis", UNKNOWN_LIFE, 0, keys=keys)
    facts = dict(line.split(":", 1) for line in text.decode("utf-8", "replace").split("\r\n") if ":" in line)
    name, version = ("valkey", facts.get("valkey_version")) if "valkey_version" in facts else (
        "redis", facts.get("redis_version"))  # fmt: skip
    policy = facts.get("maxmemory_policy", "noeviction")
    evicts = policy if int(facts.get("maxmemory", 0)) and policy != "noeviction" else ""
    life = int(facts.get("run_id", "0")[:15], 16)
    return TargetFacts(f"{name} {version}", life, int(facts.get("evicted_keys", 0)), evicts, keys)


@dataclass(frozen=True)
class Choice:
    """How keys will be written, and why so, in words. `whole`: commands stand in a transaction."""

    payload: Payload | None
    reason: str
    whole: bool = False


def choose_payload(
    connection: TargetConnection,
    scratch_key: bytes,
    encoding: str,
    layouts: Sequence[Payload],
    *,
    expires: bool = False,
) -> Choice:
    """Try on a scratch key what the server accepts: written, read back, compared, removed.

    `encoding` is `auto`, `restore` or `commands`; `layouts` are the RESTORE payloads to try, the best first; `expires`
    says that the keys will have a time to live. TargetError or TargetBusy, with Redis's reason, if the keys cannot be
    written in a way that was allowed.
    """
    connection.call("DEL", scratch_key)
    connection.call("HSET", scratch_key, "shardload", "probe")
    connection.call("DEL", scratch_key)
    if encoding == "commands":
        return _commands(connection, scratch_key, "as asked", expires=expires)
    refusal = "no payload was tried"
    for payload in layouts:
        try:
            if _restores(connection, scratch_key, payload):
                return Choice(payload, "a scratch key came back equal")
            refusal = "a scratch key came back different"
        except (TargetBusy, TargetLost):
            raise
        except TargetError as error:
            refusal = error.message
    if encoding == "restore":
        raise TargetError(f"Redis does not take RESTORE: {refusal}", "let --encoding auto choose, or grant it")
    return _commands(connection, scratch_key, f"RESTORE is not to be had: {refusal}", expires=expires)


def _commands(connection: TargetConnection, scratch_key: bytes, reason: str, *, expires: bool) -> Choice:
    """DEL and HSET, of which it is known that they work: in a transaction, where that is to be had (a proxy or the ACL
    may refuse MULTI). PEXPIRE is tried where it is needed."""
    expiry: list[tuple[bytes | str | int, ...]] = [("PEXPIRE", scratch_key, _SCRATCH_TTL_MS)] if expires else []
    work = [("DEL", scratch_key), ("HSET", scratch_key, "shardload", "probe"), *expiry]
    replies = connection.call_many([("MULTI",), *work, ("EXEC",)], errors=True)
    connection.call("DEL", scratch_key)
    refusal = next((reply for reply in replies if isinstance(reply, TargetError)), None)
    if refusal is None:
        return Choice(None, reason, whole=True)
    if isinstance(refusal, TargetBusy):
        raise refusal
    for words in expiry:
        connection.call(*words)
    return Choice(None, f"{reason}; no MULTI: {refusal.message}")


def _restores(connection: TargetConnection, scratch_key: bytes, payload: Payload) -> bool:
    """True if a hash that was RESTOREd with this payload reads as it should."""
    fields = [(b"shardload", b"probe"), (b"number", b"-12345"), (b"long", b"x" * 100), (b"empty", b"")]
    try:
        connection.send(restore_command(scratch_key, fields, payload, _SCRATCH_TTL_MS), 1)
        connection.confirm()
        flat = connection.call("HGETALL", scratch_key)
    finally:
        connection.call("DEL", scratch_key)
    return dict(zip(flat[::2], flat[1::2], strict=True)) == dict(fields)
