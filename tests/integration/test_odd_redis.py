"""Servers that are not a Redis, or a broken one: each wrong answer raises an error of ours and uses little memory."""

from __future__ import annotations

import socket
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress

import hiredis
import pytest

from shardload.config.urls import TargetUrl
from shardload.encoding import Payload
from shardload.errors import TargetBusy, TargetDenied, TargetError, TargetLost
from shardload.sandbox import RedisServer
from shardload.target import TargetConnection, choose_payload, describe_server
from shardload.target.refusals import MOST_TEXT_CHARS
from tests.harness import World, wait_until

INFO = b"redis_version:7.0.15\r\nrun_id:0123456789abcdef\r\n"
SET = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n"


def resp_hash(*fields: tuple[bytes, bytes]) -> bytes:
    """The reply to HGETALL for these fields."""
    parts = [part for field in fields for part in field]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


class OddRedis:
    """A server on loopback that gives these answers to commands; the answer None closes the connection."""

    def __init__(self, **odd: bytes | None) -> None:
        """`odd` has the answers to some commands; the other commands are answered as a Redis does. `greeting` is sent
        before any command; with `greeting_ends` the connection is closed after it."""
        self.heard: list[list[bytes]] = []
        self._odd = {name.upper().encode(): answer for name, answer in odd.items()}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def url(self, user: str = "", password: str | None = None, database: str = "0") -> TargetUrl:
        """The server's URL."""
        return TargetUrl("127.0.0.1", self.port, user, password, database)

    def connect(self, **login: str) -> TargetConnection:
        """A connection to this server."""
        return TargetConnection(self.url(**login), 10)

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client, suppress(OSError, hiredis.ProtocolError):  # a client may try TLS
                    self._talk(client)

    def _talk(self, client: socket.socket) -> None:
        if b"GREETING" in self._odd:
            client.sendall(self._odd[b"GREETING"] or b"")
            if b"GREETING_ENDS" in self._odd:
                return
        reader = hiredis.Reader(notEnoughData=None)
        while data := client.recv(1 << 16):
            reader.feed(data)
            while words := reader.gets():
                self.heard.append(words)
                answer = self._odd.get(words[0].upper(), self._usual(words))
                if answer is None:
                    return
                client.sendall(answer)

    @staticmethod
    def _usual(words: list[bytes]) -> bytes:
        name = words[0].upper()
        if name == b"PING":
            return b"$%d\r\n%b\r\n" % (len(words[1]), words[1]) if len(words) > 1 else b"+PONG\r\n"
        if name == b"INFO":
            return b"$%d\r\n%b\r\n" % (len(INFO), INFO)
        return {b"DBSIZE": b":0\r\n", b"DEL": b":0\r\n", b"HGETALL": b"*0\r\n"}.get(name, b"+OK\r\n")

    def close(self) -> None:
        """Accept no new connections."""
        self._listener.close()


@pytest.fixture
def odd() -> Iterator[Callable[..., OddRedis]]:
    """Makes such servers, and closes them after the test."""
    made: list[OddRedis] = []

    def make(**answers: bytes | None) -> OddRedis:
        made.append(OddRedis(**answers))
        return made[-1]

    yield make
    for one in made:
        one.close()


# ---- connecting


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n", b"220 mail ESMTP\r\n", b"+OK POP3 ready\r\n", b"J\0\0\0\n5.5.5-10.11\0",
        b"SSH-2.0-OpenSSH_9.2\r\n", b"-ERR unknown command\r\n", b":1\r\n", b"*0\r\n", b"%1\r\n*0\r\n:1\r\n",
        b"*4000000000\r\n", b"#f\r\n", b"+PONG\r\n+OK\r\n", None,
    ],
)  # fmt: skip
def test_a_password_is_for_a_redis_alone(odd: Callable[..., OddRedis], answer: bytes | None) -> None:
    """A server that does not answer PING as a Redis does gets no password, and the error does not contain it."""
    server = odd(ping=answer)
    with pytest.raises(TargetError, match=r"^cannot connect to redis://user@127\.0\.0\.1:") as caught:
        server.connect(user="user", password="secret")
    assert [words[0] for words in server.heard] == [b"PING"]
    assert "secret" not in str(caught.value)
    assert not isinstance(caught.value, TargetBusy)


@pytest.mark.parametrize("refusal", [b"-NOPERM no permissions\r\n", b"-MISCONF it cannot save\r\n"])
def test_a_redis_that_refuses_ping_may_be_used(odd: Callable[..., OddRedis], refusal: bytes) -> None:
    """A server is usable if the default user has few rights, or if it can be read but cannot save."""
    connection = odd(ping=refusal).connect()
    assert connection.call("DBSIZE") == 0
    connection.close()


