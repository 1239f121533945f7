"""A Redis Cluster as a target: a connection to every master, and keys by their slots.

A master refuses a key whose slot it does not have, or cannot write now. Just these keys are sent again: where the
refusal says (MOVED, ASK), or to the same node after a pause (TRYAGAIN, CLUSTERDOWN, LOADING). A lost connection, or a
refusal that lasts, ends the connection to the whole cluster: the worker's ranges are then loaded again.
"""

from __future__ import annotations

import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import hiredis

from shardload.config.addresses import Address, parse_address
from shardload.config.redisurl import TargetUrl
from shardload.encoding import Form, Part, make_routes
from shardload.errors import TargetBusy, TargetError, TargetMoved
from shardload.model import backoff
from shardload.model.nodes import NodeFacts, epoch_of
from shardload.target.asking import Ages
from shardload.target.connection import MOST_ANSWER_BYTES, ONE_OK, TargetConnection, Words
from shardload.target.node import Node, Request, check_written, request_for
from shardload.target.probe import TargetFacts, describe_server, join_facts
from shardload.target.replies import Kept
from shardload.target.topology import Topology, ask_topology

_QUICK_HOPS = 3  # from node to node, without a pause
_FOLLOW_FOR_S = 5.0  # a refusal that lasts longer is told to the coordinator, which waits with patience
_UNKNOWN = 1 << 62  # more reply lines than can be outstanding


