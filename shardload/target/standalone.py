"""One Redis as a target: the case of one node."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from shardload.config.addresses import Address
from shardload.config.redisurl import Kind
from shardload.encoding import Part
from shardload.errors import TargetError
from shardload.model.nodes import NodeFacts
from shardload.target.asking import Ages, Asker
from shardload.target.connection import MOST_ANSWER_BYTES, TargetConnection, Words
from shardload.target.parts import send_parts
from shardload.target.probe import TargetFacts, describe_server
from shardload.target.replies import Kept


class Standalone:
    """One process's connection to a Redis. `routes` is None, because there is one node. See `Target`."""

    routes: array[int] | None = None
    addresses: Sequence[Address] = ()
    failed_node = 0

    def __init__(self, connection: TargetConnection, facts: TargetFacts, kind: Kind) -> None:
        self._connection = connection
        self._asker = Asker(connection)
        self._kind = kind
        self._address = facts.nodes[0].address
        self.epoch = facts.epoch

    def send(self, parts: Iterable[Part]) -> None:
        """Send parts as one batch. TargetLost if the connection breaks."""
        if several := list(parts):
            send_parts(self._connection, several)

    def confirm(self, leave: Mapping[int, int], on_wait: Callable[[], None] = lambda: None) -> None:
        """Read replies until at most `leave[0]` lines are outstanding. Errors as for `TargetConnection.confirm`."""
        self._connection.confirm(leave.get(0, 0), on_wait)

    def take_kept(self, node: int) -> Kept:  # noqa: ARG002 - there is one
        """See `Target.take_kept`."""
        return self._connection.take_kept()

    def unconfirmed(self, error: TargetError) -> dict[int, int]:
        """How many reply lines have not confirmed a key; `error` was raised last."""
        return {0: self._connection.outstanding_replies + error.is_reply}

    def ask(self, parts: Iterable[Part], ages: Ages) -> None:
        """See `Target.ask`."""
        if several := list(parts):
            self._asker.ask(several, ages)

    def answers(self, leave: int, on_wait: Callable[[], None]) -> list[bytes]:
        """See `Target.answers`."""
        return self._asker.answers(leave, on_wait)

    def is_open(self) -> bool:
        """False if Redis has closed the connection. Ask only while nothing is in flight."""
        return self._connection.is_open()

    def describe(self, known: Sequence[NodeFacts] = ()) -> TargetFacts:  # noqa: ARG002 - one server stays one
        """Ask what the server is now. Nothing may be in flight. TargetError if it does not answer."""
        return replace(describe_server(self._connection, self._address), kind=self._kind)

    def masters(self) -> list[tuple[int, TargetConnection]]:
        """The only node's number, and the connection to it."""
        return [(0, self._connection)]

    def call_keys(
        self, commands: Sequence[Words], *, errors: bool = False, most_bytes: int = MOST_ANSWER_BYTES
    ) -> list[Any]:
        """Send commands whose second word is their key. Gives their replies, in order, as `call_many` does."""
        return self._connection.call_many(commands, errors=errors, most_bytes=most_bytes)

    def close(self) -> None:
        """Close the connection. What is in flight is lost."""
        self._connection.close()
