"""The login at MySQL: how the password is sent, and the errors for servers that are not a MySQL."""

from __future__ import annotations

import base64
import os
import socket
from contextlib import suppress
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from shardload import source
from shardload.config.urls import PasswordRules, SourceTls, SslMode
from shardload.errors import ShardloadError, SourceDenied, SourceFull, SourceLost
from shardload.source import connection as connecting
from tests.harness import World
from tests.played import OK, PASSWORD, SALT, Played, framed, greeting, played

_KEY = rsa.generate_private_key(65537, 2048)
_OTHER_KEY = rsa.generate_private_key(65537, 2048)


def pem(key: rsa.RSAPrivateKey) -> bytes:
    """A key pair's public key, as PEM."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form)


def switch(plugin: str, data: bytes = SALT + b"\0") -> bytes:
    """An AuthSwitchRequest packet."""
    return b"\xfe" + plugin.encode() + b"\0" + data


def own_address() -> str:
    """An address of this machine that is not loopback; packets to it do not leave the machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # a datagram socket: nothing is sent
        except OSError:
            if os.environ.get("CI"):
                raise
            pytest.skip("this machine has no address but loopback")
        return str(probe.getsockname()[0])


def log_in(server: Played, rules: PasswordRules = PasswordRules()) -> None:  # noqa: B008 - frozen
    """Log in, and close the connection."""
    source.abandon(source.connect(replace(server.url, passwords=rules), timeout_s=5))


def refusal(server: Played, kind: type[ShardloadError]) -> ShardloadError:
    """The error that the login raises."""
    with pytest.raises(ShardloadError) as caught:
        log_in(server)
    server.end()
    assert type(caught.value) is kind, repr(caught.value)
    assert PASSWORD not in str(caught.value)
    return caught.value


# ---- how the password is sent

REQUIRING: tuple[SslMode, ...] = ("REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY")
CLEARTEXT = "--mysql-enable-cleartext-plugin"
ANY_KEY = "--mysql-get-server-public-key"


@pytest.mark.parametrize(
    ("plugin", "answers", "packets", "flag"),
    [
        ("mysql_native_password", [switch("mysql_clear_password")], 1, CLEARTEXT),
        ("mysql_native_password", [switch("dialog", b"\x02Password: ")], 1, CLEARTEXT),
        ("caching_sha2_password", [b"\x01\x04", b"\x01" + pem(_KEY)], 1, ANY_KEY),
        ("mysql_native_password", [switch("caching_sha2_password"), b"\x01\x04", b"\x01" + pem(_KEY)], 2, ANY_KEY),
        ("sha256_password", [b"\x01" + pem(_KEY)], 1, ANY_KEY),
        ("mysql_native_password", [switch("sha256_password"), b"\x01" + pem(_KEY)], 1, ANY_KEY),
    ],
)
def test_without_tls_the_password_is_not_sent(plugin: str, answers: list[bytes], packets: int, flag: str) -> None:
    """It is sent neither in clear text nor encrypted with an unknown key; the hint names the flag that allows it. The
    client sends the login, which has a scramble at most, and the scramble for another plugin."""
    with played(framed(greeting(plugin)), answers, host=own_address()) as server:
        error = refusal(server, SourceDenied)
        assert flag in error.hint
        assert "no TLS" in error.message
    sent = [packet for packet in server.packets if packet]
    assert len(sent) == packets
    assert PASSWORD.encode() not in b"".join(sent)


def decrypted(packet: bytes, key: rsa.RSAPrivateKey) -> bytes:
    """The password that the client sent encrypted."""
    sha1 = hashes.SHA1()
    text = key.decrypt(packet, padding.OAEP(padding.MGF1(sha1), sha1, None))
    return bytes(byte ^ SALT[at % 20] for at, byte in enumerate(text)).rstrip(b"\0")


@pytest.mark.parametrize("host", ["loopback", "off loopback"])
def test_clear_text_where_it_is_allowed(host: str) -> None:
    """Clear text is sent on loopback, and elsewhere only with the flag."""
    rules = PasswordRules(cleartext=host != "loopback")
    address = "127.0.0.1" if host == "loopback" else own_address()
    with played(framed(greeting()), [switch("mysql_clear_password"), OK], host=address) as server:
        log_in(server, rules)
    assert server.packets[1] == PASSWORD.encode() + b"\0"


@pytest.mark.parametrize("plugin", ["caching_sha2_password", "sha256_password"])
def test_any_public_key_where_it_is_allowed(plugin: str) -> None:
    """With the flag the client asks for the server's key and uses it."""
    answers = [b"\x01\x04"] * (plugin == "caching_sha2_password")
    with played(framed(greeting(plugin)), [*answers, b"\x01" + pem(_KEY), OK], host=own_address()) as server:
        log_in(server, PasswordRules(any_public_key=True))
    assert decrypted(server.packets[len(answers) + 1], _KEY) == PASSWORD.encode()


@pytest.mark.parametrize(
    ("plugin", "answers"),
    [("caching_sha2_password", [b"\x01\x04"]), ("sha256_password", [b"\x01" + pem(_OTHER_KEY)])],
)
def test_a_known_public_key_is_not_replaced(plugin: str, answers: list[bytes]) -> None:
    """The password is encrypted with the given key, whatever key the server sends."""
    with played(framed(greeting(plugin)), [*answers, OK], host=own_address()) as server:
        log_in(server, PasswordRules(public_key=pem(_KEY)))
    assert decrypted(server.packets[1], _KEY) == PASSWORD.encode()


