"""What the URLs of all servers have in common: the fields, how they are shown, and how parts are decoded. Pure.

No message here repeats a URL as it was typed, because it may contain a password.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeVar
from urllib.parse import quote, unquote

# A scheme that is no part of a password: what is typed before `://` is shown only if it looks like one.
_SCHEME = re.compile(r"(jdbc:)?[A-Za-z]\w*([+-]\w+)?")

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

    @property
    def has_secret(self) -> bool:
        """True if `str()` leaves something out."""
        return self.password is not None

    def __str__(self) -> str:
        return self._format(quoted_login(self.user, None), "")

    def with_password(self) -> str:
        """The URL with its password: for a child's environment only, never for a screen or a file."""
        return self._format(quoted_login(self.user, self.password), "")

    def _format(self, login: str, _more: str) -> str:
        return f"{self.scheme}://{login}{shown_host(self.host)}:{self.port}/{quote(self.database, safe='')}"

    def __repr__(self) -> str:
        return f"<{self}>"


def quoted_login(user: str, password: str | None) -> str:
    """User and password as they stand before a host, with the `@`."""
    if password is None:
        return f"{quote(user, safe='')}@" if user else ""
    return f"{quote(user, safe='')}:{quote(password, safe='')}@"


def shown_host(host: str) -> str:
    """A host as it stands in a URL: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def add_password(text: str, password: str) -> str:
    """The URL with this password added, otherwise as it was typed. ValueError if it has a password already."""
    scheme, separator, rest = text.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    tail = rest[len(authority) :]
    user, _, host = authority.rpartition("@")
    if ":" in user or re.search(r"[?&]password=", tail):
        raise ValueError("has a password already, but a password file is named too")
    return f"{scheme}{separator}{user}:{quote(password, safe='')}@{host}{tail}" if separator else text


def add_sentinel_password(text: str, password: str) -> str:
    """The URL with this password of the Sentinels added. ValueError if it names none, or has one already."""
    before, mark, fragment = text.partition("#")
    if "sentinel" not in before.partition("://")[0].lower():
        raise ValueError("names no Sentinels, but a file with their password is named")
    if "sentinel_password=" in before:
        raise ValueError("has a sentinel_password already, but a file with it is named too")
    joint = "&" if "?" in before else "?"
    return f"{before}{joint}sentinel_password={quote(password, safe='')}{mark}{fragment}"


def wrong_scheme(found: str, needed: str) -> str:
    """The words that refuse a scheme. It is repeated only if it can be no part of a password."""
    if _SCHEME.fullmatch(found):
        return f"starts with {found}:// where {needed}:// is needed"
    return f"does not start with {needed}://"


def decode(text: str, form: str) -> str:
    """Percent-decoded text. ValueError, with the form of a URL, if it is not UTF-8."""
    return checked(lambda: unquote(text, errors="strict"), form)


def checked(parse: Callable[[], _T], form: str) -> _T:
    """The result of `parse`. Its errors are replaced, because they may repeat the URL."""
    try:
        return parse()
    except ValueError:
        raise ValueError(f"cannot be understood (percent-encode special characters); write {form}") from None


def bad_port(form: str) -> ValueError:
    """The error for a port that is none."""
    return ValueError(f"has a port that is not a number from 1 to 65535; write {form}")
