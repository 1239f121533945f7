"""Which Redis this is, and whether we may write to it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shardload.encoding import Payload, restore_command
from shardload.errors import TargetBusy, TargetError, TargetLost
from shardload.model.tasks import UNKNOWN_EPOCH
from shardload.target.connection import TargetConnection, Words
from shardload.target.refusals import shown

_SCRATCH_TTL_MS = 60_000  # gone by itself, should this process die before it removes it
_MOST_DIGITS = 20  # of a figure in INFO


@dataclass(frozen=True)
class TargetFacts:
    """`epoch` changes with every restart of the server process, and when it was another server's replica; UNKNOWN_EPOCH
    where INFO is not allowed, or tells nothing of it. `evicts` is the policy by which keys may vanish under memory
    pressure, if there is one. `keys` is how many the database has, None where the question is not allowed."""

    server: str
    epoch: int
    evicted_keys: int
    evicts: str = ""
    keys: int | None = None


def describe_server(connection: TargetConnection) -> TargetFacts:
    """What INFO and DBSIZE say, or stand-ins where the ACL forbids them. TargetBusy if they are refused for now,
    TargetLost if they are answered as no Redis does."""
    text, size = connection.call_many([("INFO",), ("DBSIZE",)], errors=True)
    for reply, kind in ((text, bytes), (size, int)):
        if isinstance(reply, TargetBusy):
            raise reply
        if not isinstance(reply, (TargetError, kind)):
            raise TargetLost("asking Redis: INFO and DBSIZE got an odd answer", "is this a Redis?")
    keys = size if isinstance(size, int) else None
    return facts_of(text.decode("utf-8", "replace") if isinstance(text, bytes) else "", keys)


def facts_of(info: str, keys: int | None) -> TargetFacts:
    """What the text of INFO says. What is missing, or makes no sense, is as if it had not been told."""
    facts = dict(line.split(":", 1) for line in info.split("\r\n") if ":" in line)
    name = "valkey" if "valkey_version" in facts else "redis"
    version = shown(facts.get(f"{name}_version", ""))
    policy = facts.get("maxmemory_policy", "noeviction")
    evicts = shown(policy) if _number(facts, "maxmemory") and policy != "noeviction" else ""
    return TargetFacts(f"{name} {version}".strip(), _epoch(facts), _number(facts, "evicted_keys"), evicts, keys)


def _epoch(facts: dict[str, str]) -> int:
    """A number for the server process (run_id) and the history of its data (master_replid).

    The latter is another one after the server was a replica, for it then has what its master had, and no more. It
    changes too when a first replica is attached: then the keys are loaded again without need.
    """
    ids = [facts[name] for name in ("run_id", "master_replid") if facts.get(name)]
    if not ids:
        return UNKNOWN_EPOCH
    return int.from_bytes(hashlib.sha256(" ".join(ids).encode()).digest()[:7], "little") + 1


def _number(facts: dict[str, str], name: str) -> int:
    told = facts.get(name, "")
    return int(told) if told.isascii() and told.isdigit() and len(told) < _MOST_DIGITS else 0


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
    if encoding == "commands":
        return _commands(connection, scratch_key, "as asked", expires=expires)
    refusal = "no payload was tried"
    for payload in layouts:
        try:
            if _restores(connection, scratch_key, payload):
                return Choice(payload, "a scratch key came back equal")
            refusal = "a scratch key came back different"
        except TargetLost:
            raise
        except TargetError as error:
            refusal = error.message
    if encoding == "restore":
        raise TargetError(f"Redis does not take RESTORE: {refusal}", "let --encoding auto choose, or grant it")
    return _commands(connection, scratch_key, f"RESTORE is not to be had: {refusal}", expires=expires)


def _commands(connection: TargetConnection, scratch_key: bytes, reason: str, *, expires: bool) -> Choice:
    """DEL and HSET, and PEXPIRE where it is needed: in a transaction, where that is to be had (a proxy or the ACL may
    refuse MULTI).

    The key is written and removed in one breath. Without MULTI it stays if the connection breaks between two commands,
    and then for good where PEXPIRE is not allowed.
    """
    expiry: list[Words] = [("PEXPIRE", scratch_key, _SCRATCH_TTL_MS)] if expires else []
    work: list[Words] = [("HSET", scratch_key, "shardload", "probe"), *expiry, ("DEL", scratch_key)]
    rights = [1] * len(work)
    replies = connection.call_many([("MULTI",), *work, ("EXEC",)], errors=True)
    refusal = next((reply for reply in replies if isinstance(reply, TargetError)), None)
    if refusal is None and replies == [b"OK", *[b"QUEUED"] * len(work), rights]:
        return Choice(None, reason, whole=True)
    if isinstance(refusal, TargetBusy):
        raise refusal
    if connection.call_many(work) != rights:
        raise TargetError("Redis answers HSET, PEXPIRE or DEL in an odd way", "is this a Redis?")
    return Choice(None, f"{reason}; no MULTI: {refusal.message if refusal else 'it is answered in an odd way'}")


def _restores(connection: TargetConnection, scratch_key: bytes, payload: Payload) -> bool:
    """True if a hash that was RESTOREd with this payload reads as it should."""
    fields = [(b"shardload", b"probe"), (b"number", b"-12345"), (b"long", b"x" * 100), (b"empty", b"")]
    answer = connection.call_ready(restore_command(scratch_key, fields, payload, _SCRATCH_TTL_MS), "RESTORE")
    try:
        return answer == b"OK" and hash_of(connection.call("HGETALL", scratch_key)) == dict(fields)
    finally:
        connection.call("DEL", scratch_key)


def hash_of(reply: Any) -> dict[bytes, bytes]:
    """The hash that HGETALL answered with. TargetLost if that is no hash."""
    if not isinstance(reply, list) or len(reply) % 2 or not all(isinstance(part, bytes) for part in reply):
        raise TargetLost("asking Redis: HGETALL was answered with what is no hash", "is this a Redis?")
    return dict(zip(reply[::2], reply[1::2], strict=True))
