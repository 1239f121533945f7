"""Reads a file of the mysql client's options, such as `~/.my.cnf`: who logs in where, and how TLS is used.

The rules are those of MySQL's own programs (mysys/my_default.c in MySQL's source): what is a comment, what quotes and
backslashes mean, groups, `!include`; of two values the last one counts. configparser has other rules for all of these.
No message repeats what is in the file, because that may be a password.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from shardload.config.addresses import is_number
from shardload.config.urls import SslMode
from shardload.errors import SpecError

# Those that every client reads, MariaDB's as well, and that of this program.
_GROUPS = ("client", "client-server", "client-mariadb", "shardload")
_TEXTS = ("user", "password", "host", "port", "socket", "database", "protocol")
_TLS = ("ssl-mode", "ssl-ca", "ssl-capath", "ssl-cert", "ssl-key")
_SWITCHES = ("ssl", "ssl-verify-server-cert")  # MariaDB's: each is on or off, whatever else is said
_ON = "on"
_REFUSED = ("ssl-crl", "ssl-crlpath")
_OFF = ("0", "off", "false")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "s": " ", '"': '"', "'": "'", "\\": "\\"}
_SPACE = " \t\v\f\r\n"
_MOST_BYTES = 1 << 20
_DEEPEST = 10
_HINT = "write it as ~/.my.cnf is: a line [client], then lines such as user=NAME"


@dataclass(frozen=True, repr=False)
class Defaults:
    """What a file says; None or empty where it says nothing."""

    user: str = ""
    password: str | None = None
    host: str = ""
    port: int = 0
    socket: str = ""
    database: str = ""
    ssl_mode: SslMode | None = None
    ssl_ca: Path | None = None
    ssl_capath: Path | None = None
    ssl_cert: Path | None = None
    ssl_key: Path | None = None


def read_defaults(file: Path, origin: str) -> Defaults:
    """What the file says to this program. SpecError, whose message begins with `origin` (a flag or key), if it cannot
    be read or understood, or if no group of it is for this program."""
    found: dict[str, str | None] = {}
    groups = set()
    for group, line in _lines(file, origin, 0):
        groups.add(group)
        if line and group in _GROUPS:
            _take(found, *_option(line))
    if not groups & set(_GROUPS):
        raise SpecError(f"{origin}: {file} has no group [client]", _HINT)
    return _checked(found, f"{origin}: {file}")


def _lines(file: Path, origin: str, depth: int) -> Iterator[tuple[str, str]]:
    """Each group's name with its lines, those of included files too; a group begins with an empty line."""
    group = ""
    for number, typed in enumerate(_content(file, origin).split("\n"), 1):
        line = typed.strip(_SPACE)
        if not line or line[0] in "#;":
            continue
        if line[0] == "!":
            for included in _included(line, f"{origin}: {file}, line {number}", depth):
                yield from _lines(included, origin, depth + 1)
        elif line[0] == "[":
            if "]" not in line:
                raise SpecError(f"{origin}: {file}, line {number}: a group's name has no ']'", _HINT)
            group = line[1:].partition("]")[0].strip(_SPACE)
            yield group, ""
        elif not group:
            raise SpecError(f"{origin}: {file}, line {number}: an option stands before the first group", _HINT)
        else:
            yield group, line


def _content(file: Path, origin: str) -> str:
    hint = "name a file such as ~/.my.cnf that this user can read"
    try:
        with file.open("rb") as opened:
            mode = file.stat().st_mode
            content = opened.read(_MOST_BYTES + 1)
    except OSError as error:
        raise SpecError(f"{origin}: cannot read {file}: {error.strerror}", hint) from None
    if stat.S_ISREG(mode) and mode & stat.S_IWOTH:  # the client does not use such a file either
        raise SpecError(f"{origin}: everybody may write {file}", f"run: chmod o-w {file}")
    if len(content) > _MOST_BYTES:
        raise SpecError(f"{origin}: {file} is longer than {_MOST_BYTES:,} bytes", hint)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise SpecError(f"{origin}: {file} is not UTF-8 text", "save the file as UTF-8") from None


