"""A cluster's topology: which node has which slots. It is asked with CLUSTER SLOTS, which every version knows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shardload.config.addresses import Address
from shardload.config.redisurl import TargetUrl
from shardload.encoding import SLOTS
from shardload.errors import TargetBusy, TargetDenied, TargetError, TargetLost
from shardload.target.connection import IO_TIMEOUT_S, TargetConnection
from shardload.target.refusals import NO_REDIS

_ANSWER_WITHIN_S = 5.0  # of a node that is one of several to ask
_LONGEST_S = 30.0  # of all of them
_MEND = "see CLUSTER NODES there; bring the missing nodes back, or give their slots to others"


@dataclass(frozen=True)
class Topology:
    """Who has which slots, as one node sees it: (first slot, last slot, address of the master), and the replicas."""

    owners: tuple[tuple[int, int, Address], ...]
    replicas: tuple[Address, ...] = ()

    @property
    def masters(self) -> list[Address]:
        """The masters that have slots, in the order of their first slot."""
        return list(dict.fromkeys(address for _, _, address in self.owners))

    @property
    def slots_covered(self) -> int:
        """How many slots have a master."""
        return sum(last - first + 1 for first, last, _ in self.owners)

    def slots_of(self, address: Address) -> tuple[tuple[int, int], ...]:
        """The slots of one master, as (first, last)."""
        return tuple((first, last) for first, last, owner in self.owners if owner == address)


def ask_topology(url: TargetUrl, addresses: Sequence[Address], timeout_s: float = IO_TIMEOUT_S) -> Topology:
    """Ask the nodes at these addresses, one after the other, until one is part of a cluster that works and knows a
    master for every slot. One that is cut off from the others says itself that its cluster has failed.

    TargetBusy if there are slots without a master, TargetLost if no node answers, TargetDenied if those that answer
    refuse.
    """
    troubles: list[TargetError] = []
    give_up_s = time.monotonic() + _LONGEST_S
    for address in dict.fromkeys(addresses):
        if time.monotonic() > give_up_s:
            break
        try:
            topology = _ask(url, address, min(timeout_s, _ANSWER_WITHIN_S))
        except TargetError as error:
            troubles.append(error)
            continue
        if topology.slots_covered == SLOTS:
            return topology
        lacking = SLOTS - topology.slots_covered
        troubles.append(
            TargetBusy(f"the cluster of {address} has no master for {lacking:,} of its {SLOTS:,} slots", _MEND)
        )
    raise _worst(troubles)


def _worst(troubles: Sequence[TargetError]) -> TargetError:
    """What to tell of several nodes: that the cluster cannot work now, that one cannot be reached, or a refusal."""
    for kind in (TargetBusy, TargetLost, TargetDenied):
        for error in troubles:
            if isinstance(error, kind):
                return error
    if troubles:
        return TargetDenied(troubles[0].message, troubles[0].hint or NO_REDIS)
    return TargetLost("no node of the cluster is known", NO_REDIS)


def _ask(url: TargetUrl, address: Address, timeout_s: float) -> Topology:
    connection = TargetConnection(url.at(address), timeout_s)
    try:
        slots, info = connection.call_many([("CLUSTER", "SLOTS"), ("CLUSTER", "INFO")], errors=True)
    finally:
        connection.close()
    if isinstance(slots, TargetError):
        raise slots
    if isinstance(info, bytes) and b"cluster_state:fail" in info:
        raise TargetBusy(f"{address} says that its cluster has failed", _MEND)
    return parse_slots(slots, address)


def parse_slots(reply: Any, asked: Address) -> Topology:
    """Read the reply to CLUSTER SLOTS. A node that does not know its own host means the one that was asked.

    TargetLost if it is not such a reply.
    """
    owners, replicas = [], []
    try:
        for first, last, master, *others in reply:
            if not 0 <= int(first) <= int(last) < SLOTS:
                raise ValueError
            owners.append((int(first), int(last), _address(master, asked)))
            replicas += [_address(other, asked) for other in others]
    except (TypeError, ValueError, IndexError, AttributeError):
        raise TargetLost("the answer to CLUSTER SLOTS cannot be understood", NO_REDIS) from None
    return Topology(tuple(sorted(owners, key=lambda one: one[0])), tuple(dict.fromkeys(replicas)))


def _address(node: Any, asked: Address) -> Address:
    host = node[0].decode() if node[0] else ""
    return Address(host if host not in ("", "?") else asked.host, int(node[1]) or asked.port)
