"""Environment variables: this module alone reads `os.environ`. It does not import pydantic, which loads slowly."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from shardload.config.urls import add_password, add_sentinel_password
from shardload.errors import SpecError

MYSQL_VARIABLE = "SHARDLOAD_MYSQL_URL"
REDIS_VARIABLE = "SHARDLOAD_REDIS_URL"
STATE_DIR_VARIABLE = "SHARDLOAD_STATE_DIR"
VARIABLES = {"mysql": MYSQL_VARIABLE, "redis": REDIS_VARIABLE, "state_dir": STATE_DIR_VARIABLE}
PASSWORD_FILES = {
    "mysql": "SHARDLOAD_MYSQL_PASSWORD_FILE",
    "redis": "SHARDLOAD_REDIS_PASSWORD_FILE",
    "redis_sentinel": "SHARDLOAD_REDIS_SENTINEL_PASSWORD_FILE",
}
DEFAULT_WORKERS = min(8, os.cpu_count() or 1)
_NOTIFY_VARIABLE = "NOTIFY_SOCKET"  # systemd's, see sd_notify(3)


def current() -> Mapping[str, str]:
    """This process's environment variables."""
    return os.environ


def state_dir_from(flag: Path | None, environ: Mapping[str, str] | None = None) -> Path:
    """The absolute path of the directory of all jobs: from the flag, else the variable, else the XDG default."""
    environ = os.environ if environ is None else environ
    if flag is None and environ.get(STATE_DIR_VARIABLE):
        flag = Path(environ[STATE_DIR_VARIABLE])
    return (flag or default_state_dir(environ)).absolute()


def default_state_dir(environ: Mapping[str, str]) -> Path:
    """`$XDG_STATE_HOME/shardload`, by default `~/.local/state/shardload`."""
    home = environ.get("XDG_STATE_HOME", "")
    base = Path(home) if home.startswith("/") else Path("~/.local/state").expanduser()
    return base / "shardload"


def url_from_environment(name: str, environ: Mapping[str, str] | None = None) -> str | None:
    """The `mysql` or `redis` URL from the environment, not yet parsed; None if there is none.

    If a password file is named too (container engines give secrets as files), its password is put into the URL; also
    the Sentinels' own.
    SpecError if the file cannot be read, or if the URL has a password already.
    """
    environ = os.environ if environ is None else environ
    url, file = environ.get(VARIABLES[name]), environ.get(PASSWORD_FILES[name])
    if url and file:
        url = _with_password(name, url, file, PASSWORD_FILES[name], add_password)
    of_sentinels = environ.get(PASSWORD_FILES["redis_sentinel"]) if name == "redis" else None
    if url and of_sentinels:
        url = _with_password(name, url, of_sentinels, PASSWORD_FILES["redis_sentinel"], add_sentinel_password)
    return url or None


def _with_password(name: str, url: str, file: str, variable: str, add: Callable[[str, str], str]) -> str:
    """The URL with the password in this file, which the variable names."""
    try:
        password = Path(file).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise SpecError(f"cannot read {file}: {cause}", f"{variable} must name a text file") from None
    try:
        return add(url, password)
    except ValueError as error:
        raise SpecError(f"{VARIABLES[name]} {error}", f"remove it from the URL, or unset {variable}") from None


def replace_all(environ: Mapping[str, str]) -> None:
    """Have this process, and all that it starts, see these variables and no others."""
    os.environ.clear()
    os.environ.update(environ)


def take_notify_socket() -> str | None:
    """systemd's notification socket, or None. The variable is removed: children must not inherit it (sd_notify(3))."""
    return os.environ.pop(_NOTIFY_VARIABLE, None) or None