def _included(line: str, place: str, depth: int) -> list[Path]:
    """The files that `!include FILE` or `!includedir DIRECTORY` names."""
    match = re.fullmatch(r"!\s*(include|includedir)\s+(.+)", line)
    if match is None:
        raise SpecError(f"{place}: only !include FILE and !includedir DIRECTORY begin with '!'", _HINT)
    if depth >= _DEEPEST:
        raise SpecError(f"{place}: files include each other more than {_DEEPEST} deep", "remove the !include")
    path = Path(match[2])
    if match[1] == "include":
        return [path]
    if not path.is_dir():
        raise SpecError(f"{place}: there is no directory {path}", "remove the !includedir, or make the directory")
    return sorted(path.glob("*.cnf"))


def _option(line: str) -> tuple[str, str | None]:
    """An option's name, with '-' for '_', and its value; None if there is no '='."""
    name, equals, value = _without_comment(line).partition("=")
    value = value.strip(_SPACE)
    if len(value) > 1 and value[0] in "'\"" and value[0] == value[-1]:
        value = value[1:-1]
    value = re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[0]), value)
    return name.strip(_SPACE).replace("_", "-"), value if equals else None


def _without_comment(line: str) -> str:
    """The line up to a '#' that is not in quotes. A backslash protects a quote only inside quotes."""
    quote, is_escaped = "", False
    for at, letter in enumerate(line):
        if letter in "'\"" and not is_escaped:
            quote = "" if letter == quote else quote or letter
        if letter == "#" and not quote:
            return line[:at]
        is_escaped = bool(quote) and letter == "\\" and not is_escaped
    return line


def _take(found: dict[str, str | None], name: str, value: str | None) -> None:
    """Keep an option that this program knows. Others are of other programs."""
    name = name.removeprefix("loose-")
    prefix = re.match("(skip|disable|enable)-", name)
    switch = name[prefix.end() :] if prefix else name
    if switch in _SWITCHES:
        is_on = prefix[1] == "enable" if prefix else (value or "1").lower() not in _OFF
        found[switch] = _ON if is_on else ""
    elif name in (*_TEXTS, *_TLS, *_REFUSED):
        found[name] = value


def _mode_of(said: dict[str, str]) -> str:
    """The ssl-mode; empty for none. MariaDB's switches only make it stricter than MySQL's option does: `ssl` alone does
    not take back that a certificate is checked."""
    mode = said.get("ssl-mode", "").upper()
    if said.get("ssl-verify-server-cert") == _ON:
        return "VERIFY_IDENTITY"
    if said.get("ssl") == _ON and mode in ("", "PREFERRED", "DISABLED"):
        return "VERIFY_CA" if said.get("ssl-ca") or said.get("ssl-capath") else "REQUIRED"
    return mode or ("DISABLED" if said.get("ssl") == "" else "")


def _checked(found: dict[str, str | None], place: str) -> Defaults:
    for name, value in found.items():
        if value is None:
            hint = (
                "write the password behind it, or remove the line"
                if name == "password"
                else "write its value behind it"
            )
            raise SpecError(f"{place}: {name} has no value", hint)
    said = {name: value for name, value in found.items() if value is not None}
    if refused := [name for name in _REFUSED if said.get(name)]:
        raise SpecError(
            f"{place}: {refused[0]} is not supported", "remove it: lists of revoked certificates are not read"
        )
    port, mode = said.get("port", ""), _mode_of(said)
    if port and (not is_number(port) or not 0 < int(port) < 65536):
        raise SpecError(f"{place}: port is not a number from 1 to 65535", "write such as port=3306")
    if mode and mode not in get_args(SslMode):
        raise SpecError(f"{place}: ssl-mode is not one of {', '.join(get_args(SslMode))}", "write one of them")
    by_socket = said.get("host", "") in ("", "localhost") and said.get("protocol", "").lower() != "tcp"
    paths = {name.replace("-", "_"): Path(said[name]).absolute() for name in _TLS[1:] if said.get(name)}
    return Defaults(
        user=said.get("user", ""),
        password=said.get("password"),
        host=said.get("host", ""),
        port=int(port or "0"),
        socket=said.get("socket", "") if by_socket else "",
        database=said.get("database", ""),
        ssl_mode=cast(SslMode, mode) if mode else None,
        **paths,
    )
