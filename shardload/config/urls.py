"""MySQL and Redis URLs: parsed, percent-decoded, and shown without their passwords. Pure.

No message here repeats a URL as it was typed, because it may contain a password.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NoReturn, TypeVar
from urllib.parse import SplitResult, quote, unquote, urlsplit

MYSQL_PORT = 3306
REDIS_PORT = 6379
MYSQL_FORM = "mysql://USER:PASSWORD@HOST:3306/DATABASE"
REDIS_FORM = "redis://USER:PASSWORD@HOST:6379/0"

# Schemes that other programs use for the same servers.
_OTHER_SCHEMES = {
    "mysql": re.compile(r"(jdbc:)?(mysqlx?|mariadb)(\+\w+)?", re.IGNORECASE),
    "redis": re.compile(r"(jdbc:)?(redis|valkey)", re.IGNORECASE),
}
_SCHEME = re.compile(r"(jdbc:)?[A-Za-z]\w*([+-]\w+)?")  # matches no text that may be a password

_T = TypeVar("_T")


@dataclass(frozen=True)
class ServerUrl:
    """A server, a user and a database. `str()` is the URL without the password, safe to show."""

    host: str
    port: int
    user: str
    password: str | None
    database: str
    scheme: ClassVar[str]

    def __str__(self) -> str:
        return self._format(f"{quote(self.user, safe='')}@" if self.user else "")

    def with_password(self) -> str:
        """The URL with its password: for a child's environment only, never for a screen or a file."""
        if self.password is None:
            return str(self)
        return self._format(f"{quote(self.user, safe='')}:{quote(self.password, safe='')}@")

    def _format(self, user: str) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{user}{host}:{self.port}/{quote(self.database, safe='')}"

    def __repr__(self) -> str:
        return f"<{self}>"


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


class TargetUrl(ServerUrl):
    """A Redis or Valkey server and database number."""

    scheme = "redis"


def parse_mysql(text: str) -> SourceUrl:
    """Parse `mysql://user[:password]@host[:port]/database`. ValueError says what is wrong, but not the URL."""
    parts = _split(text, "mysql", MYSQL_FORM)
    database = _database(parts, MYSQL_FORM)
    if not database:
        raise ValueError(f"names no database; write {MYSQL_FORM}")
    user = _decode(parts.username or "", MYSQL_FORM)
    if not user:
        raise ValueError(f"names no user; write {MYSQL_FORM}")
    return SourceUrl(
        host=_host(parts, MYSQL_FORM),
        port=_port(parts, MYSQL_PORT, MYSQL_FORM),
        user=user,
        password=_password(parts, MYSQL_FORM),
        database=database,
    )


def parse_redis(text: str) -> TargetUrl:
    """Parse `redis://[[user]:password@]host[:port][/number]`. ValueError: as for `parse_mysql`."""
    parts = _split(text, "redis", REDIS_FORM)
    number = _database(parts, REDIS_FORM) or "0"
    if not (number.isascii() and number.isdigit()):
        raise ValueError(f"has a database that is not a number; write {REDIS_FORM}")
    user = _decode(parts.username or "", REDIS_FORM)
    password = _password(parts, REDIS_FORM)
    if user and password is None:
        raise ValueError(f"has a user but no password; write {REDIS_FORM}, or redis://:PASSWORD@HOST")
    return TargetUrl(
        host=_host(parts, REDIS_FORM),
        port=_port(parts, REDIS_PORT, REDIS_FORM),
        user=user,
        password=password,
        database=str(int(number)),
    )


def add_password(text: str, password: str) -> str:
    """The URL with this password added, otherwise as it was typed. ValueError if it has a password already."""
    scheme, separator, rest = text.partition("://")
    authority, slash, path = rest.partition("/")
    user, _, host = authority.rpartition("@")
    if ":" in user:
        raise ValueError("has a password already, but a password file is named too")
    return f"{scheme}{separator}{user}:{quote(password, safe='')}@{host}{slash}{path}" if separator else text


def _split(text: str, scheme: str, form: str) -> SplitResult:
    found, separator, _ = text.strip().partition("://")
    if not separator:
        raise ValueError(f"is not a URL; write {form}")
    if found in ("rediss", "valkeys") and scheme == "redis":
        raise ValueError(
            f"asks for TLS ({found}://), which is not supported yet; use redis:// inside a trusted network"
        )
    if found == "unix":
        raise ValueError(f"asks for a unix socket (unix://), which is not supported yet; write {form}")
    if found != scheme and _OTHER_SCHEMES[scheme].fullmatch(found):
        raise ValueError(f"starts with {found}://, another program's form; write {form}")
    if found != scheme:
        is_safe = _SCHEME.fullmatch(found)
        wrong = f"starts with {found}:// where {scheme}:// is needed" if is_safe else f"does not start with {scheme}://"
        raise ValueError(f"{wrong}; write {form}")
    parts = _checked(lambda: urlsplit(text.strip()), form)
    if parts.query or parts.fragment:
        raise ValueError(f"has text after '?' or '#', which is not supported (write '%23' for '#'); write {form}")
    return parts


def _host(parts: SplitResult, form: str) -> str:
    host = _decode(_checked(lambda: parts.hostname, form) or "", form)
    if not host or any(c.isspace() for c in host):
        raise ValueError(f"names no host; write {form}")
    return host


def _port(parts: SplitResult, default: int, form: str) -> int:
    try:
        port = parts.port
    except ValueError:
        _bad_port(form)
    if port == 0:
        _bad_port(form)
    return port or default


def _bad_port(form: str) -> NoReturn:
    raise ValueError(f"has a port that is not a number from 1 to 65535; write {form}") from None


def _password(parts: SplitResult, form: str) -> str | None:
    return None if parts.password is None else _decode(parts.password, form)


def _database(parts: SplitResult, form: str) -> str:
    path = parts.path.removeprefix("/").removesuffix("/")
    if "/" in path:
        raise ValueError(f"has more than one '/' after the host (write '%2F' inside a name); write {form}")
    return _decode(path, form)


def _decode(text: str, form: str) -> str:
    return _checked(lambda: unquote(text, errors="strict"), form)


def _checked(parse: Callable[[], _T], form: str) -> _T:
    """The result of `parse`. Its errors are replaced, because they may repeat the URL."""
    try:
        return parse()
    except ValueError:
        raise ValueError(f"cannot be understood (percent-encode special characters); write {form}") from None
