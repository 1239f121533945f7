"""A connection to Redis that counts: commands go out as ready bytes, and every reply is accounted for.

redis-py connects, authenticates and selects the database; after that this module uses its socket (the private
attribute `_sock`, held by a test), so that no Python object is made for a command.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, cast

import hiredis
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from shardload.errors import TargetBusy, TargetDenied, TargetError, TargetLost, Translation
from shardload.urls import TargetUrl

CONNECT_TIMEOUT_S = 10
IO_TIMEOUT_S = 60
RECEIVE_BYTES = 64 * 1024
_SHORTEST_REPLY_BYTES = 4  # ":0" and a line end
_MOST_AT_ONCE_BYTES = 16 * 1024
_LINE_END, _MINUS = b"\n", b"-"

# Replies that mean "not now": the same command will be accepted later.
_PATIENCE = ("LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "OOM", "BUSY", "MISCONF", "NOREPLICAS")
_REACH = "check that Redis runs and that host and port in --redis are right"
_HINTS = {
    "NOAUTH": "give user and password in --redis",
    "WRONGPASS": "check user and password in --redis",
    "NOPERM": "give this Redis user the right to the command and the key (ACL SETUSER)",
    "OOM": "raise maxmemory, or choose an evicting maxmemory-policy",
    "READONLY": "this is a replica: name the primary in --redis",
    "LOADING": "Redis is reading its data from disk: try again when it is done",
    "MOVED": "this is a node of a Redis Cluster, which is not supported yet: name a Redis that has all keys",
}
_HINTS["ASK"] = _HINTS["CROSSSLOT"] = _HINTS["MOVED"]


class TargetConnection:
    """One socket to Redis. `send` and `confirm` are a pair: no reply is left unread, none is read twice."""

    def __init__(
        self, url: TargetUrl, patience_s: float = IO_TIMEOUT_S, shortest_reply_bytes: int = _SHORTEST_REPLY_BYTES
    ) -> None:
        """Connect. No wait for Redis is longer than `patience_s`. TargetLost if it cannot be reached, TargetError if it
        refuses. No line of the replies to what is sent is shorter than `shortest_reply_bytes`."""
        connection = redis.Connection(
            host=url.host,
            port=url.port,
            db=int(url.database),
            username=url.user or None,
            password=url.password,
            socket_connect_timeout=min(CONNECT_TIMEOUT_S, patience_s),
            socket_timeout=min(CONNECT_TIMEOUT_S, patience_s),  # a Redis that hangs accepts, but does not greet
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        with _translated(f"cannot connect to {url}"):
            connection.connect()
        self._connection = connection
        self._socket = cast(socket.socket, cast(Any, connection)._sock)
        self._socket.settimeout(patience_s)
        self._reader = hiredis.Reader()
        self._wakes_at = 1
        self._shortest_reply_bytes = shortest_reply_bytes
        self._parses = False  # from the first error on
        self._unfinished = b""  # of a reply whose line end is still to come
        self.outstanding_replies = 0

    def send(self, commands: bytes | memoryview, replies: int) -> None:
        """Send ready commands that Redis will answer with so many lines. TargetLost if it cannot be done."""
        with _WRITING:
            self._socket.sendall(commands)
        self.outstanding_replies += replies

    def confirm(self, leave: int = 0, alive: Callable[[], None] = lambda: None) -> None:
        """Read replies until only `leave` are outstanding, or fewer. `alive` is called before each wait for some.

        The replies to DEL, HSET, PEXPIRE and RESTORE are one line each, those to a transaction a known number of lines,
        all without a minus unless they are errors: while all is well line ends are counted, and nothing is parsed.

        TargetBusy, TargetError for the first reply that is an error (it is no longer outstanding); TargetLost if Redis
        goes away. If replies are outstanding after it, the connection cannot be used again.
        """
        while self.outstanding_replies > leave and not self._parses:
            alive()
            self._wake_at((self.outstanding_replies - leave) * self._shortest_reply_bytes - len(self._unfinished))
            data = self._receive()
            if _MINUS in data:
                self._parses = True
                self._reader.feed(self._unfinished + data)
            else:
                self.outstanding_replies -= data.count(_LINE_END)
                end = data.rfind(_LINE_END) + 1
                self._unfinished = data[end:] if end else self._unfinished + data
        while self.outstanding_replies > leave:
            reply = self._take_reply("writing to Redis")
            self.outstanding_replies -= len(reply) if isinstance(reply, list) else 0  # a transaction's: a line each
        if self.outstanding_replies < 0:
            raise TargetError("Redis sent more replies than it got commands", "is this a Redis?")

    def call(self, *words: bytes | str | int) -> Any:
        """One command and its reply, as bytes, int, list or None. TargetError if the reply is an error."""
        return self.call_many([words])[0]

    def call_many(self, commands: list[tuple[bytes | str | int, ...]], *, errors: bool = False) -> list[Any]:
        """Several commands in one pipeline, and their replies in order.

        An error reply raises TargetError, or with `errors` stands in the result as a `TargetError`.
        """
        packed = b"".join(b"".join(self._connection.pack_command(*words)) for words in commands)
        self.send(packed, len(commands))
        replies: list[Any] = []
        while self.outstanding_replies:
            try:
                replies.append(self._take_reply(f"{commands[len(replies)][0]!s} was refused"))
            except TargetLost as error:
                if not isinstance(error, TargetBusy) or not errors:
                    raise
                replies.append(error)
            except TargetError as error:
                if not errors:
                    raise
                replies.append(error)
        return replies

    def close(self) -> None:
        """Let go of the socket, whatever its state."""
        self._connection.disconnect()

    def _take_reply(self, operation: str) -> Any:
        """The next reply, parsed; TargetError or TargetBusy if it is an error."""
        while (reply := self._reader.gets()) is False:
            self._wake_at(1)
            self._reader.feed(self._receive())
        self.outstanding_replies -= 1
        for part in reply if isinstance(reply, list) else [reply]:  # a list: what a transaction's commands gave
            if isinstance(part, hiredis.ReplyError):
                raise _error(operation, str(part))
        return reply

    def _wake_at(self, count_bytes: int) -> None:
        """Do not wake this process for fewer bytes: Redis answers a hundred commands at a time, and each waking costs
        more than counting them (SO_RCVLOWAT, socket(7); never more than what is sure to come: of a reply that has come
        in part, the rest)."""
        wanted = max(1, min(count_bytes, _MOST_AT_ONCE_BYTES))
        if wanted != self._wakes_at:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, wanted)
            self._wakes_at = wanted

    def _receive(self) -> bytes:
        with _READING:
            data = self._socket.recv(RECEIVE_BYTES)
            if not data:
                raise ConnectionError("Redis closed the connection")
            return data


class _translated(Translation):  # noqa: N801 - a context manager, named as contextlib's are
    """Errors of redis-py and of the socket, as errors of ours that begin with `operation`."""

    def raise_ours(self, error: BaseException) -> None:
        """The error of ours, if it is one of theirs."""
        if isinstance(error, (redis.exceptions.AuthenticationError, redis.exceptions.AuthorizationError)):
            raise TargetDenied(f"{self.operation}: {error}", _HINTS["WRONGPASS"]) from error
        if isinstance(error, redis.exceptions.BusyLoadingError):
            raise TargetBusy(f"{self.operation}: {error}", _HINTS["LOADING"]) from error
        if isinstance(error, (OSError, redis.exceptions.ConnectionError, redis.exceptions.TimeoutError)):
            raise TargetLost(f"{self.operation}: {error or type(error).__name__}", _REACH) from error
        if isinstance(error, (redis.exceptions.RedisError, hiredis.HiredisError)):
            raise TargetError(f"{self.operation}: {error}") from error


_WRITING, _READING = _translated("writing to Redis"), _translated("reading Redis's replies")


def _error(operation: str, reply: str) -> TargetError:
    word = reply.partition(" ")[0]
    denied = word in ("NOAUTH", "WRONGPASS", "MOVED", "ASK", "CROSSSLOT") or (
        word == "NOPERM" and "permissions to access" not in reply
    )  # a key is a row's affair
    kind = TargetBusy if word in _PATIENCE else TargetDenied if denied else TargetError
    return kind(f"{operation}: {reply}", _HINTS.get(word, ""))
