"""MySQL and MariaDB: connections, tables, estimates and rows. Only this folder imports pymysql."""

from pymysql.connections import Connection

from shardload.source.connection import (
    CONNECT_TIMEOUT_S,
    IO_TIMEOUT_S,
    abandon,
    begin_snapshot,
    connect,
    end_snapshot,
    is_open,
    raise_error_packet,
    server_version,
)
from shardload.source.estimate import TableKeys
from shardload.source.rows import Values, rows_of
from shardload.source.secured import tls_in_words
from shardload.source.stream import RangeStream
from shardload.source.table import Column, Table, check_readable, describe, quoted, readable_tables, select_sql

__all__ = [
    "CONNECT_TIMEOUT_S",
    "IO_TIMEOUT_S",
    "Column",
    "Connection",
    "RangeStream",
    "Table",
    "TableKeys",
    "Values",
    "abandon",
    "begin_snapshot",
    "check_readable",
    "connect",
    "describe",
    "end_snapshot",
    "is_open",
    "quoted",
    "raise_error_packet",
    "readable_tables",
    "rows_of",
    "select_sql",
    "server_version",
    "tls_in_words",
]
