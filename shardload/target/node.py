"""One node of a cluster: a connection to it, and what is in flight on it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from shardload.config.addresses import Address
from shardload.encoding import Form, Part, slot_of
from shardload.errors import TargetBusy, TargetDenied, TargetError, TargetLost, TargetMoved
from shardload.target.asking import Asker
from shardload.target.commands import ASKING, split_keys, words_of
from shardload.target.connection import MOST_ANSWER_BYTES, TargetConnection
from shardload.target.parts import send_parts
from shardload.target.probe import TargetFacts
from shardload.target.refusals import FOLLOWED, NO_REDIS

_MOST_AGAIN_BYTES = 1 << 20  # of keys that are sent again in one pipeline


@dataclass
class Request:
    """The commands of one key that are sent by themselves: where to, and what was answered."""

    commands: list[bytes]
    slot: int
    error: TargetError | None = None
    """The last refusal; None if there was none."""
    replies: list[Any] = field(default_factory=list)
    kept: list[int] | None = None
    """Where to count it, at `place`, if the key was there before and left alone; None if no key may be left alone."""
    place: int = 0

    @property
    def asks(self) -> bool:
        """True if the next node has to be told that it was asked for (ASKING)."""
        return isinstance(self.error, TargetMoved) and self.error.asks

    def packed(self) -> tuple[bytes, list[str]]:
        """The bytes to send, and the first word of each command in them."""
        if not self.asks:
            return b"".join(self.commands), [_name(command) for command in self.commands]
        if self.commands[0].startswith(b"*1\r\n$5\r\nMULTI"):  # it holds for the whole transaction
            return ASKING + b"".join(self.commands), ["ASKING", *[_name(command) for command in self.commands]]
        return (
            b"".join(ASKING + command for command in self.commands),
            [name for command in self.commands for name in ("ASKING", _name(command))],
        )


def request_for(commands: list[bytes], error: TargetError | None = None) -> Request:
    """A request for a key's packed commands; the key is the second word of the first command that has one."""
    words = next(words for command in commands if len(words := words_of(command)) > 1)
    return Request(commands, slot_of(words[1]), error)


class Node:
    """A node of a cluster. `facts` are what it told when it was connected to; TargetError if that fails.

    `kept` gets an entry for each batch that is confirmed, if the job keeps keys: how many rows' own keys, and how many
    lookups, were there before. It is the cluster's, which may close the connection before somebody asks.
    """

    def __init__(
        self,
        address: Address,
        connection: TargetConnection,
        facts: TargetFacts,
        form: Form,
        kept: deque[list[int]] | None = None,
    ) -> None:
        self.address = address
        self.connection = connection
        self.asker = Asker(connection)
        self.facts = facts
        self._form = form
        self._sent: deque[tuple[list[Part], list[int]]] = deque()  # and what was kept of each: rows' own keys, lookups
        self._kept = deque[list[int]]() if kept is None else kept
        self._done = 0  # of the batches that were sent, how many are not in `_sent` any more

    def send(self, parts: list[Part]) -> None:
        """Send parts as one batch, and keep their commands until they are confirmed. TargetLost if the connection
        breaks."""
        self._sent.append((send_parts(self.connection, parts), [0, 0]))

    def confirm(self, leave: int, on_wait: Callable[[], None]) -> list[Request]:
        """Read replies until at most `leave` lines are outstanding. The result: the keys that the node did not write,
        to be sent again. TargetError as for `TargetConnection.confirm`."""
        self.connection.confirm(leave, on_wait)
        requests = []
        for batch, refused in groupby(self.connection.take_refused(), key=lambda one: one.batch):
            parts, kept = self._sent[batch - self._done]
            own, lookups = (b"".join(p.commands for p in parts if p.is_lookup is which) for which in (False, True))
            keys = split_keys(own, self._form.commands_per_key)
            more = split_keys(lookups, 1)
            for one in refused:
                is_lookup = one.key >= len(keys)
                request = request_for(more[one.key - len(keys)] if is_lookup else keys[one.key], one.error)
                request.kept, request.place = kept if self._form.keeps else None, int(is_lookup)
                requests.append(request)
        while self._done < self.connection.batches_done:
            _, kept = self._sent.popleft()
            self._done += 1
            if self._form.keeps:
                for place, count in enumerate(self.connection.take_kept()):
                    kept[place] += count
                self._kept.append(kept)
        return requests

    def ask(self, requests: list[Request], most_bytes: int = MOST_ANSWER_BYTES) -> list[Request]:
        """Send requests, and read their replies; nothing may be in flight. The result: those that were refused again.

        TargetError for another error, unless it answers a read (see `Cluster.call_keys`).
        """
        refused = []
        while requests:
            now, size = [], 0
            while requests and size < _MOST_AGAIN_BYTES:
                now.append(requests[0])
                size += sum(map(len, requests.pop(0).commands))
            packed = [request.packed() for request in now]
            names = [name for _, several in packed for name in several]
            replies = self.connection.exchange(b"".join(data for data, _ in packed), names, most_bytes)
            for request, (_, several) in zip(now, packed, strict=True):
                mine, replies = replies[: len(several)], replies[len(several) :]
                request.replies = [reply for reply, name in zip(mine, several, strict=True) if name != "ASKING"]
                for reply in mine:
                    if isinstance(reply, TargetDenied) and not isinstance(reply, TargetMoved):
                        raise reply  # ASKING, too, needs a right
                request.error = _followed(request.replies)
                if request.error is not None:
                    refused.append(request)
        return refused

    def close(self) -> None:
        """Close the connection; what is in flight is lost."""
        self._sent.clear()
        self.connection.close()


def check_written(request: Request) -> None:
    """TargetError if the replies to a key's writing commands do not say that it was written, or kept, which is counted.

    TargetBusy for an error that is about this key: which range it belongs to is not known here. The next try asks the
    right node, and is to blame.
    """
    last = request.replies[-1]
    if request.kept is not None and (last is None or (isinstance(last, TargetError) and last.word == "BUSYKEY")):
        request.kept[request.place] += 1
        return
    for reply in request.replies:
        if isinstance(reply, (TargetLost, TargetDenied)):
            raise reply
        if isinstance(reply, TargetError):
            raise TargetBusy(reply.message, reply.hint)
    results = last if isinstance(last, list) else [last]
    if not all(result == b"OK" or type(result) is int for result in results):
        raise TargetLost("a node of the cluster answered a write with something else", NO_REDIS)


def _followed(replies: list[Any]) -> TargetError | None:
    """The first error among the replies that another node, or a later try, may not have."""
    errors = [reply for reply in replies if isinstance(reply, TargetError) and reply.word != "EXECABORT"]
    return errors[0] if errors and errors[0].word in FOLLOWED else None


def _name(command: bytes) -> str:
    return command.split(b"\r\n", 3)[2].decode()
