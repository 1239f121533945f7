"""Writes keys only if nobody else has changed them meanwhile: WATCH and MULTI, then the commands, then EXEC.

In a cluster every key has a transaction of its own: one of several slots is refused there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shardload.encoding import slot_of
from shardload.errors import TargetBusy, TargetError, TargetLost
from shardload.target.connection import TargetConnection
from shardload.target.refusals import FOLLOWED, error_from_reply
from shardload.target.target import Target

_EXEC = b"*1\r\n$4\r\nEXEC\r\n"
_LATER = (*FOLLOWED, "EXECABORT", "BUSYKEY")  # another one was refused; or the key is there, and is to be kept


class Unwatchable(Exception):
    """The server, or this user's rights, do not allow it; the text says why."""


def connection_of(target: Target, key: bytes) -> TargetConnection:
    """The connection to the node that has this key."""
    return dict(target.masters())[0 if target.routes is None else target.routes[slot_of(key)]]


def watch(connection: TargetConnection, keys: Sequence[bytes]) -> bool:
    """Begin: from now on `write_if_same` writes only if none of these keys changes. Nothing may be in flight, and
    nothing else may be asked until `write_if_same`. False if a key is at another node; then nothing was begun.

    Unwatchable if it cannot be done, TargetLost or TargetBusy if not now.
    """
    *watching, multi = connection.call_many([*[("WATCH", key) for key in keys], ("MULTI",)], errors=True)
    refusals = [reply for reply in (multi, *watching) if isinstance(reply, TargetError)]
    if not refusals and multi == b"OK":
        return True
    if not isinstance(multi, TargetError):
        connection.call_many([("EXEC",)], errors=True)  # of nothing: it only ends what was begun
    for refusal in refusals:
        if refusal.word in FOLLOWED:
            return False
        if isinstance(refusal, (TargetBusy, TargetLost)):
            raise refusal
    raise Unwatchable(refusals[0].message if refusals else "MULTI was not answered with OK")


def write_if_same(connection: TargetConnection, commands: Sequence[bytes]) -> bool:
    """Send packed commands, without any MULTI and EXEC of their own, and end what `watch` began. True if they were
    carried out: none of the keys has changed. TargetError if one was refused."""
    *queued, done = connection.exchange(b"".join(commands) + _EXEC, ["a write"] * len(commands) + ["EXEC"])
    refusals = [_error_of(one) for one in [*queued, *(done if isinstance(done, list) else [done])]]
    for refusal in refusals:
        if refusal is not None and refusal.word not in _LATER:
            raise refusal
    return isinstance(done, list) and not any(refusals)


def why_unwatchable(target: Target, key: bytes) -> str:
    """Why keys such as this one cannot be watched, in words; empty if they can. TargetError as for `watch`."""
    for _, connection in target.masters():
        try:
            if watch(connection, [key]):
                write_if_same(connection, [])
        except Unwatchable as error:
            return str(error)
    return ""


def _error_of(reply: Any) -> TargetError | None:
    """The error that a reply is, if it is one; within the answer to EXEC they are as they came."""
    if isinstance(reply, Exception) and not isinstance(reply, TargetError):
        return error_from_reply("a write was refused", str(reply))
    return reply if isinstance(reply, TargetError) else None
