"""Addresses: a host and a port, as they stand in URLs and flags. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address

from shardload.config.serverurl import bad_port, checked, decode, shown_host

_MOST_DIGITS = 9
_NOT_IN_A_HOST = set("/?#@,[]%\\:")


@dataclass(frozen=True)
class Address:
    """Where a server listens. `str()` is `host:port`, an IPv6 address in brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{shown_host(self.host)}:{self.port}"


def parse_address(text: str) -> Address:
    """An address from `host:port`. ValueError says what is wrong."""
    return read_address(text.strip(), None, "HOST:PORT")


def parse_map(text: str) -> tuple[tuple[Address, Address], ...]:
    """Pairs of addresses from `host:port=host:port,...`. ValueError says what is wrong."""
    pairs: dict[Address, Address] = {}
    for one in text.split(",") if text.strip() else []:
        named, equals, reached = one.partition("=")
        try:
            address, there = parse_address(named), parse_address(reached if equals else "")
        except ValueError:
            raise ValueError("should be addresses such as 10.0.0.1:6379=localhost:7001, separated by commas") from None
        if address in pairs:
            raise ValueError("names an address twice")
        pairs[address] = there
    return tuple(pairs.items())


def read_address(text: str, default_port: int | None, form: str) -> Address:
    """Read `host[:port]`, percent-encoded. ValueError, with `form`, if it is none, or if a port is missing that has no
    default."""
    bracketed = re.fullmatch(r"\[([^\[\]]*)\](?::(.*))?", text, re.DOTALL)
    if bracketed:
        host, port = decode(bracketed[1], form).lower(), bracketed[2]
        name = checked(lambda: IPv6Address(host), form).scope_id or "-"  # an IPv6 address may name an interface
    elif "[" in text or "]" in text:
        raise ValueError(f"cannot be understood (percent-encode special characters); write {form}")
    else:
        before, colon, after = text.partition(":")
        name = host = decode(before, form).lower()
        port = after if colon else None
    if not name or any(c.isspace() or c in _NOT_IN_A_HOST for c in name):
        raise ValueError(f"names no host; write {form}")
    if not port and default_port is not None:
        return Address(host, default_port)
    if not port or not is_number(port) or not 0 < int(port) < 65536:
        raise bad_port(form)
    return Address(host, int(port))


def is_number(text: str) -> bool:
    """True for a number of up to nine digits."""
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
