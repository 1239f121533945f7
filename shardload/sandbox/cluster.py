"""A Redis Cluster of private servers, formed and changed by Redis's own commands: for tests and benchmarks.

It knows the cluster only by what the nodes that are up say of themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from shardload.config.urls import TargetUrl, parse_redis
from shardload.errors import ShardloadError, TargetBusy, TargetError, TargetLost
from shardload.process import is_stopped
from shardload.sandbox.servers import LOOPBACK, RedisServer, wait_for
from shardload.target import TargetConnection

SLOTS = 16_384
_MIGRATE_TIMEOUT_MS = 10_000
_QUICK = (
    "--cluster-enabled", "yes", "--cluster-node-timeout", "1000",
    "--repl-diskless-sync-delay", "0",  # a replica's first copy does not wait for more replicas
    "--cluster-replica-validity-factor", "0",  # a replica that was stopped for long may be promoted too
)  # fmt: skip


@dataclass(frozen=True)
class _Known:
    """A line of CLUSTER NODES: what one node knows of another, or of itself."""

    id: str
    flags: frozenset[str]
    master: str
    slots: frozenset[int]

    @classmethod
    def parse(cls, line: str) -> _Known:
        id_, _, flags, master, _, _, _, _, *ranges = line.split()
        slots: set[int] = set()
        for text in ranges:
            if not text.startswith("["):  # a slot that migrates
                low, _, high = text.partition("-")
                slots |= set(range(int(low), int(high or low) + 1))
        return cls(id_, frozenset(flags.split(",")), master, frozenset(slots))


class ClusterNode(RedisServer):
    """One server of a cluster."""

    id = ""

    def start(self) -> ClusterNode:
        """Start it, for the first time or again: then it has its place in the cluster, but no data."""
        super().start()
        self.id = self.call("CLUSTER", "MYID").decode()
        return self

    @property
    def can_answer(self) -> bool:
        """False if it is not running, or if a signal has stopped it."""
        return self.is_running and not is_stopped(self.pid)

    def known(self) -> list[_Known]:
        """What it knows of each node."""
        return [_Known.parse(line) for line in self.call("CLUSTER", "NODES").decode().splitlines()]

    def itself(self) -> _Known:
        """What it says of itself."""
        return next(known for known in self.known() if "myself" in known.flags)


class RedisCluster:
    """So many masters with equal shares of the slots, and `replicas` for each. `options` as for RedisServer; `hosts`
    are the addresses that nodes get in turn."""

    def __init__(
        self,
        directory: Path,
        masters: int = 3,
        replicas: int = 0,
        options: Sequence[str] = (),
        *,
        hosts: Sequence[str] = (LOOPBACK,),
    ) -> None:
        self._hosts = hosts
        self.directory = directory
        directory.mkdir(mode=0o700, exist_ok=True)
        self._options = (*_QUICK, *options)
        self._masters, self._replicas = masters, replicas
        self._made = 0
        self.nodes: list[ClusterNode] = []

    def __enter__(self) -> RedisCluster:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> TargetUrl:
        """The cluster, with every node's address."""
        return parse_redis(f"redis+cluster://{','.join(f'{node.host}:{node.port}' for node in self.nodes)}")

    def start(self) -> RedisCluster:
        """Start the nodes, make them a cluster, and wait until it serves every slot and every replica has its copy."""
        try:
            nodes = [self._new_node() for _ in range(self._masters * (1 + self._replicas))]
            masters, replicas = nodes[: self._masters], nodes[self._masters :]
            for number, master in enumerate(masters):
                master.call("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
                low, high = (SLOTS * each // len(masters) for each in (number, number + 1))
                master.call("CLUSTER", "ADDSLOTS", *range(low, high))
            self._introduce(nodes)
            for number, replica in enumerate(replicas):
                replica.call("CLUSTER", "REPLICATE", masters[number % len(masters)].id)
            self.wait_until_ok()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Kill every node: none has anything to save."""
        for node in self.nodes:
            node.stop(kill=True)

    # ---- what is where

    def masters(self) -> list[ClusterNode]:
        """The nodes that are up and masters, also those without slots."""
        return [node for node in self._up() if "master" in node.itself().flags]

    def replicas_of(self, master: ClusterNode) -> list[ClusterNode]:
        """The nodes that are up and follow this one, which may have died."""
        return [node for node in self._up() if node.itself().master == master.id]

    def node_of(self, slot: int) -> ClusterNode:
        """The master that has this slot and is up. LookupError if there is none."""
        for node in self.masters():
            if slot in node.itself().slots:
                return node
        raise LookupError(f"no node has slot {slot}")

    def slots_of(self, node: ClusterNode) -> list[int]:
        """Its slots, in order."""
        return sorted(node.itself().slots)

    def wait_until_ok(self) -> None:
        """Until the nodes that are up agree, have all slots, and each replica that is up has its copy.

        A master that has just died, which nobody has noticed yet, is not up.
        """
        wait_for(self._is_ok, "the nodes of the cluster agree and serve every slot")

    # ---- changes

    def add_node(self) -> ClusterNode:
        """A new master without slots, which every other node knows."""
        node = self._new_node()
        node.call("CLUSTER", "SET-CONFIG-EPOCH", self._made + 1)
        self._introduce(self._up())
        self.wait_until_ok()
        return node

    def move_slots(
        self,
        source: ClusterNode,
        target: ClusterNode,
        slots: Iterable[int],
        keys_per_step: int = 100,
        on_step: Callable[[], None] = lambda: None,
    ) -> None:
        """Move slots with their keys while the cluster is in use, as `redis-cli --cluster reshard` does.

        A master that gives its last slot becomes a replica of the target, and so do its replicas (Redis 7).
        `on_step` is called after each step, while the slot is open: some keys are here and some are there.
        """
        with ExitStack() as stack:
            connections = {}
            for node in (target, source, *self.masters()):
                if node.id not in connections:
                    connections[node.id] = TargetConnection(node.url)
                    stack.callback(connections[node.id].close)
            for slot in slots:
                connections[target.id].call("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
                connections[source.id].call("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)
                while keys := connections[source.id].call("CLUSTER", "GETKEYSINSLOT", slot, keys_per_step):
                    where = ("127.0.0.1", target.port, "", 0, _MIGRATE_TIMEOUT_MS)
                    connections[source.id].call("MIGRATE", *where, "KEYS", *keys)
                    on_step()
                for connection in connections.values():  # the target first: it must never be nobody's
                    _give(connection, slot, target.id)

    def remove_node(self, node: ClusterNode) -> None:
        """Take out a node that has no slots and that nobody follows. ShardloadError if it has."""
        if node.itself().slots:
            raise ShardloadError(f"the node of port {node.port} has slots", "move them to another node first")
        wait_for(lambda: not self.replicas_of(node), "its replicas follow another node")
        self.nodes.remove(node)
        for other in self._up():
            other.call("CLUSTER", "FORGET", node.id)
        node.stop(kill=True)
        self.wait_until_ok()

    def failover(self, replica: ClusterNode) -> None:
        """Let this replica take its master's place, in order: nothing is lost. Wait until all know."""
        replica.call("CLUSTER", "FAILOVER")
        wait_for(lambda: "master" in replica.itself().flags, "the replica is a master")
        self.wait_until_ok()

    # ---- within

    def _new_node(self) -> ClusterNode:
        host = self._hosts[self._made % len(self._hosts)]
        node = ClusterNode(
            self.directory / f"node{self._made}", (*self._options, "--cluster-announce-ip", host), host=host
        )
        self._made += 1
        self.nodes.append(node)
        return node.start()

    def _introduce(self, nodes: Sequence[ClusterNode]) -> None:
        """Let each node know each other one: gossip alone would take longer."""
        for number, node in enumerate(nodes):
            for other in nodes[:number]:
                node.call("CLUSTER", "MEET", other.host, other.port)
        ids = {node.id for node in nodes}
        wait_for(lambda: all(ids <= _settled(node) for node in nodes), "every node knows every other one")

    def _up(self) -> list[ClusterNode]:
        return [node for node in self.nodes if node.can_answer]

    def _is_ok(self) -> bool:
        try:
            nodes = self._up()
            return (
                all(b"cluster_state:ok" in node.call("CLUSTER", "INFO") for node in nodes)
                and len({_map(node) for node in nodes}) == 1
                and sum(len(node.itself().slots) for node in nodes) == SLOTS
                and all(self._has_its_replicas(node) for node in nodes)
            )
        except (TargetLost, TargetBusy):  # dead since, or still loading
            return False

    def _has_its_replicas(self, node: ClusterNode) -> bool:
        """True for a replica that has its master's data, and for a master that feeds each of its replicas."""
        told = node.info("replication")
        if told["role"] == "slave":
            return told["master_link_status"] == "up"
        fed = [value for name, value in told.items() if name.startswith("slave") and "state=online" in value]
        return len(fed) == len(self.replicas_of(node))


def _give(connection: TargetConnection, slot: int, id_: str) -> None:
    """Tell a node who has the slot now. A source that has given its last one may be the target's replica already."""
    try:
        connection.call("CLUSTER", "SETSLOT", slot, "NODE", id_)
    except TargetError as error:
        if "only with masters" not in error.message:
            raise


def _settled(node: ClusterNode) -> set[str]:
    """Ids of the nodes with which this one has got acquainted."""
    return {known.id for known in node.known() if not known.flags & {"handshake", "noaddr"}}


def _map(node: ClusterNode) -> frozenset[tuple[str, str, frozenset[int]]]:
    """Whom this node takes for a member, whom each of them follows, and which slots it has."""
    return frozenset((known.id, known.master, known.slots) for known in node.known())
