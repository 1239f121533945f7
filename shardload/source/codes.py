"""Turn MySQL's error codes into our errors: wait, correct the spec, get rights, or report a failed range.

The codes come from the lists of MySQL and MariaDB (`messages_to_clients.txt`, `errmsg-utf8.txt`; 2000 to 2999 are the
client library's, from `errmsg.h`), and from Galera, ProxySQL, MaxScale, Vitess, TiDB and Amazon's RDS Proxy.
"""

from __future__ import annotations

from typing import NoReturn

from shardload.errors import SourceBusy, SourceDenied, SourceError, SourceFull, SourceLost, SpecError
from shardload.model.printable import bounded

MOST_TEXT = 500  # characters; MySQL's own texts have at most 512 bytes
# login.py raises these too
ACCESS_DENIED, TLS_NEEDED = 1045, 3159
NO_SERVER, GREETING, MALFORMED, PLUGIN_UNKNOWN, LOGIN_REFUSED = 2002, 2012, 2027, 2059, 2061

_FULL = {1040, 1203, 1226}  # too many connections: in all, of this user, in this hour
# The server answers that it cannot do this now. No row is at fault, and waiting helps.
_BUSY = {
    1129, 1135, 1637,  # too many errors, threads or transactions
    1021, 1037, 1038, 1041, 3019,  # its disk or its memory is full
    1053, 1077, 1078, 1079, 1080, 3032, 3168,  # it shuts down, is in offline mode, or is not available
    1152, 1184, 1927, 3169, 4031,  # it closed the connection: aborted, killed, idle for too long
    1158, 1159, 1160, 1161,  # it could not read from the network, or write to it
    1020, 1205, 1206, 1213, 1412, 3572,  # locks; another transaction changed the row or table
    1290, 1792, 1836, 1874,  # it is read-only
    1317,  # the query was ended: KILL QUERY, a failover
    1297, 1429, 1430, 1615,  # a temporary error of an engine, or of the server behind it
    1047,  # Galera: the node has left the cluster, or is not ready yet
    1105,  # Vitess: no healthy tablet; MySQL's "unknown error"
    9001, 9002, 9003, 9004, 9005,  # ProxySQL: no server in the hostgroup; TiDB: PD, TiKV or a region does not answer
    9006,  # TiDB: the snapshot was too old; ProxySQL: the connection is locked to a hostgroup
    9501,  # RDS Proxy: no free connection to the database
}  # fmt: skip
# The connection is lost, or the query took too long; a row may be the cause.
_LOST = {1969, 3024, MALFORMED, GREETING, *range(2000, 2008), 2013, 2014, 2020, 2026, 2055}
_WRONG_SPEC = {1049, 1054, 1102, 1103, 1109, 1146, 1166, 1176, 1356}  # no such database, column, table, index
_DENIED = {
    1044, 1045, 1142, 1143, 1227, 1449, 1698,  # rights and passwords
    1130, 1820, 1862, 3118, 3955, 4151,  # hosts, expired passwords, locked accounts
    1251, 1275, 1524, 2049, TLS_NEEDED, PLUGIN_UNKNOWN, LOGIN_REFUSED,  # ways to log in
}  # fmt: skip

_REACH = "check that MySQL runs and that host and port in --mysql are right"
_TOO_MANY = "use fewer --workers, or raise this limit in MySQL"
_READ_ONLY = "check the proxy before MySQL: it sends a SELECT to a server that refuses it as a write"
_PLUGIN = "give this user another login plugin, such as: ALTER USER ... IDENTIFIED WITH caching_sha2_password"
_HOSTGROUP = "check in the proxy that a server of this hostgroup is up"
_HINTS = {
    1040: _TOO_MANY, 1203: _TOO_MANY, 1226: _TOO_MANY, 1637: _TOO_MANY,
    1021: "free space on MySQL's disk",
    1044: "give this user the right to read the database: GRANT SELECT",
    1045: "check user and password in --mysql",
    1047: "wait until this Galera node is in its cluster again, or name another node in --mysql",
    1049: "check the database at the end of --mysql",
    1129: "MySQL blocks this host: run FLUSH HOSTS there, and find out why connections broke",
    1130: "allow this user from this host: CREATE USER 'USER'@'HOST'",
    1142: "give this user the right to read the table: GRANT SELECT",
    1143: "give this user the right to read the columns, or choose others with --columns",
    1146: "check --table and the database in --mysql",
    1251: _PLUGIN, 1275: _PLUGIN, 1524: _PLUGIN, 2049: _PLUGIN, PLUGIN_UNKNOWN: _PLUGIN,
    1290: _READ_ONLY, 1792: _READ_ONLY, 1836: _READ_ONLY, 1874: _READ_ONLY,
    1698: "check user and password in --mysql",
    3032: "wait until MySQL's offline_mode is off, or name another server in --mysql",
    TLS_NEEDED: "MySQL requires TLS but does not offer it: give it a certificate",
    9001: _HOSTGROUP, 9002: _HOSTGROUP,
    9501: "the proxy has no free connection: use fewer --workers, or raise its limit",
}  # fmt: skip


def raise_for_code(
    operation: str, code: int, text: str, *, hint: str = "", is_answer: bool = True, cause: BaseException | None = None
) -> NoReturn:
    """Raise our error for MySQL's code and text; a long text is cut. Code 0 means a lost connection.

    `is_answer` is true if the server sent the code. A proxy that has lost its server sends codes of the client library,
    2000 and above; then waiting helps.
    """
    text = bounded(text, MOST_TEXT)
    message = f"{operation}: {text} [{code}]" if code else f"{operation}: {text or 'the connection is closed'}"
    hint = hint or _HINTS.get(code, "")
    if code in _FULL:
        raise SourceFull(message, hint) from cause
    if code in _BUSY or (is_answer and code in _LOST and code >= 2000):
        raise SourceBusy(message, hint or "wait for MySQL; if the error stays, see MySQL's log") from cause
    if code in _LOST or not code:
        raise SourceLost(message, hint or _REACH) from cause
    if code in _WRONG_SPEC:
        raise SpecError(message, hint or "compare the names with the table's") from cause
    if code in _DENIED:
        raise SourceDenied(message, hint or "check user, password and rights") from cause
    raise SourceError(message, hint) from cause