@pytest.mark.parametrize("many", [1, 2])
def test_a_fence_follows_each_batch(odd: Callable[..., OddRedis], many: int) -> None:
    """Each fence is different; one reply too many before it is noticed before anything counts."""
    server = odd()
    connection = server.connect()
    for _ in range(2):
        connection.send(SET * many, many)
    connection.confirm()
    assert [words[0] for words in server.heard[2:]] == [*[b"SET"] * many, b"PING"] * 2
    fences = [words[1] for words in server.heard if len(words) == 2 and words[0] == b"PING"]
    assert len(set(fences)) == len(fences) == 3
    connection.close()
    connection = odd(set=b"+OK\r\n+OK\r\n").connect()
    connection.send(SET * many, many)
    with pytest.raises(TargetLost):
        connection.confirm()
    assert connection.outstanding_replies == many
    connection.close()


@pytest.mark.parametrize(
    "refusal", [b"-NOAUTH Authentication required.\r\n", b"-NOPERM no permissions\r\n", b"+PONG\r\n"]
)
def test_a_redis_that_asks_for_a_password_gets_it(odd: Callable[..., OddRedis], refusal: bytes) -> None:
    """NOAUTH is a Redis's answer, and so is NOPERM for a user without rights. Without PING there are no fences."""
    server = odd(ping=refusal)
    connection = server.connect(user="user", password="secret", database="3")
    assert server.heard[1:3] == [[b"AUTH", b"user", b"secret"], [b"SELECT", b"3"]]
    connection.send(SET, 1)
    connection.confirm()
    assert server.heard[4:] == [[b"SET", b"k", b"v"]]
    connection.close()


@pytest.mark.parametrize(
    ("odd_answers", "kind", "told"),
    [
        ({"greeting": b"-DENIED Redis is running in protected mode because it is. More.\r\n", "greeting_ends": b""},
         TargetDenied, "DENIED Redis is running in protected mode because it is"),
        ({"greeting": b"-ERR max number of clients reached\r\n", "greeting_ends": b""}, TargetBusy, "maxclients"),
        ({"ping": b"-LOADING Redis is loading the dataset in memory\r\n"}, TargetBusy, "LOADING"),
        ({"auth": b"-WRONGPASS invalid\r\n"}, TargetDenied, "WRONGPASS"),
        ({"auth": b"-ERR unknown command 'AUTH', with args beginning with: 'secr\r\n"}, TargetDenied, "AUTH"),
        ({"auth": b"-ERR secret\r\n"}, TargetDenied, r"ERR \*\*\*"),
        ({"auth": b":1\r\n"}, TargetLost, "AUTH was answered with an integer"),
        ({"auth": None}, TargetLost, "Redis closed the connection at AUTH"),
        ({"select": b"-ERR DB index is out of range\r\n"}, TargetDenied, "out of range"),
    ],
)  # fmt: skip
def test_a_refused_connection(
    odd: Callable[..., OddRedis], odd_answers: dict[str, bytes | None], kind: type[TargetError], told: str
) -> None:
    """A refused connection raises the right class, with a hint and without the password; no row gets blame."""
    with pytest.raises(kind, match=told) as caught:
        odd(**odd_answers).connect(password="secret", database="3")
    assert "secr" not in str(caught.value)
    assert caught.value.hint
    assert isinstance(caught.value, (TargetLost, TargetDenied))


def test_a_full_redis_is_waited_for(world: World, own_redis: RedisServer) -> None:
    """Too many clients: Redis's own words, as TargetFull, so that the job waits."""
    one = TargetConnection(own_redis.url)
    one.call("CONFIG", "SET", "maxclients", "1")
    with pytest.raises(TargetBusy, match="max number of clients reached"):
        TargetConnection(own_redis.url)
    one.close()


# ---- answers


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ({"info": b":1\r\n"}, "answer of the wrong type"),
        ({"info": b"*1\r\n$1\r\na\r\n"}, "answer of the wrong type"),
        ({"info": b"$-1\r\n"}, "answer of the wrong type"),
        ({"dbsize": b"$1\r\na\r\n"}, "answer of the wrong type"),
        ({"info": b"~1\r\n:1\r\n", "dbsize": b"%1\r\n*0\r\n:1\r\n"}, "is not valid"),
        ({"info": b">2\r\n+a\r\n+b\r\n"}, "another protocol"),
        ({"info": b"#f\r\n"}, "another protocol"),
        ({"info": b"junk\r\n"}, "the answer to INFO is not valid"),
        ({"info": None}, "Redis closed the connection at INFO"),
        ({"dbsize": None}, "Redis closed the connection at DBSIZE"),
        ({"dbsize": b":0\r\n:0\r\n"}, "more replies"),
    ],
)
def test_odd_answers(odd: Callable[..., OddRedis], answers: dict[str, bytes | None], told: str) -> None:
    """Each wrong answer is a lost connection, and the message names the command."""
    connection = odd(**answers).connect()
    with pytest.raises(TargetLost, match=told):
        describe_server(connection)
    connection.close()


