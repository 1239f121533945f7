"""PyMySQL's connection with three checks: how the password is sent, whether MySQL answers, and how long answers are.

TLS counts as private, also where no certificate is checked; MySQL's own clients do the same by default. An answer that
is not MySQL's protocol becomes an error of PyMySQL with a code that `codes.py` knows.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymysql.connections import Connection
from pymysql.constants import CLIENT
from pymysql.err import MySQLError, OperationalError

from shardload.config.urls import PasswordRules, SourceTls
from shardload.errors import ShardloadError
from shardload.source.codes import (
    ACCESS_DENIED,
    GREETING,
    LOGIN_REFUSED,
    MALFORMED,
    NO_SERVER,
    PLUGIN_UNKNOWN,
    TLS_NEEDED,
)
from shardload.source.secured import NO_TLS, also_at_denied, why_tls_failed

_MOST_LOGIN_BYTES = 1 << 16  # a greeting has about 100 bytes, a public key 500, an error text 512
_MOST_ANSWER_BYTES = 1 << 24  # more than 4096 columns with long comments need
_LEAST_READ_BYTES = 256  # each read counts as at least this: a Python object for a few bytes takes as much
_SHOWN_BYTES = 32
_PROTOCOL = 10  # MySQL's protocol version since 3.22

_CLEAR = {"mysql_clear_password", "dialog"}  # send the password as it is
_PLUGINS = _CLEAR | {"mysql_native_password", "caching_sha2_password", "sha256_password", "client_ed25519"}
_CONNECTION_CLOSED = {1152, 1184, 2006, 2013}


class LoginError(OperationalError):
    """An error of the login, with its own hint."""

    def __init__(self, code: int, text: str, hint: str) -> None:
        super().__init__(code, text)
        self.hint = hint


class LoginRefused(LoginError):
    """TLS or a socket is not as it has to be: trying again will not help. It has no code that a person may look up."""

    def __init__(self, text: str, hint: str) -> None:
        super().__init__(LOGIN_REFUSED, text, hint)


class CheckedConnection(Connection):
    """A connection over TLS as `tls` demands, that sends the password only as `rules` allow. It raises OSError or
    PyMySQL's errors with a code."""

    _received_bytes = 0  # since the last command
    _most_bytes = _MOST_LOGIN_BYTES
    _sent_key: bytes | None = None
    _wanted_plugin = ""
    _shows_certificate = False  # true while MySQL may still refuse it

    def __init__(
        self,
        rules: PasswordRules,
        tls: SourceTls,
        *,
        said_in: str,
        context: ssl.SSLContext | None = None,
        **options: Any,
    ) -> None:
        """`said_in` is the flag that says user and password. `context` is for TLS; without one there is none."""
        self._rules, self._tls = rules, tls
        self._said_in = said_in
        self._context = context
        super().__init__(ssl_disabled=context is None, **options)

    def _create_ssl_ctx(self, _options: Any) -> ssl.SSLContext:
        """The context for TLS. PyMySQL's own would load all certificates that the system trusts, which takes longer
        than the login."""
        assert self._context is not None
        return self._context

    # ---- does MySQL answer

    def connect(self, sock: Any = None) -> None:
        """Read the greeting, log in, and send the first statements."""
        raw: Any = self
        with self._understood("the answer to the login"):
            try:
                super().connect(sock)
            except OperationalError as error:
                cause = getattr(error, "original_exception", None)
                if not raw.unix_socket or not isinstance(cause, OSError):
                    raise
                raise _no_socket(cause) from error

    def _get_server_information(self) -> None:
        """Read MySQL's greeting. A server of another kind sends something else, or waits for the client to begin."""
        raw: Any = self
        raw._sock.settimeout(self.connect_timeout)
        first = b""
        try:
            first = raw._sock.recv(_SHOWN_BYTES, socket.MSG_PEEK)
            super()._get_server_information()  # type: ignore[misc]  # not in the stubs
            if raw.protocol_version != _PROTOCOL:
                raise ValueError(f"protocol {raw.protocol_version}")
        except ShardloadError:  # raised by a signal
            raise
        except Exception as error:
            is_refusal = isinstance(error, MySQLError) and first[4:5] == b"\xff"  # MySQL refuses the connection
            if is_refusal:
                raise
            raise _no_greeting(first, error, self.connect_timeout) from error
        raw._sock.settimeout(raw._read_timeout)

    def _request_authentication(self) -> None:
        """Begin TLS, and log in."""
        raw: Any = self
        if self._tls.is_required and not raw.server_capabilities & CLIENT.SSL:
            raise LoginRefused(f"MySQL offers no TLS, and the ssl-mode is {self._tls.mode}", NO_TLS)
        self._shows_certificate = self._tls.cert is not None
        try:
            super()._request_authentication()  # type: ignore[misc]  # not in the stubs
            self._shows_certificate = False
        except (MySQLError, OSError) as error:
            if why := why_tls_failed(error):
                raise LoginRefused(*why) from error
            if hint := self._what_to_do(error):
                raise LoginError(error.args[0], str(error.args[1]), hint) from error
            raise

    def _what_to_do(self, error: Exception) -> str:
        """A hint for an error of the login that depends on how it was tried; else empty."""
        code = error.args[0] if isinstance(error, MySQLError) else 0
        if code == TLS_NEEDED and self._tls.mode == "DISABLED":
            return "choose another --mysql-ssl-mode"
        if code != ACCESS_DENIED:
            return ""
        raw: Any = self
        is_secure = isinstance(raw._sock, ssl.SSLSocket)
        return f"check user and password in {self._said_in}" + also_at_denied(self._tls, is_secure=is_secure)

    def _write_bytes(self, data: bytes) -> None:
        """Send bytes. If MySQL closed the connection, it may have said before why it does not like our certificate."""
        raw: Any = self
        opened = raw._sock
        if self._shows_certificate and isinstance(opened, ssl.SSLSocket):
            try:
                opened.sendall(data)
            except (ssl.SSLError, ConnectionError):
                opened.recv(1)  # raises OpenSSL's error for what MySQL has said
                raise
            return
        super()._write_bytes(data)  # type: ignore[misc]  # not in the stubs

    def set_character_set(self, charset: str, collation: str | None = None) -> None:
        """Send the first statement after the login."""
        try:
            super().set_character_set(charset, collation)
        except OperationalError as error:
            if error.args[0] not in _CONNECTION_CLOSED:
                raise
            hint = "MySQL closed the connection right after the login: check its init_connect, and see its log"
            raise LoginError(error.args[0], str(error.args[1]), hint) from error

    @contextmanager
    def _understood(self, what: str) -> Iterator[None]:
        """Turn whatever PyMySQL raises for an answer that is not MySQL's protocol into an error with a code."""
        try:
            yield
        except (MySQLError, OSError, MemoryError, ShardloadError):
            raise
        except Exception as error:
            raw: Any = self
            raw._force_close()
            text = f"{what} cannot be understood ({type(error).__name__}: {error})"
            raise OperationalError(MALFORMED, text) from error

    # ---- how the password is sent

    def _process_auth(self, plugin_name: bytes, *rest: Any) -> Any:
        """The server asks for another login plugin than its greeting named."""
        self._wanted_plugin = name = plugin_name.decode("ascii", "backslashreplace")
        if name not in _PLUGINS:
            raise OperationalError(PLUGIN_UNKNOWN, f"this user logs in with the plugin {name}, which is not supported")
        if name in _CLEAR and not self._rules.cleartext and not self._is_private():
            raise LoginError(
                LOGIN_REFUSED,
                f"MySQL asks for the password in clear text ({name}), and this connection has no TLS",
                "let MySQL offer TLS, or send it readable for others in the network: --mysql-enable-cleartext-plugin",
            )
        return super()._process_auth(plugin_name, *rest)  # type: ignore[misc]  # not in the stubs

    @property
    def server_public_key(self) -> bytes | None:
        """The key that encrypts the password: the given one, or the server's if that is allowed. LoginError if not.

        PyMySQL reads it only when it is going to send the password encrypted.
        """
        if self._rules.public_key:
            return self._rules.public_key
        if self._rules.any_public_key or self._is_private():
            return self._sent_key
        raise LoginError(
            LOGIN_REFUSED,
            f"MySQL asks for the password under a key that it sends itself ({self._wanted_plugin or 'at the login'}), "
            "and this connection has no TLS",
            "let MySQL offer TLS, or name its key with --mysql-server-public-key-path, or accept any key with "
            "--mysql-get-server-public-key",
        )

    @server_public_key.setter
    def server_public_key(self, key: bytes | None) -> None:
        self._sent_key = key

    def _is_private(self) -> bool:
        """True if nobody in the network can read the password: TLS, a socket, loopback, or no password at all."""
        raw: Any = self
        if raw._secure or not raw.password:
            return True
        peer = ipaddress.ip_address(raw._sock.getpeername()[0])
        return (getattr(peer, "ipv4_mapped", None) or peer).is_loopback

    # ---- how long an answer is

    def _execute_command(self, command: int, sql: str | bytes) -> None:
        self._received_bytes, self._most_bytes = 0, _MOST_ANSWER_BYTES
        super()._execute_command(command, sql)  # type: ignore[misc]  # not in the stubs

    def _read_query_result(self, unbuffered: bool = False) -> Any:
        with self._understood("MySQL's answer"):
            return super()._read_query_result(unbuffered)  # type: ignore[misc]  # not in the stubs

    def _read_bytes(self, num_bytes: int) -> bytes:
        self._received_bytes += max(num_bytes, _LEAST_READ_BYTES)
        if self._received_bytes > self._most_bytes:
            raw: Any = self
            raw._force_close()
            raise OperationalError(MALFORMED, f"an answer of more than {self._most_bytes // 1024:,} KiB")
        received: bytes = super()._read_bytes(num_bytes)  # type: ignore[misc]  # not in the stubs
        return received