def test_a_scramble_needs_no_flag() -> None:
    """If the server has the password of caching_sha2_password in its cache, only a scramble is sent, without a flag."""
    with played(framed(greeting("caching_sha2_password")), [(b"\x01\x03", OK)], host=own_address()) as server:
        log_in(server)
    assert PASSWORD.encode() not in b"".join(server.packets)


def test_ed25519() -> None:
    """The client signs the scramble for MariaDB's client_ed25519; the user's public key verifies the signature."""
    # MariaDB's documentation, "Authentication Plugin - ed25519": what CREATE USER makes of the password `secret`
    public_key = base64.b64decode("ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY=")
    scramble = bytes(range(32))
    with played(framed(greeting()), [switch("client_ed25519", scramble), OK]) as server:
        server.url = replace(server.url, password="secret")
        log_in(server)
    ed25519.Ed25519PublicKey.from_public_bytes(public_key).verify(server.packets[1], scramble)


def test_tls_that_is_needed() -> None:
    """MySQL 8 says so if it has require_secure_transport; what to do depends on who has no TLS."""
    refusing = b"\xff\x57\x0c#HY000Connections using insecure transport are prohibited"
    modes: dict[SslMode, str] = {"DISABLED": "choose another --mysql-ssl-mode", "PREFERRED": "give it a certificate"}
    for mode, hint in modes.items():
        with played(framed(greeting()), [refusing]) as server:
            server.url = replace(server.url, tls=SourceTls(mode))
            assert hint in refusal(server, SourceDenied).hint


def test_a_password_never_goes_to_a_server_without_tls_if_it_is_required() -> None:
    """Nothing is sent after the greeting, however private the way is."""
    for mode in REQUIRING:
        with played(framed(greeting("mysql_clear_password")), [OK]) as server:
            server.url = replace(server.url, tls=SourceTls(mode))
            assert f"the ssl-mode is {mode}" in refusal(server, SourceDenied).message
        assert not [packet for packet in server.packets if packet]


# ---- servers that are not a MySQL


@pytest.mark.parametrize("plugin", ["mysql_old_password", "parsec", "auth_gssapi_client", "\x1b[31m"])
def test_an_unsupported_login_plugin(plugin: str) -> None:
    """The error names the plugin, and the hint says what to do."""
    with played(framed(greeting()), [switch(plugin)]) as server:
        error = refusal(server, SourceDenied)
        assert f"plugin {plugin}" in error.message
        assert "ALTER USER" in error.hint


ERROR_1040 = b"\xff\x10\x04Too many connections"


@pytest.mark.parametrize(
    ("first", "kind", "message"),
    [
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", SourceLost, "is not a MySQL: its answer begins with b'SSH-2.0"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", SourceLost, "is not a MySQL: its answer begins with b'HTTP/1.1"),
        (b"-DENIED Redis is running in protected mode", SourceLost, "is not a MySQL: its answer begins with b'-DENIED"),
        (b"", SourceLost, "closed without a greeting"),
        (framed(b"\x093.22.32\0\1\0\0\0abcdefgh\0"), SourceLost, "is not a MySQL: "),
        (framed(greeting())[:30], SourceLost, "the connection broke in the middle of the greeting"),
        (framed(greeting()[:9]), SourceLost, "is not a MySQL: "),
        (framed(b""), SourceLost, "is not a MySQL: "),
        (framed(greeting(version="x")), SourceLost, "the answer to the login cannot be understood"),
        (b"\xff\xff\xff\x00\x0a" + bytes(100_000), SourceLost, "is not a MySQL: "),
        (framed(ERROR_1040), SourceFull, "Too many connections [1040]"),
    ],
    ids=["ssh", "http", "redis", "closed", "protocol 9", "broken off", "short", "empty", "version", "endless", "1040"],
)  # fmt: skip
def test_odd_greetings(first: bytes, kind: type[ShardloadError], message: str) -> None:
    """Each wrong greeting gives one line, never a traceback."""
    with played(first, closes=True) as server:
        error = refusal(server, kind)
        assert message in error.message
        assert len(str(error)) < 400


def test_a_server_that_never_greets(monkeypatch: pytest.MonkeyPatch) -> None:
    """An HTTP server or a Redis waits for the client to begin. The time-out is that of connecting, not of a query."""
    monkeypatch.setattr(connecting, "CONNECT_TIMEOUT_S", 1)
    with played(b"") as server:
        error = refusal(server, SourceLost)
        assert "no greeting came within 1 s: the server is not a MySQL" in error.message


@given(answers=st.lists(st.binary(max_size=40), min_size=1, max_size=12))
@settings(max_examples=150, deadline=None)
def test_whatever_is_answered(answers: list[bytes]) -> None:
    """Random bytes at any point of the login raise an error of ours, or none."""
    with played(framed(greeting()), answers, closes=True) as server, suppress(ShardloadError):
        log_in(server)


def test_a_broken_init_connect(world: World) -> None:
    """MySQL accepts the login and closes the connection at the first statement; the hint names init_connect."""
    world.execute(
        "CREATE USER ordinary@'%' IDENTIFIED BY 'x'",
        f"GRANT SELECT ON `{world.mysql.database}`.* TO ordinary@'%'",
        "SET GLOBAL init_connect = 'NO SQL'",
    )
    try:
        with pytest.raises(SourceLost) as caught:
            source.connect(replace(world.mysql, user="ordinary", password="x"))
    finally:
        world.execute("SET GLOBAL init_connect = ''", "DROP USER ordinary@'%'")
    assert "init_connect" in caught.value.hint
