"""Redis's URLs: one server by TCP, TLS or a unix socket, a group of Sentinels, or a cluster. Pure.

The forms are those of redis-py, redis-cli, Lettuce and RIOT; `str()` writes them in one way. No message repeats a URL
as it was typed, because it may contain a password.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal
from urllib.parse import quote

from shardload.config.addresses import Address, is_number, read_address
from shardload.config.serverurl import (
    ServerUrl,
    decode,
    quoted_login,
    wrong_scheme,
)

Kind = Literal["standalone", "sentinel", "cluster"]

REDIS_PORT = 6379
SENTINEL_PORT = 26379
REDIS_FORM = "redis://USER:PASSWORD@HOST:6379/0"
SOCKET_FORM = "unix:///PATH?db=0"
SENTINEL_FORM = "redis+sentinel://HOST:26379,HOST/MASTER/0"
CLUSTER_FORM = "redis+cluster://HOST:6379,HOST"
REDIS_FORMS = f"{REDIS_FORM}, {SOCKET_FORM}, {SENTINEL_FORM} or {CLUSTER_FORM}; with TLS rediss in place of redis"

_SCHEME = re.compile(
    r"(?:redis|valkey)(?P<tls>s?)(?:[+-](?P<kind>sentinel|cluster|socket))?|(?P<unix>unix)", re.IGNORECASE
)
_PARTS = re.compile(r"([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL)


@dataclass(frozen=True)
class TlsRules:
    """How a connection with TLS is made. By default the server's certificate is checked as a browser would."""

    cacert: Path | None = None
    """The certificates (PEM) of the authorities that are trusted, in place of the system's."""
    cacertdir: Path | None = None
    """A directory of such certificates, as `openssl rehash` makes it."""
    cert: Path | None = None
    """This client's certificate (PEM)."""
    key: Path | None = None
    """The private key of `cert`."""
    sni: str = ""
    """The name that is asked for, and that the certificate must have; empty: the host's."""
    insecure: bool = False
    """Trust any certificate."""


@dataclass(frozen=True, repr=False)
class TargetUrl(ServerUrl):
    """A Redis or Valkey: one server, one that Sentinels know, or a cluster. `host` and `port` are the first address."""

    scheme: ClassVar[str] = "redis"
    kind: Kind = "standalone"
    more: tuple[Address, ...] = ()
    """Addresses after the first: of Sentinels, or of nodes of the cluster."""
    path: str = ""
    """Of a unix socket. Host and port are then empty."""
    service: str = ""
    """The name under which Sentinels know the master."""
    sentinel_user: str = ""
    sentinel_password: str | None = None
    tls: TlsRules | None = None
    """None: no TLS."""
    map: tuple[tuple[Address, Address], ...] = ()
    """Addresses that servers name, each with the one at which it can be reached from here."""

    @property
    def addresses(self) -> tuple[Address, ...]:
        """All addresses in the URL, at least one."""
        return (Address(self.host, self.port), *self.more)

    @property
    def identity(self) -> str:
        """What stays if the same target is named by others of its nodes, or of its Sentinels; `str()` of one server."""
        if self.kind == "standalone":
            return str(self)
        return (
            f"a cluster, database {self.database}"
            if self.kind == "cluster"
            else (f"the Sentinels' master {self.service}, database {self.database}")
        )

    @property
    def has_secret(self) -> bool:
        """True if `str()` leaves a password out."""
        return self.password is not None or self.sentinel_password is not None

    def at(self, address: Address) -> TargetUrl:
        """One server with data: at this address or at the one that `map` has for it; otherwise as this URL says."""
        path = self.path if address == self.addresses[0] else ""
        there = dict(self.map).get(address, address)
        return replace(
            self, host=there.host, port=there.port, path=path, kind="standalone",
            more=(), service="", sentinel_user="", sentinel_password=None,
        )  # fmt: skip

    def sentinel_at(self, address: Address) -> TargetUrl:
        """One Sentinel: as `at`, with the Sentinels' own user and password. It has no databases."""
        return replace(self.at(address), user=self.sentinel_user, password=self.sentinel_password, database="0")

    def __str__(self) -> str:
        return self._format(quoted_login(self.user, None), self._query(None))

    def with_password(self) -> str:
        """The URL with its passwords: for a child's environment only, never for a screen or a file."""
        return self._format(quoted_login(self.user, self.password), self._query(self.sentinel_password))

    def _format(self, login: str, more: str) -> str:
        database = quote(self.database, safe="")
        if self.path:
            return f"unix://{login}{quote(self.path)}?db={database}"
        scheme = ("rediss" if self.tls else "redis") + ("" if self.kind == "standalone" else f"+{self.kind}")
        hosts = ",".join(str(Address(one.host.replace("%", "%25"), one.port)) for one in self.addresses)
        service = f"/{quote(self.service, safe='')}" if self.kind == "sentinel" else ""
        return f"{scheme}://{login}{hosts}{service}/{database}{more}"

    def _query(self, sentinel_password: str | None) -> str:
        asked = [("sentinel_user", self.sentinel_user or None), ("sentinel_password", sentinel_password)]
        return "?" * any(value is not None for _, value in asked) + "&".join(
            f"{name}={quote(value, safe='')}" for name, value in asked if value is not None
        )


