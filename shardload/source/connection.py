"""Connect to MySQL, begin and end snapshots, and turn pymysql's errors into ours."""

from __future__ import annotations

import select
from typing import Any, NoReturn

from pymysql.connections import Connection
from pymysql.err import MySQLError

from shardload.config.urls import SourceUrl
from shardload.errors import SourceDenied, SourceError, SourceLost, Translation
from shardload.source.codes import raise_for_code
from shardload.source.login import CheckedConnection, LoginRefused
from shardload.source.secured import context_for
from shardload.source.session import set_variables

CONNECT_TIMEOUT_S = 10
IO_TIMEOUT_S = 60


def connect(url: SourceUrl, *, autocommit: bool = True, timeout_s: int = IO_TIMEOUT_S) -> Connection[Any]:
    """Connect, log in and fix the session's settings (utf8mb4, UTC, READ COMMITTED and others, see `session`).

    `timeout_s` limits each wait for MySQL. SourceLost if the server cannot be reached, SourceBusy if it accepts no
    connection now, SourceDenied or SpecError if it refuses.
    """
    try:
        return _log_in(url, autocommit=autocommit, timeout_s=timeout_s)
    except SourceError as error:
        if type(error) is not SourceError:
            raise
        raise SourceLost(error.message, error.hint) from error  # no range is at fault


def _log_in(url: SourceUrl, *, autocommit: bool, timeout_s: int) -> Connection[Any]:
    with translated(f"cannot connect to {url}"):
        connection = CheckedConnection(
            url.passwords,
            url.tls,
            said_in="--mysql-defaults-file" if "password" in url.from_file else "--mysql",
            context=context_for(url),
            unix_socket=url.socket or None,
            host=url.host,
            port=url.port,
            user=url.user,
            password=(url.password or "").encode(),  # PyMySQL would encode text as Latin-1
            database=url.database,
            charset="utf8mb4",
            autocommit=autocommit,
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=timeout_s,
            write_timeout=IO_TIMEOUT_S,
        )
        try:
            set_variables(connection, is_mariadb=is_mariadb(connection))
        except BaseException:
            connection.close()
            raise
        return connection


def begin_snapshot(connection: Connection[Any]) -> None:
    """Begin a snapshot: until `end_snapshot` this connection reads the tables as they are now, if their storage engines
    have transactions."""
    with translated("cannot begin a snapshot"), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")


def end_snapshot(connection: Connection[Any]) -> None:
    """End the snapshot; each query reads the current rows again. Does nothing if there is no snapshot."""
    with translated("cannot end a snapshot"), connection.cursor() as cursor:
        cursor.execute("ROLLBACK")


def abandon(connection: Connection[Any]) -> None:
    """Close the socket at once, without telling MySQL. An unread result is dropped."""
    connection._force_close()  # type: ignore[attr-defined]  # close() would send a message and might wait


def is_open(connection: Connection[Any]) -> bool:
    """False if MySQL has closed this idle connection or sent bytes on its own (MySQL 8 says why it closes)."""
    poll = select.poll()
    poll.register(connection._sock, select.POLLIN)  # type: ignore[attr-defined]
    return not poll.poll(0)


def is_mariadb(connection: Connection[Any]) -> bool:
    """True if the server is MariaDB; some of its settings and errors differ from MySQL's."""
    return "mariadb" in connection.get_server_info().lower()


def server_version(connection: Connection[Any]) -> str:
    """The server's version text, without the prefix that MariaDB adds for old clients."""
    return str(connection.get_server_info()).removeprefix("5.5.5-")


class translated(Translation):  # noqa: N801 - a context manager, named as contextlib's are
    """Turns errors of pymysql and of the socket into ours, which begin with `operation`."""

    def raise_ours(self, error: BaseException) -> None:
        """Raise the matching error of ours; return if it is neither pymysql's nor the socket's."""
        if isinstance(error, LoginRefused):
            raise SourceDenied(f"{self.operation}: {error.args[1]}", error.hint) from error
        if isinstance(error, MySQLError):
            code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
            text = str(error.args[1]) if len(error.args) > 1 else str(error)
            hint = getattr(error, "hint", "")  # login.py sets one
            raise_for_code(self.operation, code, text, hint=hint, is_answer=not 2000 <= code < 3000, cause=error)
        elif isinstance(error, (OSError, EOFError)):
            raise_for_code(self.operation, 0, str(error) or type(error).__name__, is_answer=False, cause=error)


def raise_error_packet(operation: str, payload: bytes) -> NoReturn:
    """Raise our error for an error packet: 0xFF, u16 code, optionally '#' and a state of 5 bytes, the text."""
    code = int.from_bytes(payload[1:3], "little")
    text = payload[9:] if payload[3:4] == b"#" else payload[3:]
    raise_for_code(operation, code, text.decode("utf-8", "replace"))
