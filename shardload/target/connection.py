"""A connection to Redis that counts: commands go out as ready bytes, and every reply is accounted for.

No Python object is made for a command, and none for a reply to one that writes (`replies`). hiredis parses what is
asked for by `call`.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, cast

import hiredis

from shardload.config.urls import TargetUrl
from shardload.encoding import Form, Payload
from shardload.errors import TargetBusy, TargetDenied, TargetError, TargetLost, Translation
from shardload.target.refusals import refusal, shown
from shardload.target.replies import WRITING, Replies

CONNECT_TIMEOUT_S = 10
IO_TIMEOUT_S = 60
RECEIVE_BYTES = 64 * 1024
MOST_ANSWER_BYTES = 4 * 1024 * 1024  # to a call; INFO has some KB
_MOST_AT_ONCE_BYTES = 16 * 1024
_REACH = "check that Redis runs and that host and port in --redis are right"
_NO_REDIS = "is this a Redis? check host and port in --redis"
_LOGIN = "check user, password and database in --redis"
_ASKING = "asking Redis"
_NOTHING_YET = object()

_ONE_OK = Form(Payload.PLAIN)

Words = tuple[bytes | str | int, ...]


class TargetConnection:
    """One socket to Redis. `send` and `confirm` are a pair: no reply is left unread, none is read twice."""

    def __init__(self, url: TargetUrl, patience_s: float = IO_TIMEOUT_S, form: Form = _ONE_OK) -> None:
        """Connect. No wait for Redis is longer than `patience_s`. TargetLost if it cannot be reached or is no Redis,
        TargetDenied if it refuses. What is sent are the commands of keys in this form."""
        connect_s = min(CONNECT_TIMEOUT_S, patience_s)  # a Redis that hangs accepts, but does not greet
        with _Translated(f"cannot connect to {url}"):
            self._socket = socket.create_connection((url.host, url.port), connect_s)
        self._wakes_at = 1
        self._reader = hiredis.Reader(notEnoughData=_NOTHING_YET)
        self._replies = Replies(form)
        self._fences = int.from_bytes(os.urandom(7), "little")  # what the next one says
        self._has_fences = True
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._greet(url)
            self._socket.settimeout(patience_s)
        except BaseException:
            self.close()
            raise

    @property
    def outstanding_replies(self) -> int:
        """How many lines of reply to what was sent have not been confirmed."""
        return self._replies.outstanding

    def send(self, commands: bytes | memoryview, replies: int) -> None:
        """Send the ready commands of whole keys, which Redis will answer with so many lines. TargetLost if it cannot
        be done."""
        ping, fence = self._next_fence() if self._has_fences else (b"", b"")
        with _WRITING:
            sent = self._socket.sendmsg([commands, ping])
            if sent < len(commands):
                self._socket.sendall(memoryview(commands)[sent:])
            if sent < len(commands) + len(ping):
                self._socket.sendall(ping[max(0, sent - len(commands)) :])
        self._replies.expect(replies, fence)

    def confirm(self, leave: int = 0, alive: Callable[[], None] = lambda: None) -> None:
        """Read replies until only `leave` are outstanding, or fewer. `alive` is called before each wait for some.

        TargetBusy, TargetError for the first reply that is an error (it is no longer outstanding); TargetLost if Redis
        goes away, or answers what it was not asked. After either of them the connection cannot be used again.
        """
        while self._replies.outstanding > leave:
            alive()
            self._wake_at(self._replies.least_bytes(leave, _MOST_AT_ONCE_BYTES))
            self._replies.take(self._receive(_WRITING))

    def is_open(self) -> bool:
        """False if Redis has closed the connection, or sent what nobody asked for. For one that has nothing to confirm;
        it never waits."""
        self._wake_at(1)
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)  # an end and an error can be read as well

    def call(self, *words: bytes | str | int) -> Any:
        """One command and its reply, as bytes, int, list or None. TargetError if the reply is an error."""
        return self.call_many([words])[0]

    def call_many(
        self, commands: Sequence[Words], *, errors: bool = False, most_bytes: int = MOST_ANSWER_BYTES
    ) -> list[Any]:
        """Several commands in one pipeline, and their replies in order.

        An error reply raises TargetError, or with `errors` stands in the result as a `TargetError`. TargetLost if
        there is not one reply for each, in no more than `most_bytes`.
        """
        replies = self._exchange(_packed(commands), [str(words[0]) for words in commands], most_bytes=most_bytes)
        if not errors:
            _raise_first(replies)
        return replies

    def call_ready(self, command: bytes, name: str) -> Any:
        """As `call`, for a command that is bytes already."""
        replies = self._exchange(command, [name])
        _raise_first(replies)
        return replies[0]

    def close(self) -> None:
        """Let go of the socket, whatever its state."""
        self._socket.close()

    def _greet(self, url: TargetUrl) -> None:
        """Log in and choose the database. Nobody gets the password who has not answered a PING as a Redis does."""
        operation = f"cannot connect to {url}"
        (pong,) = self._exchange(_packed([("PING",)]), ["PING"], operation)
        if isinstance(pong, TargetError):
            fits = ("NOPERM", "MISCONF") if url.password is None else ("NOPERM", "MISCONF", "NOAUTH")
            if not pong.message.startswith(tuple(f"{operation}: {word} " for word in fits)):
                raise pong if isinstance(pong, (TargetLost, TargetDenied)) else TargetLost(pong.message, _NO_REDIS)
        elif pong != b"PONG":
            raise TargetLost(f"{operation}: PING was answered with {_described(pong)}", _NO_REDIS)
        commands: list[Words] = []
        if url.password is not None:
            login = (url.user, url.password) if url.user else (url.password,)
            commands.append(("AUTH", *[word.encode("utf-8", "surrogateescape") for word in login]))
        if int(url.database):
            commands.append(("SELECT", url.database))
        ping, fence = self._next_fence()
        packed = _packed(commands)
        *replies, pong = self._exchange(packed + ping, [*[str(words[0]) for words in commands], "PING"], operation)
        for words, reply in zip(commands, replies, strict=True):
            if isinstance(reply, TargetError):
                raise _refused_login(reply, url.password)
            if reply != b"OK":
                raise TargetLost(f"{operation}: {words[0]!s} was answered with {_described(reply)}", _NO_REDIS)
        if isinstance(pong, TargetBusy) and "MISCONF" not in pong.message:  # it cannot save: it can be read
            raise pong
        self._has_fences = isinstance(pong, bytes) and fence == b"$%d\r\n%b\r\n" % (len(pong), pong)

    def _next_fence(self) -> tuple[bytes, bytes]:
        """A PING with a text of its own, and what it is answered with."""
        self._fences += 1
        text = b"$16\r\n%016x\r\n" % self._fences
        return b"*2\r\n$4\r\nPING\r\n" + text, text

    def _exchange(
        self, packed: bytes, names: list[str], operation: str = _ASKING, most_bytes: int = MOST_ANSWER_BYTES
    ) -> list[Any]:
        """Send commands and take their replies; an error stands among them as an error of ours."""
        with suppress(OSError):  # if Redis has closed the connection already, it may have said why
            self._socket.sendall(packed)
        self._wake_at(1)
        replies: list[Any] = []
        for name in names:
            try:
                reply, received_bytes = self._take_reply(_Translated(operation, name), most_bytes)
            except TargetLost:
                _raise_first(replies)  # that is why
                raise
            most_bytes -= received_bytes
            if isinstance(reply, hiredis.ReplyError):
                reply = refusal(f"{name} was refused" if operation == _ASKING else operation, str(reply))
            elif not _is_plain(reply):
                raise TargetLost(f"{operation}: {name} was answered with {_described(reply)}", _NO_REDIS)
            replies.append(reply)
        if self._reader.has_data():
            raise TargetLost(f"{operation}: Redis sent more replies than it got commands", _NO_REDIS)
        return replies

    def _take_reply(self, asking: _Translated, most_bytes: int) -> tuple[Any, int]:
        """The next reply, and how many bytes had to be received for it."""
        received_bytes = 0
        with asking:
            reply = self._reader.gets()
        while reply is _NOTHING_YET:
            data = self._receive(asking)
            received_bytes += len(data)
            if received_bytes > most_bytes:
                raise TargetLost(f"{asking.operation}: the answer to {asking.name} has no end", _NO_REDIS)
            with asking:
                self._reader.feed(data)
                if b"\n" in data:  # else it cannot be whole: the parser would read a long line again and again
                    reply = self._reader.gets()
        return reply, received_bytes

    def _wake_at(self, count_bytes: int) -> None:
        """Do not wake this process for fewer bytes: Redis answers a hundred commands at a time, and each waking costs
        more than counting them (SO_RCVLOWAT, socket(7); never more than what is sure to come: of a reply that has come
        in part, the rest)."""
        if count_bytes != self._wakes_at:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count_bytes)
            self._wakes_at = count_bytes

    def _receive(self, asking: _Translated) -> bytes:
        with asking:
            data = self._socket.recv(RECEIVE_BYTES)
            if not data:
                raise EOFError
            return data


class _Translated(Translation):
    """Errors of hiredis and of the socket, as errors of ours that begin with `operation`. `name` is the command that
    waits for its answer."""

    def __init__(self, operation: str, name: str = "") -> None:
        super().__init__(operation)
        self.name = name

    def raise_ours(self, error: BaseException) -> None:
        """The error of ours, if it is one of theirs."""
        if isinstance(error, (EOFError, ConnectionResetError, BrokenPipeError)):
            raise TargetLost(f"{self.operation}: Redis closed the connection at {self.name}", _REACH) from error
        if isinstance(error, TimeoutError) and self.name:
            raise TargetLost(f"{self.operation}: Redis did not answer {self.name} in time", _REACH) from error
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            raise TargetDenied(f"{self.operation}: {error.strerror}", "see ulimit -n") from error
        if isinstance(error, OSError):
            raise TargetLost(f"{self.operation}: {error or type(error).__name__}", _REACH) from error
        if isinstance(error, UnicodeError):
            raise TargetError(f"{self.operation}: that is no host name", _REACH) from error
        if isinstance(error, (hiredis.HiredisError, TypeError, ValueError, MemoryError)):
            told = f"{self.name} was answered with what is no reply ({shown(str(error) or type(error).__name__)})"
            raise TargetLost(f"{self.operation}: {told}", _NO_REDIS) from error


_WRITING = _Translated(WRITING, "a write")


def _packed(commands: Sequence[Words]) -> bytes:
    return b"".join([hiredis.pack_command(cast(Any, words)) for words in commands])  # its stub allows one word alone


def _is_plain(reply: Any) -> bool:
    """True for what a Redis answers that was not asked for another protocol."""
    if type(reply) is list:
        return all(map(_is_plain, reply))
    return reply is None or type(reply) in (bytes, int) or isinstance(reply, hiredis.ReplyError)


def _described(reply: Any) -> str:
    """A reply that was not expected, in a few words."""
    kinds = {int: "an integer", list: "an array", bytes: "a text", type(None): "nothing"}
    return f"'{shown(reply)}'" if isinstance(reply, bytes) else kinds.get(type(reply), "a reply of another protocol")


def _raise_first(replies: list[Any]) -> None:
    """The first error among the replies."""
    for reply in replies:
        if isinstance(reply, TargetError):
            raise reply


def _refused_login(error: TargetError, password: str | None) -> TargetError:
    """A refusal of AUTH or SELECT: no row's fault. Who knows no AUTH repeats its arguments."""
    if isinstance(error, TargetLost):
        return error
    message = error.message.partition(", with args")[0]
    return TargetDenied(message.replace(password, "***") if password else message, error.hint or _LOGIN)