def _no_socket(error: OSError) -> LoginError:
    """The error for a unix socket that cannot be opened."""
    if isinstance(error, (FileNotFoundError, ConnectionRefusedError)):
        text = "there is no such socket" if isinstance(error, FileNotFoundError) else "nobody listens there"
        return LoginError(
            NO_SERVER, text, "check that MySQL runs, and that socket= in --mysql has the path of its socket"
        )
    if isinstance(error, PermissionError):
        return LoginRefused(f"{error.strerror}", "let this user enter the socket's directory and write to the socket")
    return LoginError(NO_SERVER, str(error), "check the path after socket= in --mysql")


def _no_greeting(first: bytes, error: Exception, timeout_s: float | None) -> OperationalError:
    """The error for what came instead of a greeting; `first` are its first bytes."""
    if first and not (isinstance(error, MySQLError) and error.args[0] == 2013):
        text = f"the server is not a MySQL: its answer begins with {first!r}"
    elif first:
        text = "the connection broke in the middle of the greeting"
    elif isinstance(error, TimeoutError):
        text = f"no greeting came within {timeout_s} s: the server is not a MySQL, or it hangs"
    else:
        text = "the connection was closed without a greeting: the server is not a MySQL, or a proxy that has none"
    return LoginError(GREETING, text, "check host and port in --mysql")