def test_odd_hashes(odd: Callable[..., OddRedis]) -> None:
    """HGETALL with an odd number of items raises TargetLost in the probe."""
    connection = odd(hgetall=b"*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n").connect()
    with pytest.raises(TargetLost, match="not a hash"):
        choose_payload(connection, b"scratch", "auto", [Payload.PLAIN])
    connection.close()


@pytest.mark.parametrize(("encoding", "written"), [("auto", b"RESTORE"), ("commands", b"MULTI")])
def test_a_scratch_key_cannot_stay(odd: Callable[..., OddRedis], encoding: str, written: bytes) -> None:
    """If the connection breaks, the scratch key expires, or the transaction that makes it also removes it."""
    server = odd(
        hgetall=resp_hash((b"shardload", b"probe"), (b"number", b"-12345"), (b"long", b"x" * 100), (b"empty", b"")),
        multi=b"+OK\r\n", hset=b"+QUEUED\r\n", exec=b"*2\r\n:1\r\n:1\r\n", **{"del": b"+QUEUED\r\n"},
    )  # fmt: skip
    connection = server.connect()
    choose_payload(connection, b"scratch", encoding, [Payload.PLAIN])
    connection.close()
    heard = [words for words in server.heard if words[0] not in (b"PING", b"HGETALL")]
    assert [words[0] for words in heard[:2]] == [b"DEL", written]
    if encoding == "auto":
        assert int(heard[1][2]) > 0
        assert [words[0] for words in heard[2:]] == [b"DEL"]
    else:
        assert [words[0] for words in heard[2:]] == [b"HSET", b"DEL", b"EXEC"]


def info(connection: TargetConnection) -> None:
    """Call INFO and DBSIZE."""
    describe_server(connection)


def write(connection: TargetConnection) -> None:
    """Write a key."""
    connection.send(SET, 1)
    connection.confirm()


@pytest.mark.parametrize("ask", [info, write])
def test_a_line_without_an_end_is_not_kept(
    odd: Callable[..., OddRedis], ask: Callable[[TargetConnection], None]
) -> None:
    """An endless line, as an answer or as a reply to a write, takes a few MiB at most."""
    endless = b"+" + b"x" * (64 << 20)
    connection = odd(info=endless, set=endless).connect()
    tracemalloc.start()
    with pytest.raises(TargetLost, match=r"too long|without an end"):
        ask(connection)
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()
    connection.close()


def test_a_long_text_is_cut(odd: Callable[..., OddRedis]) -> None:
    """A long error text is cut, also if its bytes are not UTF-8."""
    connection = odd(get=b"-ERR " + b"\xff" * 100_000 + b"\r\n").connect()
    with pytest.raises(TargetError, match=r"GET was refused: ERR .*\.\.\.$") as caught:
        connection.call("GET", "k")
    assert len(caught.value.message) < MOST_TEXT_CHARS + 50
    connection.close()


# ---- an idle connection


def test_a_connection_that_was_closed_is_noticed(world: World, own_redis: RedisServer) -> None:
    """is_open is False after the server closes, and True before that, also after a batch."""
    connection = TargetConnection(own_redis.url)
    assert connection.is_open()
    connection.send(SET * 5000, 5000)
    connection.confirm()
    assert connection.is_open()
    world.target().client_kill_filter(_type="normal", skipme=True)
    wait_until(lambda: not connection.is_open(), "the end is seen")
    for _ in range(2):  # the first command still goes out
        with pytest.raises(TargetLost, match="Redis closed the connection at GET"):
            connection.call("GET", "k")
    connection.close()


def test_a_connection_with_unasked_bytes_is_not_open(odd: Callable[..., OddRedis]) -> None:
    """is_open is False if bytes came that are no reply: they would be read as the next reply."""
    connection = odd(get=b"+OK\r\n").connect()
    connection.send(SET * 500, 500)
    connection.confirm()
    assert connection.is_open()
    connection._socket.sendall(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n")
    wait_until(lambda: not connection.is_open(), "it is seen")
    connection.close()
