"""The target, whatever is behind its URL: one Redis, a master that Sentinels know, or a cluster."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from shardload.config.addresses import Address
from shardload.config.redisurl import TargetUrl
from shardload.encoding import Form, Part
from shardload.errors import TargetBusy, TargetError
from shardload.model.nodes import NodeFacts
from shardload.target.asking import Ages
from shardload.target.cluster import Cluster
from shardload.target.connection import IO_TIMEOUT_S, MOST_ANSWER_BYTES, ONE_OK, TargetConnection, Words
from shardload.target.probe import TargetFacts, describe_server
from shardload.target.replies import Kept
from shardload.target.sentinel import find_master
from shardload.target.standalone import Standalone


class Target(Protocol):
    """One process's connections to the target. It is connected when it is made, and of no more use after an error."""

    @property
    def routes(self) -> array[int] | None:
        """Each slot's node, for the encoder; None if there is one node. They may change with every call."""
        ...

    @property
    def addresses(self) -> Sequence[Address]:
        """The addresses of a cluster's nodes, by their numbers."""
        ...

    @property
    def epoch(self) -> int:
        """Stands for the servers that the connections lead to, and their data."""
        ...

    @property
    def failed_node(self) -> int:
        """The node that the last error came from."""
        ...

    def send(self, parts: Iterable[Part], /) -> None:
        """Send parts, each to its node, where they are one batch. TargetLost if a connection breaks."""
        ...

    def confirm(self, leave: Mapping[int, int], on_wait: Callable[[], None], /) -> None:
        """Read replies until at most so many lines are outstanding at each node; none at a node that is not named.

        TargetError, TargetBusy, TargetDenied or TargetLost if something was not written; see `unconfirmed`.
        """
        ...

    def take_kept(self, node: int, /) -> Kept:
        """Of the oldest batch that this node has confirmed, and that was not asked for yet: how many keys were there
        before and left alone. Only for a form that keeps keys."""
        ...

    def ask(self, parts: Iterable[Part], ages: Ages, /) -> None:
        """Send the questions of parts (a form that reads), each to its node, where they are one batch. Nothing else may
        be in flight. TargetLost if a connection breaks."""
        ...

    def answers(self, leave: int, on_wait: Callable[[], None], /) -> list[bytes]:
        """Read answers until at most `leave` batches are outstanding at each node. The result: the keys that answered
        otherwise than right ones, which may still be right (`questions.py`). TargetLost if a connection breaks."""
        ...

    def unconfirmed(self, error: TargetError, /) -> dict[int, int]:
        """After an error: how many reply lines of each node have not confirmed a key."""
        ...

    def is_open(self) -> bool:
        """False if a server has closed its connection. Ask only while nothing is in flight."""
        ...

    def describe(self, known: Sequence[NodeFacts] = ()) -> TargetFacts:
        """Ask what the target is now; also those of the `known` nodes of a cluster that have no keys any more.

        Nothing may be in flight. TargetError if a server does not answer.
        """
        ...

    def masters(self) -> list[tuple[int, TargetConnection]]:
        """The number of each node that has keys, and the connection to it."""
        ...

    def call_keys(
        self, commands: Sequence[Words], *, errors: bool = False, most_bytes: int = MOST_ANSWER_BYTES
    ) -> list[Any]:
        """Send commands whose second word is their key. Gives their replies, in order, as `call_many` does."""
        ...

    def close(self) -> None:
        """Close every connection. What is in flight is lost."""
        ...


def open_target(
    url: TargetUrl,
    timeout_s: float = IO_TIMEOUT_S,
    form: Form = ONE_OK,
    *,
    name: str = "",
    known: Sequence[Address] = (),
) -> Target:
    """Connect to the target. A cluster is found out even if the URL names one of its nodes as a single server.

    `timeout_s` limits each wait for a server, `form` is that of the keys to be sent, `name` is told to the servers. If
    the target is known to be a cluster, `known` are its nodes, which are numbered like this.
    TargetLost if a server cannot be reached, TargetBusy if it cannot work now, TargetDenied if it refuses the login.
    """
    if url.kind == "cluster" or known:
        return Cluster(url, timeout_s, form, name=name, known=known)
    there = find_master(url, timeout_s) if url.kind == "sentinel" else url
    connection = TargetConnection(there, timeout_s, form, name=name)
    try:
        facts = describe_server(connection, str(there.addresses[0]))
        if facts.is_clustered:
            connection.close()
            return Cluster(replace(url, kind="cluster"), timeout_s, form, name=name)
        if url.kind == "sentinel" and not facts.nodes[0].is_master:
            raise TargetBusy(f"Sentinel names {there}, which is not a master now", "wait for the failover to end")
        return Standalone(connection, facts, url.kind)
    except BaseException:
        connection.close()
        raise
