"""A session's settings, so that no result is cut short, refused or different for a server's or an init script's sake.

From the lists of session variables of MySQL 9 and MariaDB 11. PyMySQL's SET NAMES has pinned the character sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymysql.connections import Connection
from pymysql.err import MySQLError

NO_LIMIT = 2**64 - 1  # what both servers take for "all rows"
IDLE_S = 30 * 86400  # a session may be idle for so long (wait_timeout): under a low rate, in a pause
WRITE_STALL_S = 6 * 3600  # how long the server may wait for us: Redis can be slow, a rate limit very low; default 60
_PINNED = (
    "time_zone = '+00:00'", "sql_mode = ''", f"net_write_timeout = {WRITE_STALL_S}", f"wait_timeout = {IDLE_S}",
    f"sql_select_limit = {NO_LIMIT}", "sql_safe_updates = 0", "sql_auto_is_null = 0",
    f"max_join_size = {NO_LIMIT}", "sql_big_selects = 1",  # in this order: the former changes the latter
)  # fmt: skip
_PINNED_IF_KNOWN = (  # of MariaDB alone, by version and build
    "system_versioning_asof = DEFAULT", "idle_transaction_timeout = 0", "idle_readonly_transaction_timeout = 0",
    "wsrep_dirty_reads = 0",
)  # fmt: skip
_UNKNOWN_VARIABLE = 1193


def pin(connection: Connection[Any], *, is_mariadb: bool) -> None:
    """Set what a global setting or init_connect could have made otherwise. MySQLError if the server refuses."""
    with connection.cursor() as cursor:
        limit = "max_statement_time" if is_mariadb else "max_execution_time"
        cursor.execute(f"SET SESSION {', '.join(_PINNED)}, {limit} = 0")
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        if is_mariadb:
            _pin_if_known(cursor, _PINNED_IF_KNOWN)


def _pin_if_known(cursor: Any, settings: Sequence[str]) -> None:
    """All at once, or else each that is there."""
    try:
        cursor.execute(f"SET SESSION {', '.join(settings)}")
    except MySQLError as error:
        if error.args[0] != _UNKNOWN_VARIABLE:
            raise
        for setting in settings if len(settings) > 1 else ():
            _pin_if_known(cursor, [setting])
