"""MySQL and Redis URLs: parsed, percent-decoded, and shown without their passwords. Pure.

MySQL's are here, Redis's in `redisurl`. No message repeats a URL as it was typed, because it may contain a password.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal
from urllib.parse import SplitResult, quote, urlsplit

from shardload.config.addresses import Address
from shardload.config.redisurl import REDIS_FORM, REDIS_FORMS, TargetUrl, TlsRules, parse_redis
from shardload.config.serverurl import (
    ServerUrl,
    add_password,
    add_sentinel_password,
    bad_port,
    checked,
    decode,
    shown_host,
    wrong_scheme,
)

__all__ = [
    "MYSQL_FORM",
    "REDIS_FORM",
    "REDIS_FORMS",
    "Address",
    "PasswordRules",
    "ServerUrl",
    "SourceTls",
    "SourceUrl",
    "SslMode",
    "TargetUrl",
    "TlsRules",
    "add_password",
    "add_sentinel_password",
    "completed",
    "parse_mysql",
    "parse_redis",
    "read_mysql",
]

MYSQL_PORT = 3306
MYSQL_FORM = "mysql://USER:PASSWORD@HOST:3306/DATABASE"

MYSQL_SOCKET_FORM = "mysql://USER:PASSWORD@localhost/DATABASE?socket=/PATH"

SslMode = Literal["DISABLED", "PREFERRED", "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY"]

# Schemes that other programs use for the same servers.
_OTHER_SCHEMES = re.compile(r"(jdbc:)?(mysqlx?|mariadb)(\+\w+)?", re.IGNORECASE)
_LOCAL = ("", "localhost")


@dataclass(frozen=True)
class PasswordRules:
    """How MySQL's password may be sent over a connection without TLS that is not local. By default not at all."""

    cleartext: bool = False
    """Send it as it is, if the server asks for that."""
    any_public_key: bool = False
    """Encrypt it with the public key that the server sends, which nobody checks."""
    public_key: bytes | None = None
    """Encrypt it with this public key (PEM), whatever the server sends."""


@dataclass(frozen=True)
class SourceTls:
    """Whether MySQL is reached over TLS, what is checked of its certificate, and which one it is shown. The names and
    their meaning are the mysql client's."""

    mode: SslMode = "PREFERRED"
    ca: Path | None = None
    capath: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    @property
    def is_required(self) -> bool:
        """True if there is no connection without TLS."""
        return self.mode not in ("DISABLED", "PREFERRED")

    @property
    def checks_authority(self) -> bool:
        """True if the certificate has to be signed by an authority that is trusted."""
        return self.mode in ("VERIFY_CA", "VERIFY_IDENTITY")

    @property
    def checks_host(self) -> bool:
        """True if the certificate has to be for the host in the URL as well."""
        return self.mode == "VERIFY_IDENTITY"


@dataclass(frozen=True, repr=False)
class SourceUrl(ServerUrl):
    """A MySQL or MariaDB server and database, how it is reached, and how the password may be sent there.

    With a `socket` the host is localhost, and there is no port. One that was read and not completed may lack any part.
    """

    scheme: ClassVar[str] = "mysql"
    passwords: PasswordRules = PasswordRules()
    socket: str = ""
    """The path of a unix socket, or empty."""
    tls: SourceTls = SourceTls()
    from_file: frozenset[str] = field(default=frozenset())
    """Which of `user` and `password` are those of a defaults file, from which they are read again."""

    @property
    def has_secret(self) -> bool:
        """True if `str()` leaves something out that no file says."""
        return self.password is not None and "password" not in self.from_file

    @property
    def place(self) -> str:
        """Host and port, or the socket: what tells servers apart."""
        return self.socket or str(Address(self.host, self.port))

    def stored(self) -> str:
        """The URL without its password, and without a user that a defaults file says."""
        return str(replace(self, user="")) if "user" in self.from_file else str(self)

    def _format(self, login: str, _more: str) -> str:
        port = f":{self.port}" if self.port else ""
        more = f"?socket={quote(self.socket)}" if self.socket else ""
        return f"{self.scheme}://{login}{shown_host(self.host)}{port}/{quote(self.database, safe='')}{more}"


