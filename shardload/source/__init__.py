"""MySQL and MariaDB: connections, tables, estimates and rows. Only this folder imports pymysql."""

from pymysql.connections import Connection

from shardload.source.choice import Chosen, choose_key
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
from shardload.source.figures import SourceGauge
from shardload.source.keys import quoted
from shardload.source.keyspace import TableKeys
from shardload.source.query import check_time_zone, check_where, describe_query, split_query
from shardload.source.rows import Values, keyed_rows_of, rows_of
from shardload.source.secured import tls_in_words
from shardload.source.select import Selection
from shardload.source.stream import RangeStream
from shardload.source.table import Column, Index, Table, check_readable, data_bytes, describe, readable_tables

__all__ = [
    "CONNECT_TIMEOUT_S",
    "IO_TIMEOUT_S",
    "Chosen",
    "Column",
    "Connection",
    "Index",
    "RangeStream",
    "Selection",
    "SourceGauge",
    "Table",
    "TableKeys",
    "Values",
    "abandon",
    "begin_snapshot",
    "check_readable",
    "check_time_zone",
    "check_where",
    "choose_key",
    "connect",
    "data_bytes",
    "describe",
    "describe_query",
    "end_snapshot",
    "is_open",
    "keyed_rows_of",
    "quoted",
    "raise_error_packet",
    "readable_tables",
    "rows_of",
    "server_version",
    "split_query",
    "tls_in_words",
]
