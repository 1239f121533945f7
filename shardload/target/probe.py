"""Which Redis this is, and whether we may write to it."""

from __future__ import annotations

from dataclasses import dataclass

from shardload.errors import TargetError, TargetLost
from shardload.target.connection import TargetConnection

UNKNOWN_LIFE = 0


@dataclass(frozen=True)
class TargetFacts:
    """`life` changes with every restart of the server process; UNKNOWN_LIFE where INFO is not allowed."""

    server: str
    life: int
    evicted_keys: int


def describe_server(connection: TargetConnection) -> TargetFacts:
    """What INFO says, or a stand-in where the ACL forbids INFO."""
    try:
        text = connection.call("INFO")
    except TargetLost:
        raise
    except TargetError:
        return TargetFacts("redis", UNKNOWN_LIFE, 0)
    facts = dict(line.split(":", 1) for line in text.decode("utf-8", "replace").split("\r\n") if ":" in line)
    name, version = ("valkey", facts.get("valkey_version")) if "valkey_version" in facts else (
        "redis", facts.get("redis_version"))  # fmt: skip
    return TargetFacts(f"{name} {version}", int(facts.get("run_id", "0")[:15], 16), int(facts.get("evicted_keys", 0)))


def check_writable(connection: TargetConnection, scratch_key: bytes) -> None:
    """Write and remove a scratch key. TargetError or TargetBusy with Redis's reason if that is refused."""
    connection.call("HSET", scratch_key, "shardload", "probe")
    connection.call("DEL", scratch_key)
