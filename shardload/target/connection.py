"""A connection to Redis: it sends commands that are bytes already, and checks that each one got its reply.

Writing makes no Python object for a command or for its reply (see `replies`). hiredis parses the replies to `call`.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, cast

import hiredis

from shardload.config.urls import TargetUrl
from shardload.encoding import Form, Payload
from shardload.errors import TargetBusy, TargetDenied, TargetError, TargetLost
from shardload.target.refusals import NO_REDIS, described, error_from_reply, is_plain, refused_login
from shardload.target.replies import WRITING, Kept, Refusal, Replies
from shardload.target.sockets import Translated, expects_tls, has_nothing_to_read, open_socket, tls_version

CONNECT_TIMEOUT_S = 10
IO_TIMEOUT_S = 60
RECEIVE_BYTES = 64 * 1024
MOST_ANSWER_BYTES = 4 * 1024 * 1024  # all replies to one call; INFO has a few KB
_MOST_LEAST_READ_BYTES = 16 * 1024
_ASKING = "asking Redis"
_NOTHING_YET = object()

ONE_OK = Form(Payload.PLAIN)

Words = tuple[bytes | str | int, ...]


class TargetConnection:
    """One socket to Redis. `send` writes keys, `confirm` reads the replies; each reply is counted exactly once."""

    def __init__(
        self,
        url: TargetUrl,
        timeout_s: float = IO_TIMEOUT_S,
        form: Form = ONE_OK,
        *,
        follows: bool = False,
        name: str = "",
    ) -> None:
        """Connect, log in and select the database.

        `timeout_s` limits each wait for Redis; `form` is that of the keys to be sent; `follows` says that the caller
        follows refusals of a cluster (see `Replies`); `name` is what CLIENT LIST shows. TargetLost if the server cannot
        be reached or is not a Redis, TargetDenied if it refuses the login.
        """
        connect_s = min(CONNECT_TIMEOUT_S, timeout_s)  # also for the login: a Redis that hangs accepts connections
        self._socket = open_socket(url, connect_s)
        self._is_plain = not isinstance(self._socket, ssl.SSLSocket)
        self._least_read_bytes = 1
        self._reader = hiredis.Reader(notEnoughData=_NOTHING_YET)
        self._replies = Replies(form, follows=follows)
        self._fences = int.from_bytes(os.urandom(7), "little")  # the number in the last fence
        self._has_fences = True
        try:
            self._greet(url)
            self._log_in(url, name)
            self._socket.settimeout(timeout_s)
        except BaseException:
            self.close()
            raise

    @property
    def tls_version(self) -> str:
        """Such as `TLSv1.3`; empty without TLS."""
        return tls_version(self._socket)

    @property
    def outstanding_replies(self) -> int:
        """Reply lines that are still to come for the keys that were sent."""
        return self._replies.outstanding

    @property
    def batches_done(self) -> int:
        """How many of the batches that were sent are answered."""
        return self._replies.batches_done

    @property
    def has_refused(self) -> bool:
        """True if there are keys that a node of a cluster did not write."""
        return bool(self._replies.refused)

    def take_refused(self) -> list[Refusal]:
        """Take out the keys that a node of a cluster did not write, with `follows`."""
        refused, self._replies.refused = self._replies.refused, []
        return refused

    def take_kept(self) -> Kept:
        """What was kept of the oldest batch that is answered and was not asked for yet, if the job keeps keys."""
        return self._replies.kept.popleft()

    def send(self, commands: bytes | memoryview, replies: int, *more: bytes | memoryview, lookups: int = 0) -> None:
        """Send the packed commands of whole keys, and `more` of them, as one batch; `replies` is how many lines Redis
        answers to the rows' own keys, and then one to each of the `lookups`. TargetLost if the connection breaks."""
        ping, fence = self._next_fence() if self._has_fences else (b"", b"")
        pieces = (commands, *more, ping)
        with _WRITING:
            sent = self._socket.sendmsg(pieces) if self._is_plain else 0
            for piece in pieces:
                if sent < len(piece):
                    self._socket.sendall(memoryview(piece)[sent:])
                sent = max(0, sent - len(piece))
        self._replies.expect(replies, fence, lookups)

    def confirm(self, leave: int = 0, on_wait: Callable[[], None] = lambda: None) -> None:
        """Read replies until at most `leave` lines are outstanding. `on_wait` is called before each wait.

        TargetBusy, TargetDenied or TargetError for the first reply that is an error; that reply is no longer
        outstanding. TargetLost if the connection breaks or a reply is not one to these commands. After any of these
        errors the connection must be closed.
        """
        while self._replies.outstanding > leave:
            on_wait()
            self._set_least_read(self._replies.least_bytes(leave, _MOST_LEAST_READ_BYTES))
            self._replies.take(self._receive(_WRITING))

    def post(self, pieces: Sequence[bytes | memoryview]) -> None:
        """Send packed commands whose replies the caller takes with `receive`. TargetLost if the connection breaks."""
        with _POSTING:
            self._socket.sendall(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def receive(self, least_bytes: int) -> bytes:
        """Wait for the next bytes of replies to what was posted; `least_bytes` are certain to come. TargetLost if the
        connection breaks."""
        self._set_least_read(max(1, min(least_bytes, _MOST_LEAST_READ_BYTES)))
        return self._receive(_POSTING)

    def is_open(self) -> bool:
        """False if Redis has closed the connection, or sent bytes without being asked. Never waits.

        Call it only when no replies are outstanding.
        """
        self._set_least_read(1)
        return has_nothing_to_read(self._socket)

    def call(self, *words: bytes | str | int) -> Any:
        """Send one command. Gives its reply, as bytes, int, list or None. TargetError if the reply is an error."""
        return self.call_many([words])[0]

    def call_many(
        self, commands: Sequence[Words], *, errors: bool = False, most_bytes: int = MOST_ANSWER_BYTES
    ) -> list[Any]:
        """Send several commands in one pipeline. Gives their replies, in order.

        An error reply raises TargetError; with `errors` it is an item of the result instead. TargetLost if there is not
        one reply for each command, or if the replies have more than `most_bytes`.
        """
        replies = self._exchange(_packed(commands), [str(words[0]) for words in commands], most_bytes=most_bytes)
        if not errors:
            _raise_first(replies)
        return replies

    def call_packed(self, command: bytes, name: str) -> Any:
        """Like `call`, for a command that is packed already; `name` is for messages."""
        replies = self._exchange(command, [name])
        _raise_first(replies)
        return replies[0]

    def exchange(self, packed: bytes, names: list[str], most_bytes: int = MOST_ANSWER_BYTES) -> list[Any]:
        """Send packed commands, of which `names` are the first words, and read their replies. An error reply is an item
        of the result, as a TargetError. TargetLost as for `call_many`."""
        return self._exchange(packed, names, most_bytes=most_bytes)

    def close(self) -> None:
        """Close the socket. Outstanding replies are lost."""
        self._socket.close()

    def _greet(self, url: TargetUrl) -> None:
        """Check that a PING is answered as a Redis does. The password is sent only after that."""
        operation = f"cannot connect to {url}"
        try:
            (pong,) = self._exchange(_packed([("PING",)]), ["PING"], operation)
        except TargetLost as error:
            is_refused = (
                isinstance(error.__cause__, (EOFError, ConnectionError)) or r"\x15" in error.message
            )  # an alert
            if url.tls or url.path or not is_refused or not expects_tls(url):
                raise
            raise TargetDenied(f"{operation}: it expects TLS", "write rediss:// in --redis") from error
        if isinstance(pong, TargetError):
            fits = ("NOPERM", "MISCONF") if url.password is None else ("NOPERM", "MISCONF", "NOAUTH")
            if not pong.message.startswith(tuple(f"{operation}: {word} " for word in fits)):
                raise pong if isinstance(pong, (TargetLost, TargetDenied)) else TargetLost(pong.message, NO_REDIS)
        elif pong != b"PONG":
            raise TargetLost(f"{operation}: PING was answered with {described(pong)}", NO_REDIS)

    def _log_in(self, url: TargetUrl, name: str) -> None:
        """Log in, select the database, and tell the connection's name to a server that lets this user do so."""
        operation = f"cannot connect to {url}"
        commands: list[Words] = []
        if url.password is not None:
            login = (url.user, url.password) if url.user else (url.password,)
            commands.append(("AUTH", *[word.encode("utf-8", "surrogateescape") for word in login]))
        if int(url.database):
            commands.append(("SELECT", url.database))
        if name:
            commands.append(("CLIENT", "SETNAME", name))
        ping, fence = self._next_fence()
        packed = _packed(commands)
        *replies, pong = self._exchange(packed + ping, [*[str(words[0]) for words in commands], "PING"], operation)
        for words, reply in zip(commands, replies, strict=True):
            if words[0] == "CLIENT":
                continue
            if isinstance(reply, TargetError):
                raise refused_login(reply, url.password)
            if reply != b"OK":
                raise TargetLost(f"{operation}: {words[0]!s} was answered with {described(reply)}", NO_REDIS)
        # MISCONF: Redis cannot save to disk, but it can be read.
        if isinstance(pong, TargetBusy) and "MISCONF" not in pong.message:
            raise pong
        self._has_fences = isinstance(pong, bytes) and fence == b"$%d\r\n%b\r\n" % (len(pong), pong)

    def _next_fence(self) -> tuple[bytes, bytes]:
        """A fence: a PING with a unique text, and the reply that must come to it."""
        self._fences += 1
        text = b"$16\r\n%016x\r\n" % self._fences
        return b"*2\r\n$4\r\nPING\r\n" + text, text

    def _exchange(
        self, packed: bytes, names: list[str], operation: str = _ASKING, most_bytes: int = MOST_ANSWER_BYTES
    ) -> list[Any]:
        """Send packed commands and read their replies. An error reply is in the result as a TargetError."""
        with suppress(OSError):  # Redis may have sent the reason before it closed the connection
            self._socket.sendall(packed)
        self._set_least_read(1)
        replies: list[Any] = []
        for name in names:
            try:
                reply, received_bytes = self._take_reply(Translated(operation, name), most_bytes)
            except TargetLost:
                _raise_first(replies)  # an error reply is the cause
                raise
            most_bytes -= received_bytes
            if isinstance(reply, hiredis.ReplyError):
                reply = error_from_reply(f"{name} was refused" if operation == _ASKING else operation, str(reply))
            elif not is_plain(reply):
                raise TargetLost(f"{operation}: {name} was answered with {described(reply)}", NO_REDIS)
            replies.append(reply)
        if self._reader.has_data():
            raise TargetLost(f"{operation}: Redis sent more replies than it got commands", NO_REDIS)
        return replies

    def _take_reply(self, asking: Translated, most_bytes: int) -> tuple[Any, int]:
        """Read the next reply. Gives it, and how many bytes were received for it."""
        received_bytes = 0
        with asking:
            reply = self._reader.gets()
        while reply is _NOTHING_YET:
            data = self._receive(asking)
            received_bytes += len(data)
            if received_bytes > most_bytes:
                raise TargetLost(f"{asking.operation}: the answer to {asking.name} is too long", NO_REDIS)
            with asking:
                self._reader.feed(data)
                if b"\n" in data:  # no line ends here, and the parser would scan a long line again
                    reply = self._reader.gets()
        return reply, received_bytes

    def _set_least_read(self, count_bytes: int) -> None:
        """Let the kernel wake this process only when so many bytes have come (SO_RCVLOWAT, socket(7)).

        Redis answers about a hundred commands at a time, and each wake-up costs more than counting their replies. The
        number must not be higher than the bytes that are certain to come, or the wait has no end.
        """
        if count_bytes != self._least_read_bytes and self._is_plain:  # TLS may have read the bytes already
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count_bytes)
            self._least_read_bytes = count_bytes

    def _receive(self, asking: Translated) -> bytes:
        with asking:
            data = self._socket.recv(RECEIVE_BYTES)
            if not data:
                raise EOFError
            return data


_WRITING = Translated(WRITING, "a write")
_POSTING = Translated(_ASKING, "a question")


def _packed(commands: Sequence[Words]) -> bytes:
    # hiredis's type stub allows a single word only.
    return b"".join([hiredis.pack_command(cast(Any, words)) for words in commands])


def _raise_first(replies: list[Any]) -> None:
    """Raise the first error among the replies, if there is one."""
    for reply in replies:
        if isinstance(reply, TargetError):
            raise reply
