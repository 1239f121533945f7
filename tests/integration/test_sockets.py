"""How a socket is opened: TLS with every kind of wrong certificate, unix sockets, keep-alive, names, full servers."""

from __future__ import annotations

import os
import re
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from shardload.config.urls import TargetUrl, TlsRules
from shardload.errors import TargetDenied, TargetError, TargetFull, TargetLost
from shardload.sandbox import RedisServer
from shardload.target import TargetConnection, sockets
from tests.certificates import TlsRedis
from tests.harness import wait_until
from tests.proxy import Proxy


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsRedis]:
    """A Redis that asks every client for a certificate."""
    server = TlsRedis(tmp_path_factory.mktemp("tls"), "--tls-auth-clients", "yes", "--unixsocket", "redis.sock")
    server.start()
    yield server
    server.stop(kill=True)


@pytest.fixture(scope="module")
def open_tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsRedis]:
    """A Redis that asks no client for a certificate; its own is for another host, and OpenSSL's oldest TLS is 1.2."""
    server = TlsRedis(
        tmp_path_factory.mktemp("open"),
        "--tls-auth-clients",
        "no",
        "--tls-protocols",
        "TLSv1.2",
        hosts=("redis.example",),
    )
    server.start()
    yield server
    server.stop(kill=True)


@contextmanager
def connected(url: TargetUrl, name: str = "") -> Iterator[TargetConnection]:
    """A connection, closed at the end."""
    connection = TargetConnection(url, 10, name=name)
    try:
        yield connection
    finally:
        connection.close()


def refused(url: TargetUrl, kind: type[TargetError] = TargetDenied) -> TargetError:
    """The error of a connection that cannot be made: one line, of exactly this kind."""
    with pytest.raises(TargetError, match=f"^cannot connect to {re.escape(str(url))}: ") as caught:
        TargetConnection(url, 10)
    assert type(caught.value) is kind, repr(caught.value)
    assert "\n" not in str(caught.value)
    assert "_ssl.c" not in str(caught.value)
    return caught.value


# ---- TLS


def test_a_connection_with_tls(tls: TlsRedis) -> None:
    """It writes, reads and counts as one without; its name is known to the server."""
    with connected(tls.tls_url, "shardload job 1".replace(" ", "-")) as connection:
        assert connection.tls_version == "TLSv1.3"
        assert b"name=shardload-job-1" in connection.call("CLIENT", "LIST")
        assert connection.is_open()
        for batch in range(20):
            words = [b"*3\r\n$3\r\nSET\r\n$5\r\nk%04d\r\n$1\r\nv\r\n" % (batch * 100 + n) for n in range(100)]
            connection.send(b"".join(words), 100)
        assert connection.outstanding_replies == 2000
        connection.confirm(leave=1500)
        # Bytes that OpenSSL has taken from the kernel do not count there: a wait for many more might have no end.
        assert connection._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == 1
        connection.confirm()
        assert connection.outstanding_replies == 0
        assert connection.call("DBSIZE") == 2000
        value = os.urandom(3_000_000)
        connection.send(memoryview(b"*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$%d\r\n%b\r\n" % (len(value), value)), 1)
        connection.confirm()
        assert connection.call("GET", "b") == value
        assert connection.is_open()
        assert connection.call("FLUSHALL") == b"OK"


def test_without_tls_there_is_no_version(tls: TlsRedis) -> None:
    """Nothing is claimed."""
    with connected(tls.url) as connection:
        assert connection.tls_version == ""


def test_is_open_tells_the_truth(tmp_path: Path) -> None:
    """Session tickets are no bytes from Redis; an answer that nobody asked for and the end are."""
    server = TlsRedis(tmp_path / "r", "--tls-auth-clients", "no")
    server.start()
    try:
        with connected(server.tls_url) as one, connected(server.tls_url) as other:
            assert one.is_open()
            assert one.is_open()
            assert one.call("PING") == b"PONG"
            other.send(b"*1\r\n$4\r\nPING\r\n", 0)
            wait_until(lambda: not other.is_open(), "an answer that nobody asked for")
            server.stop(kill=True)
            wait_until(lambda: not one.is_open(), "the end")
    finally:
        server.stop(kill=True)