@dataclass(frozen=True)
class _Parts:
    """A URL that was taken apart; nothing is decoded."""

    authority: str
    path: str
    query: str
    fragment: str
    form: str

    def login(self) -> tuple[str, str | None]:
        """User and password."""
        user, colon, password = self.authority.rpartition("@")[0].partition(":")
        return decode(user, self.form), decode(password, self.form) if colon else None

    def addresses(self, default_port: int) -> list[Address]:
        """The hosts, at least one. A port may be missing."""
        return [read_address(one, default_port, self.form) for one in self.authority.rpartition("@")[2].split(",")]

    def names(self) -> list[str]:
        """The decoded words of the path."""
        path = self.path.removeprefix("/").removesuffix("/")
        return [decode(word, self.form) for word in path.split("/")] if path else []

    def parameters(self, *known: str) -> dict[str, str]:
        """What stands after the `?`. A '+' in it is a plus. ValueError if one is not known, or given twice."""
        found: dict[str, str] = {}
        for one in self.query.split("&") if self.query else []:
            name, equals, value = one.partition("=")
            if name not in known or not equals or name in found:
                wrong = f"has something after '?' that is not {' or '.join(f'{name}=' for name in known)}"
                raise ValueError(f"{wrong} (write '%26' for '&'); write {self.form}")
            found[name] = decode(value, self.form)
        return found

    def refuse_more(self, *, query: bool) -> None:
        """ValueError if there is a fragment, or, with `query`, a query."""
        if self.fragment or (query and self.query):
            raise ValueError(
                f"has text after '?' or '#', which is not supported (write '%23' for '#'); write {self.form}"
            )


def parse_redis(text: str) -> TargetUrl:
    """Parse one of `REDIS_FORMS`. ValueError says what is wrong, but not the URL."""
    found, separator, rest = text.strip().partition("://")
    if not separator:
        raise ValueError(f"is not a URL; write {REDIS_FORMS}")
    scheme = _SCHEME.fullmatch(found)
    if scheme is None or (scheme["tls"] and scheme["kind"] == "socket"):
        raise ValueError(f"{wrong_scheme(found, 'redis')}; write {REDIS_FORMS}")
    kind = (scheme["kind"] or ("socket" if scheme["unix"] else "")).lower()
    form = {"socket": SOCKET_FORM, "sentinel": SENTINEL_FORM, "cluster": CLUSTER_FORM}.get(kind, REDIS_FORM)
    split = _PARTS.fullmatch(rest)
    assert split is not None
    parts = _Parts(split[1], split[2], split[3] or "", split[4] or "", form)
    url = {"socket": _socket, "sentinel": _sentinel, "cluster": _cluster}.get(kind, _standalone)(parts)
    return replace(url, tls=TlsRules()) if scheme["tls"] else url


def _standalone(parts: _Parts) -> TargetUrl:
    parts.refuse_more(query=True)
    user, password = _checked_login(*parts.login(), parts.form)
    names = parts.names()
    addresses = parts.addresses(REDIS_PORT)
    if len(addresses) > 1:
        raise ValueError(f"names several hosts; write {CLUSTER_FORM} or {SENTINEL_FORM}")
    (first,) = addresses
    return TargetUrl(first.host, first.port, user, password, _number(_only(names, parts.form), parts.form))


def _cluster(parts: _Parts) -> TargetUrl:
    parts.refuse_more(query=True)
    user, password = _checked_login(*parts.login(), parts.form)
    first, *more = parts.addresses(REDIS_PORT)
    number = _number(_only(parts.names(), parts.form), parts.form)
    return TargetUrl(first.host, first.port, user, password, number, kind="cluster", more=tuple(more))


def _sentinel(parts: _Parts) -> TargetUrl:
    """`/MASTER/0`, `/MASTER`, or as Lettuce writes it: `/0?sentinelMasterId=MASTER`, `/0#MASTER`."""
    asked = parts.parameters("sentinelMasterId", "database", "db", "sentinel_user", "sentinel_password")
    user, password = _checked_login(*parts.login(), parts.form)
    sentinel_user, sentinel_password = asked.get("sentinel_user", ""), asked.get("sentinel_password")
    if sentinel_user and sentinel_password is None:
        raise ValueError(f"has a sentinel_user but no sentinel_password; write {parts.form}")
    names = parts.names()
    service = asked.get("sentinelMasterId", decode(parts.fragment, parts.form))
    if not service and names and not (len(names) == 1 and is_number(names[0])):
        service = names.pop(0)
    if not service:
        raise ValueError(f"names no master; write {parts.form}")
    first, *more = parts.addresses(SENTINEL_PORT)
    number = asked.get("database", asked.get("db", _only(names, parts.form)))
    return TargetUrl(
        first.host, first.port, user, password, _number(number, parts.form), kind="sentinel", more=tuple(more),
        service=service, sentinel_user=sentinel_user, sentinel_password=sentinel_password,
    )  # fmt: skip


def _socket(parts: _Parts) -> TargetUrl:
    parts.refuse_more(query=False)
    asked = parts.parameters("db", "database", "username", "password")
    if parts.authority.rpartition("@")[2]:
        raise ValueError(f"names a host; the path of a unix socket begins with '/'; write {parts.form}")
    user, password = parts.login()
    user, password = _checked_login(asked.get("username", user), asked.get("password", password), parts.form)
    path = decode(parts.path, parts.form)
    if len(path) < 2 or "\0" in path:
        raise ValueError(f"names no path; write {parts.form}")
    number = _number(asked.get("db", asked.get("database", "")), parts.form)
    return TargetUrl("", 0, user, password, number, path=path)


def _checked_login(user: str, password: str | None, form: str) -> tuple[str, str | None]:
    if user and password is None:
        raise ValueError(f"has a user but no password; write {form}, or redis://:PASSWORD@HOST")
    return user, password


def _only(names: list[str], form: str) -> str:
    if len(names) > 1:
        raise ValueError(f"has more than one '/' after the host (write '%2F' inside a name); write {form}")
    return names[0] if names else ""


def _number(text: str, form: str) -> str:
    if text and not is_number(text):
        raise ValueError(f"has a database that is not a number; write {form}")
    return str(int(text or "0"))
