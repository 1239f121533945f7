"""How MySQL is reached: what the flags beside --mysql and the file of --mysql-defaults-file say, put into its URL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, get_args

from pydantic import BaseModel, BeforeValidator, ValidationError

from shardload.config.certificates import mysql_context
from shardload.config.defaultsfile import Defaults, read_defaults
from shardload.config.keyfile import read_public_key
from shardload.config.urls import MYSQL_FORM, PasswordRules, SourceTls, SourceUrl, SslMode, completed
from shardload.config.values import AbsolutePath, HomePath, Source
from shardload.errors import SpecError

NO_MYSQL = SourceUrl(host="", port=0, user="", password=None, database="")  # where a defaults file says it all
_AUTHORITIES = ("mysql_ssl_ca", "mysql_ssl_capath")
_PAIR = ("mysql_ssl_cert", "mysql_ssl_key")
_CHECKING = ("VERIFY_CA", "VERIFY_IDENTITY")


def _parse_mode(value: object) -> object:
    mode = value.upper().replace("-", "_") if isinstance(value, str) else value
    if mode is not None and mode not in get_args(SslMode):
        raise ValueError(f"should be one of {', '.join(get_args(SslMode))}")
    return mode


class MysqlReach(BaseModel):
    """The source, and all that is said of the way to it."""

    mysql: Source
    mysql_defaults_file: HomePath | None = None
    mysql_ssl_mode: Annotated[SslMode | None, BeforeValidator(_parse_mode)] = None
    mysql_ssl_ca: AbsolutePath | None = None
    mysql_ssl_capath: AbsolutePath | None = None
    mysql_ssl_cert: AbsolutePath | None = None
    mysql_ssl_key: AbsolutePath | None = None
    mysql_enable_cleartext_plugin: bool = False
    mysql_get_server_public_key: bool = False
    mysql_server_public_key_path: AbsolutePath | None = None


def mysql_from_flags(url: str | None, flags: Mapping[str, Any]) -> SourceUrl:
    """The URL, which may be missing if there is a defaults file, with what the flags say. SpecError if one is wrong."""
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        reach = MysqlReach(mysql=NO_MYSQL if url is None else url, **given)  # type: ignore[arg-type]  # it parses text
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        name = str(first["loc"][0]).replace("_", "-")
        raise SpecError(f"--{name} {first['msg'].removeprefix('Value error, ')}") from None
    return with_mysql_reach(reach.mysql, dict(reach), {})


def with_mysql_reach(url: SourceUrl, flags: Mapping[str, Any], origins: Mapping[str, str]) -> SourceUrl:
    """The URL with what the flags and the defaults file say; `flags` has their values, as in `MysqlReach`.

    What is in the URL counts before what is in the file, and so does a flag. SpecError, with the flag or its name in
    `origins`, if a file is of no use, if a flag would do nothing, or if neither names a server, a user or a database.
    """
    file = flags.get("mysql_defaults_file")
    defaults = Defaults() if file is None else read_defaults(file, _origin("mysql_defaults_file", origins))
    whole = _with_defaults(url, defaults) if file is not None else url
    for part in ("database", "user", "host"):
        if not getattr(whole, part):
            told = f", and neither does {file}" if file is not None else ""
            raise SpecError(f"{_origin('mysql', origins)} names no {part}{told}", f"write {MYSQL_FORM}")
    tls = _tls(flags, defaults, origins)
    mysql_context(tls, {**_names_in(file, flags), **origins})
    key = flags.get("mysql_server_public_key_path")
    rules = PasswordRules(
        flags.get("mysql_enable_cleartext_plugin", False),
        flags.get("mysql_get_server_public_key", False),
        None if key is None else read_public_key(key, _origin("mysql_server_public_key_path", origins)),
    )
    return replace(completed(whole), tls=tls, passwords=rules)


def _with_defaults(url: SourceUrl, defaults: Defaults) -> SourceUrl:
    """The URL; what it lacks is the file's, and the host is then localhost, as for the mysql client."""
    takes_socket = defaults.socket and not (url.host or url.port)
    if takes_socket:
        url = replace(url, host="localhost", socket=defaults.socket)
    elif not url.socket:
        url = replace(url, host=url.host or defaults.host or "localhost", port=url.port or defaults.port)
    has_user, has_password = bool(url.user), url.password is not None
    taken = {
        "user": not has_user and bool(defaults.user),
        "password": not has_password and defaults.password is not None,
    }
    return replace(
        url,
        user=url.user or defaults.user,
        password=url.password if has_password else defaults.password,
        database=url.database or defaults.database,
        from_file=frozenset(part for part, is_taken in taken.items() if is_taken),
    )


def _tls(flags: Mapping[str, Any], defaults: Defaults, origins: Mapping[str, str]) -> SourceTls:
    """As the mysql client decides: an authority implies that it is checked, unless a mode is named."""
    said = {key: flags.get(key) or getattr(defaults, key.removeprefix("mysql_")) for key in (*_AUTHORITIES, *_PAIR)}
    implied: SslMode = "VERIFY_CA" if any(said[key] for key in _AUTHORITIES) else "PREFERRED"
    mode: SslMode = flags.get("mysql_ssl_mode") or defaults.ssl_mode or implied
    useless = () if mode in _CHECKING else _AUTHORITIES if mode != "DISABLED" else (*_AUTHORITIES, *_PAIR)
    for key in useless:
        if flags.get(key):
            hint = "write --mysql-ssl-mode VERIFY_CA or VERIFY_IDENTITY, or leave it out"
            raise SpecError(f"{_origin(key, origins)} does nothing: the ssl-mode is {mode}", hint)
    for one, other in (_PAIR, _PAIR[::-1]):
        if said[one] and not said[other] and mode != "DISABLED":
            raise SpecError(
                f"{_origin(one, origins)} needs {_origin(other, origins)}", "a certificate and its key belong together"
            )
    if mode == "DISABLED":
        return SourceTls(mode)
    ca, capath = (said[key] if mode in _CHECKING else None for key in _AUTHORITIES)
    return SourceTls(mode, ca, capath, *(said[key] for key in _PAIR))


def _names_in(file: object, flags: Mapping[str, Any]) -> dict[str, str]:
    """What a message calls the files that the defaults file names."""
    return {
        key: f"{file}: {key.removeprefix('mysql_').replace('_', '-')}"
        for key in (*_AUTHORITIES, *_PAIR)
        if flags.get(key) is None
    }


def _origin(key: str, origins: Mapping[str, str]) -> str:
    return origins.get(key, "--" + key.replace("_", "-"))