class Cluster:
    """One process's connections to a cluster. `routes` are the nodes' numbers by slot; a number never changes its node.

    `epoch` is that of the masters as they were connected to.
    """

    def __init__(
        self, url: TargetUrl, timeout_s: float, form: Form = ONE_OK, *, name: str = "", known: Sequence[Address] = ()
    ) -> None:
        """Connect to every master. `known` are addresses that are tried beside the URL's, and that are numbered first.

        TargetLost if one cannot be reached, TargetBusy if a slot has no master, TargetDenied if the cluster refuses the
        login or has no such database.
        """
        self._url = url
        self._timeout_s = timeout_s
        self._form = form
        self._name = name
        self._addresses = list(known)
        self._nodes: list[Node | None] = [None] * len(self._addresses)  # None: not connected
        self._topology = Topology(())
        self._kept: dict[int, deque[list[int]]] = {}  # by the node's number; see `Node`
        self._has_refused = False  # keys that were refused and are not written yet
        self.failed_node = 0
        self.routes: array[int] = make_routes([])
        self.epoch = 0
        try:
            self._refresh([])
        except BaseException:
            self.close()
            raise

    def send(self, parts: Iterable[Part]) -> None:
        """Send parts, each to its node. TargetLost if a connection breaks."""
        for number, several in _by_node(parts).items():
            self._node(number).send(several)

    def confirm(self, leave: Mapping[int, int], on_wait: Callable[[], None] = lambda: None) -> None:
        """Read replies until at most so many lines are outstanding at each node; none at a node that is not named. Keys
        that were refused for a reason that can be followed are written elsewhere, or later, before this returns.

        Errors as for `TargetConnection.confirm`; then `unconfirmed` says what they leave open, and `failed_node` whose
        error it was.
        """
        requests: list[Request] = []
        try:
            for number, node in enumerate(self._nodes):
                if node is not None:
                    requests += self._confirm_node(number, leave.get(number, 0), on_wait)
            for request in self._follow(requests, on_wait):
                check_written(request)
        except TargetError:
            self._has_refused = bool(requests) or any(node.connection.has_refused for node in self._nodes if node)
            raise

    def take_kept(self, node: int) -> Kept:
        """See `Target.take_kept`."""
        keys, lookups = self._kept[node].popleft()
        return keys, lookups

    def unconfirmed(self, error: TargetError) -> dict[int, int]:
        """How many reply lines at each node have not confirmed a key; `error` was raised last."""
        if self._has_refused:  # their replies count as answered
            return dict.fromkeys(range(len(self._addresses)), _UNKNOWN)
        left = {number: node.connection.outstanding_replies for number, node in enumerate(self._nodes) if node}
        left[self.failed_node] = left.get(self.failed_node, 0) + error.is_reply
        return left

    def ask(self, parts: Iterable[Part], ages: Ages) -> None:
        """See `Target.ask`."""
        for number, several in _by_node(parts).items():
            self.failed_node = number
            self._node(number).asker.ask(several, ages)

    def answers(self, leave: int, on_wait: Callable[[], None]) -> list[bytes]:
        """See `Target.answers`."""
        differing = []
        for number, node in enumerate(self._nodes):
            if node is not None:
                self.failed_node = number
                differing += node.asker.answers(leave, on_wait)
        return differing

    def is_open(self) -> bool:
        """False if a node has closed its connection. Ask only while nothing is in flight."""
        return all(node.connection.is_open() for node in self._nodes if node is not None)

    def describe(self, known: Sequence[NodeFacts] = ()) -> TargetFacts:
        """Ask every master what it is now; also those of the `known` nodes that have no slots any more, if they answer.

        Nothing may be in flight. TargetError if a master does not answer.
        """
        found = [
            describe_server(connection, str(self._addresses[number]), self._topology.slots_of(self._addresses[number]))
            for number, connection in self.masters()
        ]
        facts = join_facts(found, replicas=len(self._topology.replicas))
        there = {node.run_id for node in facts.nodes} | {node.replid2 for node in facts.nodes}
        gone = [one for one in known if not {one.run_id, one.replid} & there]
        give_up_s = time.monotonic() + self._timeout_s
        emptied = [node for one in gone if time.monotonic() < give_up_s for node in self._emptied(one)]
        return replace(facts, nodes=(*facts.nodes, *emptied))

    def _emptied(self, node: NodeFacts) -> list[NodeFacts]:
        """What a node without slots is now; empty if it does not answer: it may be gone."""
        try:
            connection = TargetConnection(self._url.at(parse_address(node.address)), self._timeout_s)
        except (TargetError, ValueError):
            return []
        try:
            return list(describe_server(connection, node.address, ()).nodes)
        except TargetError:
            return []
        finally:
            connection.close()

    @property
    def addresses(self) -> Sequence[Address]:
        """The nodes' addresses, by their numbers."""
        return self._addresses

    def masters(self) -> list[tuple[int, TargetConnection]]:
        """The number of each master that has slots, and the connection to it."""
        numbers = [self._addresses.index(address) for address in self._topology.masters]
        return [(number, self._node(number).connection) for number in numbers]

    def call_keys(
        self, commands: Sequence[Words], *, errors: bool = False, most_bytes: int = MOST_ANSWER_BYTES
    ) -> list[Any]:
        """Send commands whose second word is their key. Gives their replies, in order, as `call_many` does."""
        requests = [request_for([hiredis.pack_command(words)]) for words in commands]  # type: ignore[arg-type]
        self._follow(requests, lambda: None, most_bytes)
        replies = [request.replies[0] for request in requests]
        if not errors:
            for reply in replies:
                if isinstance(reply, TargetError):
                    raise reply
        return replies

    def close(self) -> None:
        """Close every connection. What is in flight is lost."""
        for node in self._nodes:
            if node is not None:
                node.close()
        self._nodes = [None] * len(self._nodes)

    def _node(self, number: int) -> Node:
        if number >= len(self._nodes) or (node := self._nodes[number]) is None:
            node = self._connect(number)
        return node

    def _connect(self, number: int) -> Node:
        address = self._addresses[number]
        self.failed_node = number
        connection = TargetConnection(self._url.at(address), self._timeout_s, self._form, follows=True, name=self._name)
        try:
            facts = describe_server(connection, str(address), self._topology.slots_of(address))
        except BaseException:
            connection.close()
            raise
        kept = self._kept.setdefault(number, deque())
        node = self._nodes[number] = Node(address, connection, facts, self._form, kept)
        return node

    def _number_of(self, address: Address) -> int:
        if address not in self._addresses:
            self._addresses.append(address)
            self._nodes.append(None)
        return self._addresses.index(address)

    def _refresh(self, first: Sequence[Address]) -> None:
        """Ask for the topology, at these addresses first, and connect to every master."""
        others = [*self._url.addresses, *self._addresses]
        topology = ask_topology(self._url, [*first, *self._topology.masters, *others], self._timeout_s)
        self._topology = topology
        self.routes = make_routes((low, high, self._number_of(address)) for low, high, address in topology.owners)
        nodes = [self._node(self._number_of(address)) for address in topology.masters]
        self.epoch = epoch_of(fact for node in nodes for fact in node.facts.nodes)
        for number, node in enumerate(self._nodes):
            if node is not None and node not in nodes and not node.connection.outstanding_replies:
                node.close()
                self._nodes[number] = None

    def _confirm_node(self, number: int, leave: int, on_wait: Callable[[], None]) -> list[Request]:
        self.failed_node = number
        return self._node(number).confirm(leave, on_wait)

    def _follow(
        self, requests: Sequence[Request], on_wait: Callable[[], None], most_bytes: int = MOST_ANSWER_BYTES
    ) -> list[Request]:
        """Send requests, and again where refusals lead to, until each has its replies. Other errors are left in them.
        The result: all that were sent, which includes keys of batches in flight that were refused meanwhile.

        TargetBusy if a key is refused for too long.
        """
        done: list[Request] = []
        left = list(requests)
        give_up_s = time.monotonic() + _FOLLOW_FOR_S
        hops = 0
        while left:
            errors = [request.error for request in left if request.error is not None]
            if errors:
                hops += 1
                if time.monotonic() > give_up_s:
                    raise _too_long(errors[0])
                if hops > _QUICK_HOPS or any(not isinstance(error, TargetMoved) for error in errors):
                    _pause(hops, on_wait)
                if not all(isinstance(error, TargetMoved) and error.asks for error in errors):
                    self._refresh(self._hints(errors))
            refused = self._ask_once(left, on_wait, most_bytes)
            done += [request for request in left if request.error is None]
            left = refused
        return done

    def _ask_once(self, requests: list[Request], on_wait: Callable[[], None], most_bytes: int) -> list[Request]:
        """Send each request to its node. The result: those that were refused again, and keys of batches that were in
        flight there, which were refused meanwhile."""
        left: list[Request] = []
        by_node: dict[int, list[Request]] = {}
        for request in requests:
            by_node.setdefault(self._number_for(request), []).append(request)
        for number, several in by_node.items():
            left += self._confirm_node(number, 0, on_wait)
            left += self._node(number).ask(several, most_bytes)
        return left

    def _number_for(self, request: Request) -> int:
        if isinstance(request.error, TargetMoved) and request.error.asks:
            return self._number_of(self._named(request.error))
        return self.routes[request.slot]

    def _hints(self, errors: Sequence[TargetError]) -> list[Address]:
        """The addresses that refusals name: their nodes know the newest topology."""
        return [self._named(error) for error in errors[:1] if isinstance(error, TargetMoved)]

    def _named(self, error: TargetMoved) -> Address:
        """The address in a refusal. Without a host it is the host of the node that sent it."""
        host = error.host or self._addresses[self.routes[error.slot]].host
        return Address(host, error.port)


def _by_node(parts: Iterable[Part]) -> dict[int, list[Part]]:
    by_node: dict[int, list[Part]] = {}
    for part in parts:
        by_node.setdefault(part.node, []).append(part)
    return by_node


def _pause(pauses: int, on_wait: Callable[[], None]) -> None:
    on_wait()
    time.sleep(min(0.5, backoff.delay_s(pauses, 0.5)))


def _too_long(error: TargetError) -> TargetError:
    if not isinstance(error, TargetMoved):
        return error
    return TargetBusy(
        f"the cluster's nodes do not agree who has slot {error.slot}: {error.message}",
        "see CLUSTER SLOTS on each node; redis-cli --cluster fix repairs it",
    )
