"""Opens a socket to Redis: TCP, TCP with TLS, or unix; with time-outs and keep-alive. Nothing is sent but TLS's own.

It also translates what can fail at a socket, and looks whether a server that did not understand TLS, or did not speak
without it, would do the other.
"""

from __future__ import annotations

import errno
import select
import socket
import ssl
import struct
import time
from contextlib import suppress

import hiredis

from shardload.config.certificates import redis_context
from shardload.config.urls import TargetUrl
from shardload.errors import SpecError, TargetDenied, TargetError, TargetLost, Translation
from shardload.target.certificates import NO_TLS, error_from_tls
from shardload.target.refusals import NO_REDIS, excerpt

_REACH = "check that Redis runs and that its address in --redis is right"
_SOCKET = "check that Redis runs, and that --redis has the path of its unixsocket"
_HANDSHAKE = "check that its port is one for TLS, and that Redis's maxclients is not reached"
_KEEP_ALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}  # a dead peer is noticed after two minutes
_DROP_AT_CLOSE = struct.pack("ii", 1, 0)  # what a killed worker had not sent yet may not come later: see socket(7)
_DOUBT_S = 2  # without an answer to a TLS handshake: a server without TLS waits for the end of what is no command
_LOOK_S = 2


class Translated(Translation):
    """Turns errors of hiredis and of the socket into ours, which begin with `operation`. `name` is the command that was
    sent."""

    def __init__(self, operation: str, name: str = "", hint: str = _REACH) -> None:
        super().__init__(operation)
        self.name = name
        self.hint = hint

    def raise_ours(self, error: BaseException) -> None:
        """Raise the matching error of ours; return if it is neither hiredis's nor the socket's."""
        if isinstance(error, (EOFError, ConnectionResetError, BrokenPipeError, ssl.SSLEOFError)):
            raise TargetLost(f"{self.operation}: Redis closed the connection at {self.name}", self.hint) from error
        if isinstance(error, ssl.SSLError):
            raise error_from_tls(self.operation, error, self.hint) from error
        if isinstance(error, TimeoutError) and self.name:
            raise TargetLost(f"{self.operation}: Redis did not answer {self.name} in time", self.hint) from error
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            raise TargetDenied(f"{self.operation}: {error.strerror}", "raise ulimit -n") from error
        if isinstance(error, OSError):
            raise TargetLost(f"{self.operation}: {error or type(error).__name__}", self.hint) from error
        if isinstance(error, UnicodeError):
            raise TargetError(f"{self.operation}: that is not a host name", self.hint) from error
        if isinstance(error, (hiredis.HiredisError, TypeError, ValueError, MemoryError)):
            cause = excerpt(str(error) or type(error).__name__)
            raise TargetLost(f"{self.operation}: the answer to {self.name} is not valid ({cause})", NO_REDIS) from error


def open_socket(url: TargetUrl, timeout_s: float) -> socket.socket:
    """A connected socket to `url.path`, or to host and port, with TLS if the URL has it; its time-out is `timeout_s`.

    TargetLost if the server cannot be reached; TargetDenied if trying again will not help.
    """
    operation = f"cannot connect to {url}"
    if url.path:
        return _open_unix(url.path, operation, timeout_s)
    context = None if url.tls is None else _context(url, operation)
    with Translated(operation):
        opened = socket.create_connection((url.host, url.port), timeout_s)
    try:
        with Translated(operation):
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DROP_AT_CLOSE)
            _keep_alive(opened)
        return opened if context is None else _secured(opened, context, url, timeout_s)
    except BaseException:
        opened.close()
        raise


def has_nothing_to_read(opened: socket.socket) -> bool:
    """False if the peer has closed the connection, or sent bytes without being asked. Never waits."""
    poll = select.poll()
    poll.register(opened, select.POLLIN)
    if not isinstance(opened, ssl.SSLSocket):
        return not poll.poll(0)  # a closed or broken connection is readable too
    if opened.pending():
        return False
    if not poll.poll(0):
        return True
    timeout_s = opened.gettimeout()
    opened.settimeout(0)
    try:
        opened.recv(1)
    except ssl.SSLWantReadError:
        return True  # that was TLS's own: a session ticket
    except OSError:
        return False
    finally:
        opened.settimeout(timeout_s)
    return False


def tls_version(opened: socket.socket) -> str:
    """Such as `TLSv1.3`; empty without TLS."""
    return (opened.version() or "") if isinstance(opened, ssl.SSLSocket) else ""


def expects_tls(url: TargetUrl) -> bool:
    """True if a server that a URL without TLS names speaks TLS. It is not asked for anything else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection((url.host, url.port), _LOOK_S) as opened, context.wrap_socket(opened):
            return True
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")  # it speaks TLS, and says no
    except OSError:
        return False


def _answers_without_tls(url: TargetUrl) -> bool:
    with suppress(OSError), socket.create_connection((url.host, url.port), _LOOK_S) as opened:
        opened.sendall(b"PING\r\n")
        return opened.recv(5).startswith((b"+PONG", b"-"))
    return False


def _open_unix(path: str, operation: str, timeout_s: float) -> socket.socket:
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        opened.settimeout(timeout_s)
        with Translated(operation, hint=_SOCKET):
            try:
                opened.connect(path)
            except FileNotFoundError:
                raise TargetLost(f"{operation}: there is no such socket", _SOCKET) from None
            except PermissionError as error:
                hint = "let this user write to the socket (unixsocketperm) and enter its directory"
                raise TargetDenied(f"{operation}: {error.strerror}", hint) from None
            except ConnectionRefusedError:
                raise TargetLost(f"{operation}: nobody listens there", _SOCKET) from None
    except BaseException:
        opened.close()
        raise
    return opened


def _context(url: TargetUrl, operation: str) -> ssl.SSLContext:
    assert url.tls is not None
    try:
        return redis_context(url.tls)
    except SpecError as error:  # the files were there when the job began
        raise TargetDenied(f"{operation}: {error.message}", error.hint) from error


def _secured(opened: socket.socket, context: ssl.SSLContext, url: TargetUrl, timeout_s: float) -> ssl.SSLSocket:
    """The socket after a TLS handshake."""
    operation = f"cannot connect to {url}"
    name = (url.tls.sni if url.tls else "") or url.host.partition("%")[0]
    with Translated(operation, "the TLS handshake", _HANDSHAKE):
        secured = context.wrap_socket(opened, server_hostname=name, do_handshake_on_connect=False)
        try:
            _shake_hands(secured, url, timeout_s)
        except BaseException as error:
            secured.close()
            is_closed = isinstance(error, (ConnectionError, ssl.SSLEOFError))
            if is_closed and _answers_without_tls(url):
                raise TargetDenied(f"{operation}: it answers without TLS", NO_TLS) from error
            raise
    return secured


def _shake_hands(secured: ssl.SSLSocket, url: TargetUrl, timeout_s: float) -> None:
    """A Redis without TLS does not answer at all: it takes the handshake for the beginning of a command."""
    give_up_s = time.monotonic() + timeout_s
    secured.settimeout(min(_DOUBT_S, timeout_s))
    try:
        secured.do_handshake()
    except TimeoutError as error:
        if _answers_without_tls(url):
            raise TargetDenied(f"cannot connect to {url}: it answers without TLS", NO_TLS) from error
        secured.settimeout(max(0.001, give_up_s - time.monotonic()))
        secured.do_handshake()
    secured.settimeout(timeout_s)


def _keep_alive(opened: socket.socket) -> None:
    """Let the kernel notice a peer that has gone without a word. Not every system has every option."""
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE.items():
        if hasattr(socket, name):
            opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