def test_half_an_answer_is_to_be_read(tls: TlsRedis) -> None:
    """Also if OpenSSL has taken it from the kernel already."""
    with sockets.open_socket(tls.tls_url, 5) as opened:
        opened.sendall(b"PING\r\n")
        assert opened.recv(1) == b"+"
        assert not sockets.has_nothing_to_read(opened)
        assert opened.recv(100) == b"PONG\r\n"
        assert sockets.has_nothing_to_read(opened)


def test_a_session_ticket_is_no_answer(tls: TlsRedis) -> None:
    """The server sends it after the handshake, and it makes the socket readable."""
    with sockets.open_socket(tls.tls_url, 5) as opened:
        wait_until(lambda: select.select([opened], [], [], 0)[0], "a session ticket")
        assert sockets.has_nothing_to_read(opened)
        assert opened.gettimeout() == 5


CASES = {
    "unknown authority": ("the certificate of Redis is not trusted (", "--redis-cacert FILE"),
    "no certificate": ("Redis asks for a client certificate", "--redis-cert FILE --redis-key FILE"),
    "a stranger's certificate": ("Redis does not know who signed the client certificate", "--redis-cert"),
    "an old certificate": ("the client certificate has expired", "--redis-cert"),
    "another host": ("the certificate is not for this host (", "--redis-sni NAME"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_certificate_that_does_not_fit(tls: TlsRedis, case: str) -> None:
    """One line names the cause and the flag; trying again will not help, so it is TargetDenied."""
    if case == "unknown authority":
        rules = replace(tls.rules, cacert=tls.stranger.cert)
    elif case == "no certificate":
        rules = replace(tls.rules, cert=None, key=None)
    elif case == "another host":
        rules = replace(tls.rules, sni="cache.example")
    else:
        pair = tls.stranger.issue("strange") if "stranger" in case else tls.authority.issue("expired", days_left=-1)
        rules = replace(tls.rules, cert=pair.cert, key=pair.key)
    error = refused(replace(tls.tls_url, tls=rules))
    cause, hint = CASES[case]
    assert cause in error.message
    assert hint in error.hint


def test_no_authority_of_the_system_signed_it(tls: TlsRedis) -> None:
    """Verification is on by default."""
    assert "--redis-cacert" in refused(replace(tls.tls_url, tls=TlsRules())).hint


def test_insecure_trusts_anybody(tls: TlsRedis, open_tls: TlsRedis) -> None:
    """With any name and any authority; the client certificate is still sent."""
    rules = replace(tls.rules, cacert=None, insecure=True, sni="other.example")
    with connected(replace(tls.tls_url, tls=rules)) as connection:
        assert connection.tls_version
    with connected(replace(open_tls.tls_url, tls=TlsRules(insecure=True))) as connection:
        assert connection.tls_version == "TLSv1.2"


def test_the_name_in_the_certificate(open_tls: TlsRedis) -> None:
    """The host has to be in the certificate, or the name that is given in its place."""
    error = refused(open_tls.tls_url)
    assert "IP address mismatch" in error.message
    assert "--redis-sni" in error.hint
    with connected(replace(open_tls.tls_url, tls=replace(open_tls.rules, sni="redis.example"))) as connection:
        assert connection.call("PING") == b"PONG"


def test_a_directory_of_authorities(tls: TlsRedis, tmp_path: Path) -> None:
    """As `openssl rehash` makes it."""
    directory = tmp_path / "authorities"
    directory.mkdir()
    (directory / "one.pem").write_bytes(tls.authority.cert.read_bytes())
    assert os.system(f"openssl rehash {directory}") == 0
    with connected(replace(tls.tls_url, tls=replace(tls.rules, cacert=None, cacertdir=directory))) as connection:
        assert connection.tls_version


def test_a_certificate_that_has_expired(tmp_path: Path) -> None:
    """The server's own."""
    server = TlsRedis(tmp_path / "r", "--tls-auth-clients", "no")
    server.authority.issue("server", "127.0.0.1", days_left=-2)
    server.start()
    try:
        error = refused(server.tls_url)
        assert "the certificate of Redis is out of date (certificate has expired)" in error.message
        assert "clock" in error.hint
    finally:
        server.stop(kill=True)


def test_a_file_that_is_gone(tls: TlsRedis, tmp_path: Path) -> None:
    """It was there when the job began."""
    gone = tmp_path / "gone.crt"
    error = refused(replace(tls.tls_url, tls=replace(tls.rules, cacert=gone)))
    assert f"--redis-cacert: there is no file {gone}" in error.message


def test_tls_where_there_is_none(tls: TlsRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis without TLS waits for the rest of what it takes for a command: it is asked without TLS."""
    monkeypatch.setattr(sockets, "_DOUBT_S", 0.1)
    error = refused(replace(tls.tls_url, port=tls.port))
    assert "it answers without TLS" in error.message
    assert "redis://" in error.hint


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"-ERR unknown command\r\n"])
def test_an_answer_that_is_no_tls(tls: TlsRedis, answer: bytes) -> None:
    """The same."""
    with listening(answer) as port:
        assert "it answers without TLS" in refused(replace(tls.tls_url, port=port)).message


def test_no_tls_where_there_is_some(tls: TlsRedis, open_tls: TlsRedis) -> None:
    """The server closes the connection: it is tried with TLS."""
    for server in (tls, open_tls):
        error = refused(replace(server.url, port=server.tls_port))
        assert "it expects TLS" in error.message
        assert "rediss://" in error.hint


def test_a_server_that_closes_at_the_handshake(tls: TlsRedis) -> None:
    """It may be full: it cannot say so before the handshake. Trying again may help."""
    with listening(b"") as port:
        error = refused(replace(tls.tls_url, port=port), TargetLost)
    assert "the TLS handshake" in error.message
    assert "maxclients" in error.hint


def test_the_handshake_is_not_waited_for_long(tls: TlsRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as for connecting."""
    monkeypatch.setattr("shardload.target.connection.CONNECT_TIMEOUT_S", 0.3)
    monkeypatch.setattr(sockets, "_DOUBT_S", 0.1)
    monkeypatch.setattr(sockets, "_LOOK_S", 0.1)
    with listening(None) as port:
        error = refused(replace(tls.tls_url, port=port), TargetLost)
    assert "did not answer the TLS handshake in time" in error.message


def test_a_slow_handshake_goes_on(tls: TlsRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes longer than the doubt about it is not one without TLS."""
    monkeypatch.setattr(sockets, "_DOUBT_S", 0.05)
    asked = threading.Event()
    look = sockets._answers_without_tls

    def and_let_on(url: TargetUrl) -> bool:
        try:
            return look(url)
        finally:
            asked.set()

    monkeypatch.setattr(sockets, "_answers_without_tls", and_let_on)
    proxy = Late(tls.tls_port, asked)
    try:
        with connected(replace(tls.tls_url, port=proxy.port)) as connection:
            assert asked.is_set()
            assert connection.tls_version
    finally:
        proxy.close()


class Late(Proxy):
    """Carries nothing before it is told to."""

    def __init__(self, port: int, told: threading.Event) -> None:
        self._told = told
        super().__init__(port)

    def _carry(self, client: socket.socket, port: int) -> None:
        self._told.wait(10)
        super()._carry(client, port)


@contextmanager
def listening(answer: bytes | None) -> Iterator[int]:
    """A port at which every client gets this answer, and then the end; None: silence."""
    listener = socket.create_server(("127.0.0.1", 0))
    held = []

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                if answer is None:
                    held.append(client)
                    continue
                with client, suppress(OSError):
                    client.recv(1 << 16)
                    client.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    yield int(listener.getsockname()[1])
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for client in held:
        client.close()


# ---- all of TCP


def test_keep_alive_is_on(tls: TlsRedis) -> None:
    """With TLS as without it."""
    for url in (tls.url, tls.tls_url):
        with sockets.open_socket(url, 5) as opened:
            assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
            assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            assert opened.gettimeout() == 5


def test_a_name_is_not_needed(tls: TlsRedis) -> None:
    """A user who may not tell the connection's name, or a name that Redis refuses: the connection serves."""
    with connected(tls.url) as admin:
        admin.call("ACL", "SETUSER", "nameless", "on", ">pw", "~*", "+@all", "-client")
        with connected(replace(tls.url, user="nameless", password="pw"), "named") as connection:
            assert connection.call("DBSIZE") == 0
            assert b"name=named" not in admin.call("CLIENT", "LIST")
        with connected(tls.url, "two words") as connection:
            assert connection.call("DBSIZE") == 0
        admin.call("ACL", "DELUSER", "nameless")


def test_a_full_server(own_redis: RedisServer) -> None:
    """It says so, and the hint what to do."""
    with connected(own_redis.url) as one:
        one.call("CONFIG", "SET", "maxclients", "1")
        assert "raise Redis's maxclients" in refused(own_redis.url, TargetFull).hint


def test_a_full_server_with_tls(tls: TlsRedis) -> None:
    """It cannot say so before the handshake, and closes the connection: the hint has that cause, too."""
    with connected(tls.url) as one:
        before = one.call("CONFIG", "GET", "maxclients")[1]
        one.call("CONFIG", "SET", "maxclients", "1")
        try:
            error = refused(tls.tls_url, TargetLost)
        finally:
            one.call("CONFIG", "SET", "maxclients", before)
    assert "Redis closed the connection at the TLS handshake" in error.message
    assert "maxclients" in error.hint


# ---- unix sockets


def test_a_unix_socket(tls: TlsRedis) -> None:
    """It serves as TCP does."""
    url = TargetUrl("", 0, "", None, "1", path=str(tls.directory / "redis.sock"))
    with connected(url, "by-path") as connection:
        assert b"name=by-path" in connection.call("CLIENT", "LIST")
        connection.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n" * 1000, 1000)
        connection.confirm()
        assert connection.is_open()
        assert connection.tls_version == ""
        assert connection.call("FLUSHDB") == b"OK"


def test_no_such_unix_socket(tmp_path: Path) -> None:
    """Redis makes it when it starts: trying again may help."""
    error = refused(TargetUrl("", 0, "", None, "0", path=str(tmp_path / "no.sock")), TargetLost)
    assert "there is no such socket" in error.message
    assert "unixsocket" in error.hint


def test_nobody_at_a_unix_socket(tmp_path: Path) -> None:
    """A server that died leaves its socket."""
    path = str(tmp_path / "dead.sock")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    error = refused(TargetUrl("", 0, "", None, "0", path=path), TargetLost)
    assert "nobody listens there" in error.message


def test_a_unix_socket_with_a_long_path(tmp_path: Path) -> None:
    """107 bytes are the most; the hint is about the path."""
    error = refused(TargetUrl("", 0, "", None, "0", path=f"{tmp_path}/{'x' * 120}"), TargetLost)
    assert "too long" in error.message
    assert "unixsocket" in error.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody without rights")
def test_a_unix_socket_of_somebody_else(tls: TlsRedis) -> None:
    """Trying again will not help."""
    path = tls.directory / "redis.sock"
    path.chmod(0o700)
    os.seteuid(65534)
    try:
        error = refused(TargetUrl("", 0, "", None, "0", path=str(path)))
    finally:
        os.seteuid(0)
    assert "Permission denied" in error.message
    assert "unixsocketperm" in error.hint
