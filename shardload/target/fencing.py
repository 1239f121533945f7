"""Ends connections of others: of a machine that is lost, and may still have something on its way."""

from __future__ import annotations

from contextlib import suppress

from shardload.config.redisurl import TargetUrl
from shardload.errors import TargetError
from shardload.target.target import open_target

_ANSWER_WITHIN_S = 3.0


def end_connections(url: TargetUrl, prefix: str) -> int:
    """End the connections to every master whose name begins so; what they sent and Redis has not read is dropped. The
    result: how many. TargetError if a server does not answer, or if this user may not."""
    target = open_target(url, _ANSWER_WITHIN_S, name="shardload:fence")
    ended = 0
    try:
        for _, connection in target.masters():
            for line in connection.call("CLIENT", "LIST").decode("utf-8", "replace").splitlines():
                facts = dict(word.split("=", 1) for word in line.split(" ") if "=" in word)
                if facts.get("name", "").startswith(prefix):
                    with suppress(TargetError):  # it has gone by itself
                        connection.call("CLIENT", "KILL", "ID", facts["id"])
                        ended += 1
    finally:
        target.close()
    return ended
