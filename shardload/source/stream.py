"""A range's rows as raw bytes of MySQL's text protocol, without an object a row.

pymysql sends the query; from the answer's first byte on this module reads the socket itself, into one buffer. The
packets before the rows (how many columns, and a description of each) are passed over: the layout knows them. What it
needs of pymysql's inside is listed in `INTERNALS`, and a test holds it.
"""

from __future__ import annotations

from typing import Any, cast

from pymysql.connections import Connection
from pymysql.constants import COMMAND

from shardload.errors import MalformedPacket, SourceError, SourceLost
from shardload.source.connection import IO_TIMEOUT_S, raise_error_packet, translated

BUFFER_BYTES = 256 * 1024
INTERNALS = ("_execute_command", "_sock", "_force_close")
_HEADER_BYTES = 4
_READING = translated("reading a range")


class RangeStream:
    """One query at a time on a connection of its own. The buffer grows only to the largest row."""

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection = connection
        self._raw = cast(Any, connection)  # the attributes in INTERNALS are not in the type stubs
        self._buffer = bytearray(BUFFER_BYTES)
        self._start = self._end = 0
        self._piece: memoryview | None = None
        self._has_unseen = False
        self._head: tuple[bytes, int] = (b"", 0)  # of the answer before, and the number of its first row's packet

    def ask(self, sql: str) -> None:
        """Send the query, whose answer `begin` waits for. SourceLost if it cannot be sent."""
        self._release()
        if len(self._buffer) > BUFFER_BYTES:
            self._buffer = bytearray(BUFFER_BYTES)  # the room that one large row needed is not kept
        self._start = self._end = 0
        self._has_unseen = False
        with _READING:
            self._raw._execute_command(COMMAND.COM_QUERY, sql)
            self._raw._sock.settimeout(IO_TIMEOUT_S)

    def begin(self) -> int:
        """Wait for the answer's first rows. The result is the sequence number of the first row's packet.

        SourceLost or SourceError if MySQL does not answer with a result set.
        """
        self._receive()
        head, sequence = self._head
        if head and self._buffer.startswith(head, 0, self._end):  # the same table's, byte for byte
            self._start = len(head)
        else:
            sequence = self._take_head()
        self._has_unseen = self._end > self._start
        return sequence

    def _take_head(self) -> int:
        """Pass over the packets before the rows, and remember them."""
        head = self._next_packet()
        if head[:1] == b"\xff":
            raise_error_packet("reading a range", head)
        if not 0 < head[0] < 0xFB and head[:1] != b"\xfc":
            raise SourceError("reading a range: MySQL answered without a result set")
        columns = head[0] if len(head) == 1 else int.from_bytes(head[1:3], "little")
        packets = 1 + columns + 1  # this one, the descriptions, and their end
        size_bytes = _HEADER_BYTES + len(head)
        for _ in range(packets - 1):
            last = self._next_packet()
            size_bytes += _HEADER_BYTES + len(last)
        if last[:1] != b"\xfe":
            raise MalformedPacket(f"no end after the descriptions of {columns} columns")
        sequence = (packets + 1) & 0xFF
        if self._start == size_bytes:  # all of it is still in the buffer
            self._head = bytes(self._buffer[:size_bytes]), sequence
        return sequence

    def read(self, most_bytes: int | None = None) -> memoryview:
        """Every byte not consumed yet, with at least one new one unless they are read again. Valid until the next call.

        `most_bytes` bounds how many new ones are taken at once (those that came with the answer's head are there).
        SourceLost if the connection ends or stalls: only an end packet ends a range.
        """
        self._release()
        if not self._has_unseen:
            self._receive(most_bytes)
        self._has_unseen = False
        self._piece = memoryview(self._buffer)[self._start : self._end]
        return self._piece

    def _receive(self, most_bytes: int | None = None) -> None:
        """At least one new byte, behind what is not consumed, which is moved to the buffer's beginning."""
        if self._start:
            self._buffer[: self._end - self._start] = self._buffer[self._start : self._end]
            self._start, self._end = 0, self._end - self._start
        if self._end == len(self._buffer):
            self._buffer.extend(bytes(len(self._buffer)))
        with _READING, memoryview(self._buffer) as view, view[self._end :] as room:
            received = self._raw._sock.recv_into(room, min(len(room), most_bytes or len(room)))
        if not received:
            raise SourceLost("reading a range: MySQL closed the connection before the end of the result")
        self._end += received

    def consume(self, count_bytes: int, *, reads_on: bool = False) -> None:
        """The first bytes of what `read` gave are done with. With `reads_on` the rest of them is read again at once."""
        self._release()
        self._start += count_bytes
        self._has_unseen = reads_on and self._end > self._start

    def _next_packet(self) -> bytes:
        """The payload of one packet of the answer's head."""
        while True:
            there = self._buffer[self._start : min(self._end, self._start + _HEADER_BYTES)]
            length = int.from_bytes(there[:3], "little")
            if len(there) == _HEADER_BYTES and self._end - self._start >= _HEADER_BYTES + length:
                self._start += _HEADER_BYTES + length
                return bytes(self._buffer[self._start - length : self._start])
            self._receive()

    def _release(self) -> None:
        if self._piece is not None:
            self._piece.release()
            self._piece = None
