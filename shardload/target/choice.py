"""Try how keys can be written: a scratch key is written, read, compared and removed, on every node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from shardload.encoding import Payload, restore_command, slot_of
from shardload.errors import TargetBusy, TargetError, TargetLost, TargetMoved
from shardload.target.connection import TargetConnection, Words
from shardload.target.refusals import NO_REDIS
from shardload.target.target import Target

_SCRATCH_TTL_MS = 60_000  # it expires if this process dies before it removes the key
_TRY_AGAIN = "the cluster's slots are moving: try again"
_MOST_TRIES = 20_000  # for a scratch key on one node: a node may have a single slot of 16384


@dataclass(frozen=True)
class Choice:
    """How keys will be written."""

    payload: Payload | None
    """RESTORE's payload; None for DEL, HSET and PEXPIRE."""
    reason: str
    """Why this way, in words."""
    whole: bool = False
    """True if the commands of a key go into one transaction."""


def choose_for_target(
    target: Target, make_key: Callable[[], bytes], encoding: str, layouts: Sequence[Payload], *, expires: bool = False
) -> Choice:
    """The fastest way to write that every node accepts. `make_key` makes a new scratch key; the rest, and what is
    raised, is as for `choose_payload`."""
    found = []
    for number, connection in target.masters():
        key = _key_on_node(target, number, make_key)
        if key is None:
            continue
        try:
            found.append(choose_payload(connection, key, encoding, layouts, expires=expires))
        except TargetMoved as error:
            raise TargetBusy(error.message, _TRY_AGAIN) from error
    if not found:
        raise TargetBusy("no scratch key could be written", _TRY_AGAIN)
    payloads = {choice.payload for choice in found}
    if len(payloads) == 1:
        return next((choice for choice in found if not choice.whole), found[0])
    if None not in payloads:  # versions differ: every node has to accept the payload
        weakest = max(layouts.index(payload) for payload in payloads if payload is not None)
        return choose_for_target(target, make_key, encoding, layouts[weakest:], expires=expires)
    reason = next(choice.reason for choice in found if choice.payload is None)
    return replace(choose_for_target(target, make_key, "commands", layouts, expires=expires), reason=reason)


def _key_on_node(target: Target, number: int, make_key: Callable[[], bytes]) -> bytes | None:
    """A scratch key that this node has. None if it can have none: the template may put all keys elsewhere."""
    for _ in range(_MOST_TRIES):
        key = make_key()
        if target.routes is None or target.routes[slot_of(key)] == number:
            return key
    return None


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
        except (TargetLost, TargetMoved):
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
