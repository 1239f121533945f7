"""Ask a Redis what it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from shardload.config.addresses import Address, parse_address
from shardload.config.redisurl import Kind
from shardload.errors import TargetBusy, TargetError, TargetLost
from shardload.model.memory import Family
from shardload.model.nodes import ALL_SLOTS, NodeFacts, epoch_of
from shardload.model.projection import NodeMemory
from shardload.model.wording import counted
from shardload.target.connection import TargetConnection, Words
from shardload.target.refusals import NO_REDIS, excerpt

_MOST_DIGITS = 20  # of a number in INFO


@dataclass(frozen=True)
class TargetFacts:
    """What a target says about itself. A fact that it does not tell has the value for "unknown"."""

    server: str
    """Name and version, such as `redis 7.0.15`."""
    epoch: int
    """Stands for the server processes and their data (see `epoch_of`); UNKNOWN_EPOCH if not told."""
    evicted_keys: int
    """Keys removed because memory ran out, since the server started; 0 if not told."""
    evicts: str = ""
    """The policy by which Redis removes keys when memory runs out; empty if it removes none, or if not told."""
    keys: int | None = None
    """Keys in the database; None if not told."""
    nodes: tuple[NodeFacts, ...] = ()
    """Each server that is written to."""
    kind: Kind = "standalone"
    is_clustered: bool = False
    """True if the server is a node of a cluster."""
    replicas: int = 0
    """How many replicas there are, in all."""
    tls: str = ""
    """The version of TLS; empty without TLS."""

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> TargetFacts:
        """From what `dataclasses.asdict` and JSON make of it."""
        return cls(**{**told, "nodes": tuple(NodeFacts.from_json(node) for node in told["nodes"])})

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Those of a cluster's masters."""
        return tuple(parse_address(node.address) for node in self.nodes) if self.kind == "cluster" else ()

    @property
    def described(self) -> str:
        """The target in words, such as `redis 7.0.15, cluster of 3 masters and 3 replicas, TLSv1.3`."""
        replicas = f" and {counted(self.replicas, 'replica')}" if self.replicas else ""
        roles = {
            "standalone": f"a master{replicas}" if replicas else "",
            "sentinel": f"a master{replicas}, found by Sentinel",
            "cluster": f"cluster of {counted(len(self.nodes), 'master')}{replicas}",
        }
        return ", ".join(part for part in (self.server, roles[self.kind], self.tls) if part)


def describe_server(
    connection: TargetConnection, address: str = "", slots: tuple[tuple[int, int], ...] = ALL_SLOTS
) -> TargetFacts:
    """Ask one server with INFO and DBSIZE; if the ACL forbids one, its facts are unknown.

    `address` and `slots` are what is known of it. TargetBusy if Redis cannot answer now, TargetLost if the answer is
    not one that a Redis gives.
    """
    text, size = connection.call_many([("INFO",), ("DBSIZE",)], errors=True)
    for reply, kind in ((text, bytes), (size, int)):
        if isinstance(reply, TargetBusy):
            raise reply
        if not isinstance(reply, (TargetError, kind)):
            raise TargetLost("asking Redis: INFO or DBSIZE got an answer of the wrong type", NO_REDIS)
    keys = size if isinstance(size, int) else None
    facts = parse_info(text.decode("utf-8", "replace") if isinstance(text, bytes) else "", keys)
    nodes = tuple(replace(node, address=address, slots=slots) for node in facts.nodes)
    return replace(facts, nodes=nodes, tls=connection.tls_version)


def parse_info(info: str, keys: int | None) -> TargetFacts:
    """Read the facts from INFO's text. A fact that is missing or malformed counts as not told."""
    facts = _facts(info)
    name = "valkey" if "valkey_version" in facts else "redis"
    version = excerpt(facts.get(f"{name}_version", ""))
    policy = facts.get("maxmemory_policy", "noeviction")
    node = NodeFacts(
        address="",
        run_id=excerpt(facts.get("run_id", "")),
        replid=excerpt(facts.get("master_replid", "")),
        offset=_number(facts, "master_repl_offset"),
        replid2=excerpt(facts.get("master_replid2", "")),
        second_offset=_number(facts, "second_repl_offset"),
        is_master=facts.get("role", "master") == "master",
        replicas=_number(facts, "connected_slaves"),
    )
    return TargetFacts(
        server=f"{name} {version}".strip(),
        epoch=epoch_of([node]),
        evicted_keys=_number(facts, "evicted_keys"),
        evicts=excerpt(policy) if _number(facts, "maxmemory") and policy != "noeviction" else "",
        keys=keys,
        nodes=(node,),
        is_clustered=facts.get("cluster_enabled") == "1",
        replicas=node.replicas,
    )


