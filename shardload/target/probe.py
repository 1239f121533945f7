"""Ask a Redis what it is, and try how keys can be written to it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shardload.encoding import Payload, restore_command
from shardload.errors import TargetBusy, TargetError, TargetLost
from shardload.model.tasks import UNKNOWN_EPOCH
from shardload.target.connection import TargetConnection, Words
from shardload.target.refusals import NO_REDIS, excerpt

_SCRATCH_TTL_MS = 60_000  # it expires if this process dies before it removes the key
_MOST_DIGITS = 20  # of a number in INFO


@dataclass(frozen=True)
class TargetFacts:
    """What a Redis says about itself. A fact that it does not tell has the value for "unknown"."""

    server: str
    """Name and version, such as `redis 7.0.15`."""
    epoch: int
    """Changes when the server process restarts, or when it has been a replica; UNKNOWN_EPOCH if not told."""
    evicted_keys: int
    """Keys removed because memory ran out, since the server started; 0 if not told."""
    evicts: str = ""
    """The policy by which Redis removes keys when memory runs out; empty if it removes none, or if not told."""
    keys: int | None = None
    """Keys in the database; None if not told."""


def describe_server(connection: TargetConnection) -> TargetFacts:
    """Ask with INFO and DBSIZE; if the ACL forbids one, its facts are unknown. TargetBusy if Redis cannot answer now,
    TargetLost if the answer is not one that a Redis gives."""
    text, size = connection.call_many([("INFO",), ("DBSIZE",)], errors=True)
    for reply, kind in ((text, bytes), (size, int)):
        if isinstance(reply, TargetBusy):
            raise reply
        if not isinstance(reply, (TargetError, kind)):
            raise TargetLost("asking Redis: INFO or DBSIZE got an answer of the wrong type", NO_REDIS)
    keys = size if isinstance(size, int) else None
    return parse_info(text.decode("utf-8", "replace") if isinstance(text, bytes) else "", keys)


def parse_info(info: str, keys: int | None) -> TargetFacts:
    """Read the facts from INFO's text. A fact that is missing or malformed counts as not told."""
    facts = dict(line.split(":", 1) for line in info.split("\r\n") if ":" in line)
    name = "valkey" if "valkey_version" in facts else "redis"
    version = excerpt(facts.get(f"{name}_version", ""))
    policy = facts.get("maxmemory_policy", "noeviction")
    evicts = excerpt(policy) if _number(facts, "maxmemory") and policy != "noeviction" else ""
    return TargetFacts(f"{name} {version}".strip(), _epoch(facts), _number(facts, "evicted_keys"), evicts, keys)


def _epoch(facts: dict[str, str]) -> int:
    """A number made of the server process's id (run_id) and its data's replication id (master_replid).

    master_replid changes when the server becomes a replica, because its data are then replaced by its master's. It also
    changes when the first replica connects; then keys are loaded again although they are still there.
    """
    ids = [facts[name] for name in ("run_id", "master_replid") if facts.get(name)]
    if not ids:
        return UNKNOWN_EPOCH
    return int.from_bytes(hashlib.sha256(" ".join(ids).encode()).digest()[:7], "little") + 1


def _number(facts: dict[str, str], name: str) -> int:
    text = facts.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < _MOST_DIGITS else 0


@dataclass(frozen=True)
class Choice:
    """How keys will be written."""

    payload: Payload | None
    """RESTORE's payload; None for DEL, HSET and PEXPIRE."""
    reason: str
    """Why this way, in words."""
    whole: bool = False
    """True if the commands of a key go into one transaction."""


def choose_payload(
    connection: TargetConnection,
    scratch_key: bytes,
    encoding: str,
    layouts: Sequence[Payload],
    *,
    expires: bool = False,
) -> Choice:
    """Find the fastest way to write that this server accepts. A scratch key is written, read, compared and removed.

    `encoding` is `auto`, `restore` or `commands`; `layouts` are the RESTORE payloads to try, the best first; `expires`
    is true if the keys will have a TTL. TargetError, TargetDenied or TargetBusy, with Redis's reason, if no allowed way
    works.
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
        hint = "use --encoding auto, or grant RESTORE in Redis's ACL"
        raise TargetError(f"Redis does not accept RESTORE: {refusal}", hint)
    return _commands(connection, scratch_key, f"RESTORE is unavailable: {refusal}", expires=expires)


def _commands(connection: TargetConnection, scratch_key: bytes, reason: str, *, expires: bool) -> Choice:
    """Try HSET, PEXPIRE (if keys expire) and DEL: in a transaction, or without one if MULTI is refused.

    A proxy or the ACL may refuse MULTI. Without it the scratch key stays in Redis if the connection breaks before DEL;
    it then expires only if PEXPIRE was sent.
    """
    expiry: list[Words] = [("PEXPIRE", scratch_key, _SCRATCH_TTL_MS)] if expires else []
    work: list[Words] = [("HSET", scratch_key, "shardload", "probe"), *expiry, ("DEL", scratch_key)]
    expected = [1] * len(work)
    replies = connection.call_many([("MULTI",), *work, ("EXEC",)], errors=True)
    refusal = next((reply for reply in replies if isinstance(reply, TargetError)), None)
    if refusal is None and replies == [b"OK", *[b"QUEUED"] * len(work), expected]:
        return Choice(None, reason, whole=True)
    if isinstance(refusal, TargetBusy):
        raise refusal
    if connection.call_many(work) != expected:
        raise TargetError("Redis gives wrong answers to HSET, PEXPIRE or DEL", NO_REDIS)
    return Choice(None, f"{reason}; no MULTI: {refusal.message if refusal else 'its answer is wrong'}")


def _restores(connection: TargetConnection, scratch_key: bytes, payload: Payload) -> bool:
    """True if a hash written by RESTORE with this payload has the right fields when it is read."""
    fields = [(b"shardload", b"probe"), (b"number", b"-12345"), (b"long", b"x" * 100), (b"empty", b"")]
    answer = connection.call_packed(restore_command(scratch_key, fields, payload, _SCRATCH_TTL_MS), "RESTORE")
    try:
        return answer == b"OK" and parse_hash(connection.call("HGETALL", scratch_key)) == dict(fields)
    finally:
        connection.call("DEL", scratch_key)


def parse_hash(reply: Any) -> dict[bytes, bytes]:
    """HGETALL's reply as a dict of fields and values. TargetLost if the reply is not a hash."""
    if not isinstance(reply, list) or len(reply) % 2 or not all(isinstance(part, bytes) for part in reply):
        raise TargetLost("asking Redis: the answer to HGETALL is not a hash", NO_REDIS)
    return dict(zip(reply[::2], reply[1::2], strict=True))
