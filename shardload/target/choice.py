"""Try how keys can be written: a scratch key is written, read, compared and removed, on every node."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from shardload.encoding import Expiry, Form, Payload, Shape, json_set_commands, restore_command, set_command, slot_of
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


@dataclass(frozen=True)
class Needs:
    """What the keys of a job will have to be: what a row becomes; whether keys expire, and at `dated` times; whether
    keys that exist are kept; whether there are lookups beside them."""

    shape: Shape = Shape.HASH
    expires: bool = False
    dated: bool = False
    keeps: bool = False
    lookups: bool = False

    def scratch_expiry(self) -> Expiry:
        """The expiry of a scratch key."""
        now_ms = int(time.time() * 1000) if self.dated else 0
        return Expiry(now_ms + _SCRATCH_TTL_MS, self.dated)


def choose_for_target(
    target: Target,
    make_key: Callable[[], bytes],
    encoding: str,
    layouts: Sequence[Payload],
    needs: Needs = Needs(),
) -> Choice:
    """The fastest way to write that every node accepts. `make_key` makes a new scratch key; the rest, and what is
    raised, is as for `choose_payload`."""
    found = []
    for number, connection in target.masters():
        key = _key_on_node(target, number, make_key)
        if key is None:
            continue
        try:
            found.append(choose_payload(connection, key, encoding, layouts, needs))
        except TargetMoved as error:
            raise TargetBusy(error.message, _TRY_AGAIN) from error
    if not found:
        raise TargetBusy("no scratch key could be written", _TRY_AGAIN)
    payloads = {choice.payload for choice in found}
    if len(payloads) == 1:
        return next((choice for choice in found if not choice.whole), found[0])
    if None not in payloads:  # versions differ: every node has to accept the payload
        weakest = max(layouts.index(payload) for payload in payloads if payload is not None)
        return choose_for_target(target, make_key, encoding, layouts[weakest:], needs)
    reason = next(choice.reason for choice in found if choice.payload is None)
    return replace(choose_for_target(target, make_key, "commands", layouts, needs), reason=reason)


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
    needs: Needs = Needs(),
) -> Choice:
    """Find the fastest way to write that this server accepts. A scratch key is written, read, compared and removed.

    `encoding` is `auto`, `restore` or `commands`; `layouts` are the RESTORE payloads to try, the best first; both are
    about hashes. TargetError, TargetDenied or TargetBusy, with Redis's reason, if no allowed way works.
    """
    connection.call("DEL", scratch_key)
    if needs.lookups or needs.shape in (Shape.JSON, Shape.STRING):
        _try_set(connection, scratch_key, needs)
    if needs.shape in (Shape.JSON, Shape.STRING):
        return Choice(None, "one SET writes a key")
    if needs.shape is Shape.REDISJSON:
        return _documents(connection, scratch_key, needs)
    if encoding == "commands":
        return _commands(connection, scratch_key, "as asked", needs)
    refusal = "no payload was tried"
    for payload in layouts:
        try:
            if _restores(connection, scratch_key, payload, needs):
                return Choice(payload, "a scratch key came back equal")
            refusal = "a scratch key came back different"
        except (TargetLost, TargetMoved):
            raise
        except TargetError as error:
            refusal = error.message
    if encoding == "restore":
        hint = "use --encoding auto, or grant RESTORE in Redis's ACL"
        raise TargetError(f"Redis does not accept RESTORE: {refusal}", hint)
    return _commands(connection, scratch_key, f"RESTORE is unavailable: {refusal}", needs)


def _try_set(connection: TargetConnection, scratch_key: bytes, needs: Needs) -> None:
    """Write, read and remove a string. TargetError if that does not work."""
    value = b"probe"
    command = set_command(scratch_key, value, needs.scratch_expiry(), keeps=needs.keeps)
    try:
        answer = connection.call_packed(command, "SET")
    except TargetError as error:
        if needs.dated and "syntax error" in error.message:
            hint = "--ttl-column writes strings with SET ... PXAT, which Redis has since 6.2"
            raise TargetError(error.message, hint) from None
        raise
    if (answer, connection.call("GET", scratch_key)) != (b"OK", value):
        raise TargetError("Redis gives wrong answers to SET or GET", NO_REDIS)
    connection.call("DEL", scratch_key)


def _documents(connection: TargetConnection, scratch_key: bytes, needs: Needs) -> Choice:
    """Try JSON.SET, in a transaction. TargetError if there is no JSON module, or if MULTI is refused."""
    document = {"shardload": "probe", "number": 1}
    expiry = needs.scratch_expiry() if needs.expires else Expiry()
    form = Form(shape=Shape.REDISJSON, whole=True, keeps=needs.keeps, dated=needs.dated, ttl_ms=needs.expires)
    packed = json_set_commands(scratch_key, json.dumps(document).encode(), form, expiry)
    replies = connection.exchange(packed, ["JSON.SET"] * form.commands_per_key)
    refusal = next((reply for reply in replies if isinstance(reply, TargetError)), None)
    if refusal is not None:
        if isinstance(refusal, (TargetBusy, TargetLost, TargetMoved)):
            raise refusal
        raise TargetError(
            f"--as redisjson: {refusal.message}", "use --as json (a string), or a Redis with the JSON module"
        )
    there = connection.call("JSON.GET", scratch_key)
    connection.call("DEL", scratch_key)
    if not isinstance(there, bytes) or json.loads(there) != document:
        raise TargetError("Redis gives wrong answers to JSON.SET or JSON.GET", NO_REDIS)
    return Choice(None, "a scratch key came back equal", whole=not needs.keeps)


def _commands(connection: TargetConnection, scratch_key: bytes, reason: str, needs: Needs) -> Choice:
    """Try HSET, PEXPIRE (if keys expire) and DEL: in a transaction, or without one if MULTI is refused.

    A proxy or the ACL may refuse MULTI. Without it the scratch key stays in Redis if the connection breaks before DEL;
    it then expires only if PEXPIRE was sent. TargetError if keys are to be kept: only RESTORE does that with hashes.
    """
    if needs.keeps:
        raise TargetError(
            f"--on-conflict keep: a hash is written by RESTORE alone ({reason})",
            "grant RESTORE in Redis's ACL and use --encoding auto, or write strings: --as json",
        )
    expiry: list[Words] = [("PEXPIRE", scratch_key, _SCRATCH_TTL_MS)] if needs.expires else []
    if needs.dated:
        expiry = [("PEXPIREAT", scratch_key, needs.scratch_expiry().ms), ("PERSIST", scratch_key)]
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


def _restores(connection: TargetConnection, scratch_key: bytes, payload: Payload, needs: Needs) -> bool:
    """True if a hash written by RESTORE with this payload has the right fields when it is read."""
    fields = [(b"shardload", b"probe"), (b"number", b"-12345"), (b"long", b"x" * 100), (b"empty", b"")]
    command = restore_command(scratch_key, fields, payload, needs.scratch_expiry(), keeps=needs.keeps)
    answer = connection.call_packed(command, "RESTORE")
    try:
        return answer == b"OK" and parse_hash(connection.call("HGETALL", scratch_key)) == dict(fields)
    finally:
        connection.call("DEL", scratch_key)


def parse_hash(reply: Any) -> dict[bytes, bytes]:
    """HGETALL's reply as a dict of fields and values. TargetLost if the reply is not a hash."""
    if not isinstance(reply, list) or len(reply) % 2 or not all(isinstance(part, bytes) for part in reply):
        raise TargetLost("asking Redis: the answer to HGETALL is not a hash", NO_REDIS)
    return dict(zip(reply[::2], reply[1::2], strict=True))