@dataclass(frozen=True)
class Upkeep:
    """What a server does beside its work: saves, and a log of all writes. `save` is None where CONFIG may not be
    asked."""

    save: str | None = None
    is_saving: bool = False
    aof: bool = False
    is_rewriting: bool = False
    last_fork_us: int = 0


def ask_memory(
    connection: TargetConnection, address: str = "", slots: int = 0, database: str = "0", *, asks_config: bool = False
) -> tuple[NodeMemory, Upkeep] | None:
    """What one server says about its memory and its saves; `slots` is how many it has in a cluster. None if this user
    may not ask. With `asks_config` CONFIG is asked, too. TargetLost if the connection breaks."""
    commands: list[Words] = [("INFO",), ("CONFIG", "GET", "save")]
    text, save, *_ = [*connection.call_many(commands[: 1 + asks_config], errors=True), None]
    for reply in (text, save):
        if isinstance(reply, TargetLost):
            raise reply
    if not isinstance(text, bytes):
        return None
    info = text.decode("utf-8", "replace")
    points = save[1] if isinstance(save, list) and len(save) == 2 and isinstance(save[1], bytes) else None
    return parse_memory(info, address, slots, database), parse_upkeep(
        info, None if points is None else excerpt(points.decode("utf-8", "replace"))
    )


def parse_memory(info: str, address: str = "", slots: int = 0, database: str = "0") -> NodeMemory:
    """Read what INFO's text says about memory. Without `maxmemory` the machine's memory is the limit, if it is told."""
    facts = _facts(info)
    most, machine = _number(facts, "maxmemory"), _number(facts, "total_system_memory")
    counts = dict(part.split("=", 1) for part in facts.get(f"db{database}", "").split(",") if "=" in part)
    is_valkey = "valkey_version" in facts
    version = _version(facts.get("valkey_version" if is_valkey else "redis_version", ""))
    is_divided = facts.get("cluster_enabled") == "1" and version >= ((8, 0) if is_valkey else (7, 4))
    return NodeMemory(
        address=address,
        used_bytes=_number(facts, "used_memory") - (_number(facts, "mem_not_counted_for_evict") if most else 0),
        limit_bytes=most or machine or None,
        limit="maxmemory" if most else "the machine's memory" if machine else "",
        policy=excerpt(facts.get("maxmemory_policy", "noeviction")),
        keys=_number(counts, "keys"),
        expiring_keys=_number(counts, "expires"),
        family=Family.BUCKETS if is_valkey and version >= (8, 1) else Family.CLASSIC,
        tables=max(1, slots) if is_divided else 1,
    )


def parse_upkeep(info: str, save: str | None) -> Upkeep:
    """Read what INFO's text says about saves; `save` is what CONFIG says, None if it may not be asked."""
    facts = _facts(info)
    return Upkeep(
        save=save,
        is_saving=facts.get("rdb_bgsave_in_progress") == "1",
        aof=facts.get("aof_enabled") == "1",
        is_rewriting=facts.get("aof_rewrite_in_progress") == "1",
        last_fork_us=_number(facts, "latest_fork_usec"),
    )


def parse_evicted(info: str) -> int:
    """How many keys the server has evicted since it started, by INFO's text."""
    return _number(_facts(info), "evicted_keys")


def used_memory(info: object) -> int | None:
    """`used_memory` in an answer to INFO; None if it is not told."""
    return _number(_facts(info.decode("utf-8", "replace")), "used_memory") or None if isinstance(info, bytes) else None


def _facts(info: str) -> dict[str, str]:
    return dict(line.split(":", 1) for line in info.split("\r\n") if ":" in line)


def _version(text: str) -> tuple[int, int]:
    major, _, rest = text.partition(".")
    minor = rest.partition(".")[0]
    return (int(major), int(minor)) if major.isdecimal() and minor.isdecimal() else (0, 0)


def join_facts(found: Sequence[TargetFacts], *, replicas: int) -> TargetFacts:
    """The facts of a cluster, from those of its masters (at least one)."""
    nodes = tuple(node for facts in found for node in facts.nodes)
    sizes = [facts.keys for facts in found if facts.keys is not None]
    return TargetFacts(
        server=" and ".join(dict.fromkeys(facts.server for facts in found)),
        epoch=epoch_of(nodes),
        evicted_keys=sum(facts.evicted_keys for facts in found),
        evicts=next((facts.evicts for facts in found if facts.evicts), ""),
        keys=sum(sizes) if len(sizes) == len(found) else None,
        nodes=nodes,
        kind="cluster",
        is_clustered=True,
        replicas=replicas,
        tls=found[0].tls,
    )


def _number(facts: dict[str, str], name: str) -> int:
    text = facts.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < _MOST_DIGITS else 0
