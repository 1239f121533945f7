"""MySQL and MariaDB: the only room that imports pymysql."""

from pymysql.connections import Connection

from shardload.source.connection import abandon, connect, raise_error_packet
from shardload.source.estimate import TableKeys
from shardload.source.stream import RangeStream
from shardload.source.table import Column, Table, check_readable, describe, quoted, select_sql

__all__ = [
    "Column",
    "Connection",
    "RangeStream",
    "Table",
    "TableKeys",
    "abandon",
    "check_readable",
    "connect",
    "describe",
    "quoted",
    "raise_error_packet",
    "select_sql",
]
