"""Set a session's variables, so that a global setting or init_connect cannot shorten, refuse or change a result.

The variables come from the lists of MySQL 9 and MariaDB 11. PyMySQL sets the character sets itself (SET NAMES).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymysql.connections import Connection
from pymysql.err import MySQLError

NO_LIMIT = 2**64 - 1  # "all rows" for both servers
IDLE_S = 30 * 86400  # wait_timeout: a low rate or a pause leaves the session idle
WRITE_STALL_S = 6 * 3600  # net_write_timeout, default 60: a slow Redis or a low rate makes MySQL wait
_VARIABLES = (
    "time_zone = '+00:00'", "sql_mode = ''", f"net_write_timeout = {WRITE_STALL_S}", f"wait_timeout = {IDLE_S}",
    f"sql_select_limit = {NO_LIMIT}", "sql_safe_updates = 0", "sql_auto_is_null = 0",
    f"max_join_size = {NO_LIMIT}", "sql_big_selects = 1",  # in this order: setting the first changes the second
)  # fmt: skip
_OPTIONAL_VARIABLES = (  # only some versions and builds of MariaDB have them
    "system_versioning_asof = DEFAULT", "idle_transaction_timeout = 0", "idle_readonly_transaction_timeout = 0",
    "wsrep_dirty_reads = 0",
)  # fmt: skip
_UNKNOWN_VARIABLE = 1193


def set_variables(connection: Connection[Any], *, is_mariadb: bool) -> None:
    """Set the session's variables and isolation level. MySQLError if the server refuses."""
    with connection.cursor() as cursor:
        limit = "max_statement_time" if is_mariadb else "max_execution_time"
        cursor.execute(f"SET SESSION {', '.join(_VARIABLES)}, {limit} = 0")
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        if is_mariadb:
            _set_if_known(cursor, _OPTIONAL_VARIABLES)


def _set_if_known(cursor: Any, settings: Sequence[str]) -> None:
    """Set all at once. If the server does not know one, set each alone and skip the unknown ones."""
    try:
        cursor.execute(f"SET SESSION {', '.join(settings)}")
    except MySQLError as error:
        if error.args[0] != _UNKNOWN_VARIABLE:
            raise
        for setting in settings if len(settings) > 1 else ():
            _set_if_known(cursor, [setting])