def parse_mysql(text: str) -> SourceUrl:
    """Parse `mysql://user[:password]@host[:port]/database`, or the same with `?socket=/path` for a host. ValueError
    says what is wrong, but not the URL."""
    url = completed(read_mysql(text))
    for part in ("database", "user", "host"):
        if not getattr(url, part):
            raise ValueError(f"names no {part}; write {MYSQL_FORM}")
    return url


def read_mysql(text: str) -> SourceUrl:
    """As `parse_mysql`, but any part may be missing: it is then empty, or 0. ValueError if a part is wrong."""
    parts = _split(text)
    socket = _socket(parts)
    host, port = _host(parts), _port(parts)
    if socket and (port or host not in _LOCAL):
        raise ValueError(f"names a host and a socket; write {MYSQL_FORM} or {MYSQL_SOCKET_FORM}")
    return SourceUrl(
        host="localhost" if socket else host,
        port=port,
        user=decode(parts.username or "", MYSQL_FORM),
        password=None if parts.password is None else decode(parts.password, MYSQL_FORM),
        database=_database(parts),
        socket=socket,
    )


def completed(url: SourceUrl) -> SourceUrl:
    """The URL with the port that is meant where none is named."""
    return url if url.socket or url.port else replace(url, port=MYSQL_PORT)


def _split(text: str) -> SplitResult:
    found, separator, _ = text.strip().partition("://")
    if not separator:
        raise ValueError(f"is not a URL; write {MYSQL_FORM}")
    if found == "unix":
        raise ValueError(f"starts with unix://, Redis's form for a unix socket; write {MYSQL_SOCKET_FORM}")
    if found != "mysql" and _OTHER_SCHEMES.fullmatch(found):
        raise ValueError(f"starts with {found}://, another program's form; write {MYSQL_FORM}")
    if found != "mysql":
        raise ValueError(f"{wrong_scheme(found, 'mysql')}; write {MYSQL_FORM}")
    parts = checked(lambda: urlsplit(text.strip()), MYSQL_FORM)
    if parts.fragment:
        raise ValueError(f"has text after '#', which means nothing (write '%23' for '#'); write {MYSQL_FORM}")
    return parts


def _socket(parts: SplitResult) -> str:
    """The path after `?socket=`; empty if there is none."""
    if not parts.query:
        return ""
    name, _, value = parts.query.partition("=")
    if name != "socket" or "&" in value:
        raise ValueError(
            f"has something after '?' that is not socket= (write '%3F' for '?'); write {MYSQL_FORM} "
            f"or {MYSQL_SOCKET_FORM}"
        )
    path = decode(value, MYSQL_SOCKET_FORM)
    if not path.startswith("/") or "\0" in path:
        raise ValueError(f"names no absolute path of a socket; write {MYSQL_SOCKET_FORM}")
    return path


def _host(parts: SplitResult) -> str:
    host = decode(checked(lambda: parts.hostname, MYSQL_FORM) or "", MYSQL_FORM)
    if any(c.isspace() for c in host):
        raise ValueError(f"names no host; write {MYSQL_FORM}")
    return host


def _port(parts: SplitResult) -> int:
    try:
        port = parts.port
    except ValueError:
        raise bad_port(MYSQL_FORM) from None
    if port == 0:
        raise bad_port(MYSQL_FORM)
    return port or 0


def _database(parts: SplitResult) -> str:
    path = parts.path.removeprefix("/").removesuffix("/")
    if "/" in path:
        raise ValueError(f"has more than one '/' after the host (write '%2F' inside a name); write {MYSQL_FORM}")
    return decode(path, MYSQL_FORM)
