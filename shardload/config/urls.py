"""MySQL and Redis URLs: parsed, percent-decoded, and shown without their passwords. Pure.

MySQL's are here, Redis's in `redisurl`. No message repeats a URL as it was typed, because it may contain a password.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import SplitResult, urlsplit

from shardload.config.addresses import Address
from shardload.config.redisurl import REDIS_FORM, REDIS_FORMS, TargetUrl, TlsRules, parse_redis
from shardload.config.serverurl import (
    ServerUrl,
    add_password,
    add_sentinel_password,
    bad_port,
    checked,
    decode,
    wrong_scheme,
)

__all__ = [
    "MYSQL_FORM",
    "REDIS_FORM",
    "REDIS_FORMS",
    "Address",
    "PasswordRules",
    "ServerUrl",
    "SourceUrl",
    "TargetUrl",
    "TlsRules",
    "add_password",
    "add_sentinel_password",
    "parse_mysql",
    "parse_redis",
]

MYSQL_PORT = 3306
MYSQL_FORM = "mysql://USER:PASSWORD@HOST:3306/DATABASE"

# Schemes that other programs use for the same servers.
_OTHER_SCHEMES = re.compile(r"(jdbc:)?(mysqlx?|mariadb)(\+\w+)?", re.IGNORECASE)


@dataclass(frozen=True)
class PasswordRules:
    """How MySQL's password may be sent over a connection without TLS that is not local. By default not at all."""

    cleartext: bool = False
    """Send it as it is, if the server asks for that."""
    any_public_key: bool = False
    """Encrypt it with the public key that the server sends, which nobody checks."""
    public_key: bytes | None = None
    """Encrypt it with this public key (PEM), whatever the server sends."""


@dataclass(frozen=True, repr=False)
class SourceUrl(ServerUrl):
    """A MySQL or MariaDB server and database, and how the password may be sent there."""

    scheme: ClassVar[str] = "mysql"
    passwords: PasswordRules = PasswordRules()


def parse_mysql(text: str) -> SourceUrl:
    """Parse `mysql://user[:password]@host[:port]/database`. ValueError says what is wrong, but not the URL."""
    parts = _split(text)
    database = _database(parts)
    if not database:
        raise ValueError(f"names no database; write {MYSQL_FORM}")
    user = decode(parts.username or "", MYSQL_FORM)
    if not user:
        raise ValueError(f"names no user; write {MYSQL_FORM}")
    return SourceUrl(
        host=_host(parts),
        port=_port(parts),
        user=user,
        password=None if parts.password is None else decode(parts.password, MYSQL_FORM),
        database=database,
    )


def _split(text: str) -> SplitResult:
    found, separator, _ = text.strip().partition("://")
    if not separator:
        raise ValueError(f"is not a URL; write {MYSQL_FORM}")
    if found == "unix":
        raise ValueError(f"asks for a unix socket (unix://), which is not supported yet; write {MYSQL_FORM}")
    if found != "mysql" and _OTHER_SCHEMES.fullmatch(found):
        raise ValueError(f"starts with {found}://, another program's form; write {MYSQL_FORM}")
    if found != "mysql":
        raise ValueError(f"{wrong_scheme(found, 'mysql')}; write {MYSQL_FORM}")
    parts = checked(lambda: urlsplit(text.strip()), MYSQL_FORM)
    if parts.query or parts.fragment:
        raise ValueError(f"has text after '?' or '#', which is not supported (write '%23' for '#'); write {MYSQL_FORM}")
    return parts


def _host(parts: SplitResult) -> str:
    host = decode(checked(lambda: parts.hostname, MYSQL_FORM) or "", MYSQL_FORM)
    if not host or any(c.isspace() for c in host):
        raise ValueError(f"names no host; write {MYSQL_FORM}")
    return host


def _port(parts: SplitResult) -> int:
    try:
        port = parts.port
    except ValueError:
        raise bad_port(MYSQL_FORM) from None
    if port == 0:
        raise bad_port(MYSQL_FORM)
    return port or MYSQL_PORT


def _database(parts: SplitResult) -> str:
    path = parts.path.removeprefix("/").removesuffix("/")
    if "/" in path:
        raise ValueError(f"has more than one '/' after the host (write '%2F' inside a name); write {MYSQL_FORM}")
    return decode(path, MYSQL_FORM)
