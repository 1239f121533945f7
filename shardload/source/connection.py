"""Connecting to MySQL, the session's settings, and what MySQL's errors mean to us."""

from __future__ import annotations

import select
from typing import Any, NoReturn

from pymysql.connections import Connection
from pymysql.err import MySQLError

from shardload.config.urls import SourceUrl
from shardload.errors import SourceError, SourceLost, Translation
from shardload.source.codes import MOST_TEXT, raise_coded
from shardload.source.login import CheckedConnection
from shardload.source.session import pin

CONNECT_TIMEOUT_S = 10
IO_TIMEOUT_S = 60


def connect(url: SourceUrl, *, autocommit: bool = True, patience_s: int = IO_TIMEOUT_S) -> Connection[Any]:
    """A connection whose session is pinned: utf8mb4, UTC, READ COMMITTED, patient writes. No wait for MySQL is longer
    than `patience_s`.

    SourceLost if the server cannot be reached, SourceDenied or SpecError if it refuses.
    """
    try:
        return _connected(url, autocommit=autocommit, patience_s=patience_s)
    except SourceError as error:
        if type(error) is not SourceError:
            raise
        raise SourceLost(error.message, error.hint) from error  # no range is at fault for it


def _connected(url: SourceUrl, *, autocommit: bool, patience_s: int) -> Connection[Any]:
    with translated(f"cannot connect to {url}"):
        connection = CheckedConnection(
            url.passwords,
            host=url.host,
            port=url.port,
            user=url.user,
            password=(url.password or "").encode(),  # as text PyMySQL would take it for Latin-1
            database=url.database,
            charset="utf8mb4",
            autocommit=autocommit,
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=patience_s,
            write_timeout=IO_TIMEOUT_S,
        )
        try:
            pin(connection, is_mariadb=is_mariadb(connection))
        except BaseException:
            connection.close()
            raise
        return connection


def begin_snapshot(connection: Connection[Any]) -> None:
    """From here on this connection reads the tables as they are now, as far as their storage engines can."""
    with translated("cannot begin a snapshot"), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")


def end_snapshot(connection: Connection[Any]) -> None:
    """This connection reads what is there at each moment again. Nothing happens where there is no snapshot."""
    with translated("cannot end a snapshot"), connection.cursor() as cursor:
        cursor.execute("ROLLBACK")


def abandon(connection: Connection[Any]) -> None:
    """Close the socket without a word: what is still on its way is of no interest."""
    connection._force_close()  # type: ignore[attr-defined]  # close() would talk to a server that may be gone


def is_open(connection: Connection[Any]) -> bool:
    """False if MySQL has closed this idle connection, or sent what nobody asked for (MySQL 8 says why it closes)."""
    poll = select.poll()
    poll.register(connection._sock, select.POLLIN)  # type: ignore[attr-defined]
    return not poll.poll(0)


def is_mariadb(connection: Connection[Any]) -> bool:
    """True for MariaDB, whose settings and errors differ here and there."""
    return "mariadb" in connection.get_server_info().lower()


def server_version(connection: Connection[Any]) -> str:
    """What the server calls itself, without the prefix that MariaDB bears for old clients."""
    return str(connection.get_server_info()).removeprefix("5.5.5-")


class translated(Translation):  # noqa: N801 - a context manager, named as contextlib's are
    """Errors of pymysql and of the socket, as errors of ours that begin with `operation`."""

    def raise_ours(self, error: BaseException) -> None:
        """The error of ours, if it is one of theirs."""
        if isinstance(error, MySQLError):
            code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
            text = str(error.args[1]) if len(error.args) > 1 else str(error)
            hint = getattr(error, "hint", "")  # login.py gives one
            raise_coded(self.operation, code, text, hint=hint, is_answer=not 2000 <= code < 3000, cause=error)
        elif isinstance(error, (OSError, EOFError)):
            raise_coded(self.operation, 0, str(error) or type(error).__name__, is_answer=False, cause=error)


def raise_error_packet(operation: str, payload: bytes) -> NoReturn:
    """The error that MySQL sent in the middle of a result: 0xFF, u16 code, optionally '#' and a state, the text."""
    code = int.from_bytes(payload[1:3], "little")
    text = payload[9:] if payload[3:4] == b"#" else payload[3:]
    raise_coded(operation, code, text[: 4 * MOST_TEXT + 4].decode("utf-8", "replace"))
