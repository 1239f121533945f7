"""A range's rows as raw bytes of MySQL's text protocol, without an object a row.

pymysql sends the query and reads the column descriptions; from the first row's packet on this module reads the
socket itself, into one buffer. What it needs of pymysql's inside is listed in `INTERNALS`, and a test holds it.
"""

from __future__ import annotations

from typing import Any, cast

from pymysql.connections import Connection, MySQLResult
from pymysql.constants import COMMAND

from shardload.errors import SourceLost
from shardload.source.connection import IO_TIMEOUT_S, translated

BUFFER_BYTES = 256 * 1024
INTERNALS = {
    "connection": ("_execute_command", "_next_seq_id", "_rfile", "_sock", "_force_close"),
    "result": ("init_unbuffered_query", "unbuffered_active"),
}


class RangeStream:
    """One query at a time on a connection of its own. The buffer grows only to the largest row."""

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection = connection
        self._raw = cast(Any, connection)  # the attributes in INTERNALS are not in the type stubs
        self._buffer = bytearray(BUFFER_BYTES)
        self._start = self._end = 0
        self._piece: memoryview | None = None
        self._read_ahead = False

    def begin(self, sql: str) -> int:
        """Send the query. The result is the sequence number of the first row's packet.

        SourceLost or SourceError if MySQL does not answer with a result set.
        """
        self._release()
        if len(self._buffer) > BUFFER_BYTES:
            self._buffer = bytearray(BUFFER_BYTES)  # the room that one large row needed is not kept
        self._start = self._end = 0
        with translated("reading a range"):
            self._raw._execute_command(COMMAND.COM_QUERY, sql)
            result = cast(Any, MySQLResult(self._connection))
            result.init_unbuffered_query()
            result.unbuffered_active = False  # else its destructor would read the rows that are ours
            self._raw._sock.settimeout(IO_TIMEOUT_S)
            self._read_ahead = True
            return int(self._raw._next_seq_id)

    def read(self) -> memoryview:
        """Every byte not consumed yet, with at least one new one. Valid until the next call.

        SourceLost if the connection ends or stalls: only an end packet ends a range.
        """
        self._release()
        if self._start:
            self._buffer[: self._end - self._start] = self._buffer[self._start : self._end]
            self._start, self._end = 0, self._end - self._start
        if self._end == len(self._buffer):
            self._buffer.extend(bytes(len(self._buffer)))
        with translated("reading a range"), memoryview(self._buffer) as view, view[self._end :] as room:
            received = self._receive(room)
        if not received:
            raise SourceLost("reading a range: MySQL closed the connection before the end of the result")
        self._end += received
        self._piece = memoryview(self._buffer)[self._start : self._end]
        return self._piece

    def consume(self, count_bytes: int) -> None:
        """The first bytes of what `read` gave are done with."""
        self._release()
        self._start += count_bytes

    def _receive(self, room: memoryview) -> int:
        """First what pymysql's buffered reader has read ahead (with read1: readinto1 would wait for the socket after
        it, if the room is larger than its buffer), then the socket itself."""
        if not self._read_ahead:
            return int(self._raw._sock.recv_into(room))
        self._read_ahead = False
        data = self._raw._rfile.read1(len(room))
        room[: len(data)] = data
        return len(data)

    def _release(self) -> None:
        if self._piece is not None:
            self._piece.release()
            self._piece = None
