"""Connecting to MySQL, the session's settings, and what MySQL's errors mean to us."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import Any, NoReturn

from pymysql.connections import Connection
from pymysql.err import MySQLError

from shardload.errors import SourceDenied, SourceError, SourceLost, SpecError, Translation
from shardload.urls import SourceUrl

CONNECT_TIMEOUT_S = 10
IO_TIMEOUT_S = 60
IDLE_S = 30 * 86400  # a session may be idle for so long (wait_timeout): under a low rate, in a pause
WRITE_STALL_S = 6 * 3600  # how long the server may wait for us: Redis can be slow, a rate limit very low; default 60

NO_LIMIT = 2**64 - 1  # what both servers take for "all rows"
_PINNED = (
    "time_zone = '+00:00'", "sql_mode = ''", f"net_write_timeout = {WRITE_STALL_S}", f"wait_timeout = {IDLE_S}",
    f"sql_select_limit = {NO_LIMIT}", "sql_safe_updates = 0", "sql_auto_is_null = 0",
    f"max_join_size = {NO_LIMIT}", "sql_big_selects = 1",  # in this order: the former changes the latter
)  # fmt: skip
_PINNED_IF_KNOWN = (  # of MariaDB alone
    "system_versioning_asof = DEFAULT", "idle_transaction_timeout = 0", "idle_readonly_transaction_timeout = 0",
    "wsrep_dirty_reads = 0",
)  # fmt: skip
_UNKNOWN_VARIABLE = 1193

# Errors that go away by themselves, or with a new connection.
_LOST = {
    1040, 1203, 1226,  # too many connections, for all, for this user, this hour
    1053, 1077, 1079, 1080, 1152, 1184,  # the server is going down, or has dropped us
    1158, 1159, 1160, 1161, 4031, 1927,  # reading or writing packets failed; idle or killed connection
    1205, 1213, 1317, 1969, 3024,  # lock wait, deadlock, interrupted query, out of its time
    2002, 2003, 2005, 2006, 2013, 2014, 2055,  # the client's own: cannot connect, gone away
}  # fmt: skip
_WRONG_SPEC = {1049, 1054, 1146, 1109}  # no such database, column, table
_DENIED = {1044, 1045, 1142, 1143, 1227, 1698, 1820, 1862, 3118, 4151}  # rights, passwords, locked accounts
_HINTS = {
    1044: "give this user the right to read the database: GRANT SELECT",
    1045: "check user and password in --mysql",
    1698: "check user and password in --mysql",
    1049: "check the database at the end of --mysql",
    1142: "give this user the right to read the table: GRANT SELECT",
    1143: "give this user the right to read the columns, or choose others with --columns",
    1146: "check --table and the database in --mysql",
}


class _Connection(Connection):
    """PyMySQL takes TLS where the server offers it, as MySQL's own clients do, and checks no certificate unless it is
    told whose; yet it reads all that the system trusts for it, which takes longer than everything else here."""

    def _create_ssl_ctx(self, _options: dict[str, Any]) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context


def connect(url: SourceUrl, *, autocommit: bool = True, patience_s: int = IO_TIMEOUT_S) -> Connection[Any]:
    """A connection whose session is pinned: utf8mb4, UTC, READ COMMITTED, patient writes. No wait for MySQL is longer
    than `patience_s`.

    SourceLost if the server cannot be reached, SourceError or SpecError if it refuses.
    """
    with translated(f"cannot connect to {url}"):
        connection = _Connection(
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
            _pin(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def begin_snapshot(connection: Connection[Any]) -> None:
    """From here on this connection reads the tables as they are now, as far as their storage engines can."""
    with translated("cannot begin a snapshot"), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")


def abandon(connection: Connection[Any]) -> None:
    """Close the socket without a word: what is still on its way is of no interest."""
    connection._force_close()  # type: ignore[attr-defined]  # close() would talk to a server that may be gone


def is_mariadb(connection: Connection[Any]) -> bool:
    """True for MariaDB, whose settings and errors differ here and there."""
    return "mariadb" in connection.get_server_info().lower()


def server_version(connection: Connection[Any]) -> str:
    """What the server calls itself, without the prefix that MariaDB bears for old clients."""
    return str(connection.get_server_info()).removeprefix("5.5.5-")


def _pin(connection: Connection[Any]) -> None:
    """Set what a global setting or init_connect could have made otherwise, so that no result is cut short, refused or
    different. From both servers' lists of session variables; PyMySQL's SET NAMES has pinned the character sets."""
    with connection.cursor() as cursor:
        limit = "max_statement_time" if is_mariadb(connection) else "max_execution_time"
        cursor.execute(f"SET SESSION {', '.join(_PINNED)}, {limit} = 0")
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        if is_mariadb(connection):
            _pin_if_known(cursor, _PINNED_IF_KNOWN)


def _pin_if_known(cursor: Any, settings: Sequence[str]) -> None:
    """These depend on version and build: all at once, or else each that is there."""
    try:
        cursor.execute(f"SET SESSION {', '.join(settings)}")
    except MySQLError as error:
        if error.args[0] != _UNKNOWN_VARIABLE:
            raise
        for setting in settings if len(settings) > 1 else ():
            _pin_if_known(cursor, [setting])


class translated(Translation):  # noqa: N801 - a context manager, named as contextlib's are
    """Errors of pymysql and of the socket, as errors of ours that begin with `operation`."""

    def raise_ours(self, error: BaseException) -> None:
        """The error of ours, if it is one of theirs."""
        if isinstance(error, MySQLError):
            code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
            text = str(error.args[1]) if len(error.args) > 1 else str(error)
            _raise(self.operation, code, text, error)
        elif isinstance(error, (OSError, EOFError)):
            raise SourceLost(f"{self.operation}: {error or type(error).__name__}", _REACH) from error


_REACH = "check that MySQL runs and that host and port in --mysql are right"


def raise_error_packet(operation: str, payload: bytes) -> NoReturn:
    """The error that MySQL sent in the middle of a result: 0xFF, u16 code, optionally '#' and a state, the text."""
    code = int.from_bytes(payload[1:3], "little")
    text = payload[9:] if payload[3:4] == b"#" else payload[3:]
    _raise(operation, code, text.decode("utf-8", "replace"), None)


def _raise(operation: str, code: int, text: str, cause: BaseException | None) -> NoReturn:
    message = f"{operation}: {text} [{code}]" if code else f"{operation}: {text}"
    if code in _LOST:
        raise SourceLost(message, _REACH) from cause
    if code in _WRONG_SPEC:
        raise SpecError(message, _HINTS.get(code, "check the names against the table")) from cause
    if code in _DENIED:
        raise SourceDenied(message, _HINTS.get(code, "check user, password and rights")) from cause
    raise SourceError(message, _HINTS.get(code, "")) from cause
