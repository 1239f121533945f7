"""Read a range's rows as raw bytes of MySQL's text protocol, without a Python object for each row.

pymysql sends the query. This module then reads the whole answer from the socket, into one buffer. It skips the packets
before the rows (the number of columns, and a description of each), because the layout knows the columns. `INTERNALS`
lists the private attributes of pymysql that are used here; a test checks that they exist.
"""

from __future__ import annotations

import select
import ssl
from typing import Any, NoReturn, cast

from pymysql.connections import Connection
from pymysql.constants import COMMAND

from shardload.errors import MalformedPacket, SourceBusy, SourceDoubtful, SourceError, SourceLost
from shardload.source.connection import IO_TIMEOUT_S, raise_error_packet, translated

BUFFER_BYTES = 256 * 1024
MOST_ROW_BYTES = 256 * 2**20  # of memory in each worker; Redis accepts no value above 512 MB
INTERNALS = ("_execute_command", "_sock", "_force_close")
_NOT_THE_END = "it was not the end"
_HEADER_BYTES = 4
_MOST_COLUMNS = 4096  # the limit of MySQL and of MariaDB
_END_SHORTER_THAN = 9
_MOST_UNASKED_BYTES = 1024  # longer than the error that a server sends before it closes a connection
_READING = translated("reading a range")
_TOO_LARGE = "choose --columns without the large column"


class RangeStream:
    """Reads the results of one connection's queries, one at a time. The buffer grows to the size of the largest row.

    For each query call `send_query`, `read_head`, then `read` and `consume` until the end packet, and `check_end`.
    """

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection = connection
        self._raw = cast(Any, connection)  # the attributes in INTERNALS are not in the type stubs
        self._poll = select.poll()
        self._poll.register(self._raw._sock, select.POLLIN)
        self._buffer = bytearray(BUFFER_BYTES)
        self._start = self._end = 0
        self._view: memoryview | None = None  # given out by `read`
        self._has_unread = False
        self._head: tuple[bytes, int] = (b"", 0)  # the last answer's head, and the sequence number of its first row
        self._is_end_unchecked = False  # no later answer has shown yet that the last result was complete
        self.is_doubtful = False

    def send_query(self, sql: str) -> None:
        """Send the query without waiting for its answer.

        SourceLost if it cannot be sent, SourceBusy if MySQL has closed the connection, SourceDoubtful if bytes came
        after the end of the last result.
        """
        self._release()
        self._check_nothing_unread()
        if len(self._buffer) > BUFFER_BYTES:
            self._buffer = bytearray(BUFFER_BYTES)  # give back the memory of one large row
        self._start = self._end = 0
        self._has_unread = False
        self._send(COMMAND.COM_QUERY, sql)

    def _send(self, command: int, argument: str) -> None:
        with _READING:
            self._raw._execute_command(command, argument)
            self._raw._sock.settimeout(IO_TIMEOUT_S)

    def check_end(self) -> None:
        """Make sure that the last result was complete. SourceDoubtful if bytes came after its end.

        MySQL answers in order, so bytes that come before the answer to a ping belong to the result. A connection that
        breaks here says nothing about the result, and raises nothing.
        """
        if self.is_doubtful:
            self._raise_doubtful(_NOT_THE_END)
        if not self._is_end_unchecked:
            return
        try:
            self._check_nothing_unread()
            self._send(COMMAND.COM_PING, "")
            answer = self._next_packet(1)
        except MalformedPacket as error:
            self._raise_doubtful(error.message)
        except SourceDoubtful:
            raise
        except SourceError:
            return
        if answer[:1] not in (b"\0", b"\xff") or self._end > self._start:
            self._raise_doubtful(_NOT_THE_END)
        self._is_end_unchecked = False

    def _check_nothing_unread(self) -> None:
        """Raise SourceDoubtful if there are unread bytes in the buffer or on the socket; never waits."""
        if self._end > self._start:
            self._raise_doubtful(f"{self._end - self._start} bytes")
        socket = self._raw._sock
        if socket is None:
            raise SourceLost("reading a range: the connection is closed")
        if not self._poll.poll(0) and not (isinstance(socket, ssl.SSLSocket) and socket.pending()):
            return
        with _READING:
            socket.settimeout(0)
            try:
                unasked = socket.recv(_MOST_UNASKED_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError):
                return
            finally:
                socket.settimeout(IO_TIMEOUT_S)
        if not unasked:
            hint = "if this happens again, raise MySQL's wait_timeout"
            raise SourceBusy("reading a range: MySQL had closed the connection", hint)
        if unasked[_HEADER_BYTES : _HEADER_BYTES + 1] == b"\xff" and unasked[3] == 0:
            raise_error_packet("reading a range", unasked[_HEADER_BYTES:])  # why it closes the connection
        self._raise_doubtful(f"{len(unasked)} bytes or more")

    def _raise_doubtful(self, what: str) -> NoReturn:
        self.is_doubtful = True
        raise SourceDoubtful(
            f"reading a range: more came after the end of the last result ({what})",
            "the range will be read again; check that no proxy before MySQL cuts results short",
        )

    def read_head(self) -> int:
        """Wait for the answer, and read it up to the first row. Gives the sequence number of the first row's packet.

        SourceLost or SourceError if MySQL does not answer with a result set; SourceDoubtful if the bytes are not the
        beginning of an answer.
        """
        self._receive()
        head, sequence = self._head
        if head and self._buffer.startswith(head, 0, self._end):  # equal to the last answer's head, byte for byte
            self._start = len(head)
        else:
            try:
                sequence = self._parse_head()
            except MalformedPacket as error:
                self._raise_doubtful(error.message)
        self._has_unread = self._end > self._start
        self._is_end_unchecked = True
        return sequence

    def _parse_head(self) -> int:
        """Skip the packets before the rows, and remember them. Gives the sequence number of the first row's packet."""
        head = self._next_packet(1)
        if head[:1] == b"\xff":
            self._is_end_unchecked = False  # the error came in order, so the last result was complete
            raise_error_packet("reading a range", head)
        if head[:1] == b"\0":
            raise SourceLost("reading a range: MySQL answered without a result set")
        columns = head[0] if len(head) == 1 else int.from_bytes(head[1:3], "little") if head[:1] == b"\xfc" else 0
        if not 0 < columns <= _MOST_COLUMNS or len(head) not in (1, 3):
            raise MalformedPacket("the answer does not begin with a number of columns")
        packets = 1 + columns + 1  # the number, the descriptions, and their end packet
        size_bytes = _HEADER_BYTES + len(head)
        for number in range(2, packets + 1):
            last = self._next_packet(number)
            size_bytes += _HEADER_BYTES + len(last)
        if last[:1] != b"\xfe" or len(last) >= _END_SHORTER_THAN:
            raise MalformedPacket(f"no end packet after the descriptions of {columns} columns")
        sequence = (packets + 1) & 0xFF
        if self._start == size_bytes:  # the whole head is still in the buffer
            self._head = bytes(self._buffer[:size_bytes]), sequence
        return sequence

    def read(self, most_bytes: int | None = None) -> memoryview:
        """Wait for at least one new byte. Gives all bytes that are not consumed yet; valid until the next call.

        `most_bytes` limits the new bytes (not those that came together with the head). SourceLost if the connection
        closes or nothing comes in time: a range is complete only with an end packet.
        """
        self._release()
        if not self._has_unread:
            self._receive(most_bytes)
        self._has_unread = False
        self._view = memoryview(self._buffer)[self._start : self._end]
        return self._view

    def _receive(self, most_bytes: int | None = None) -> None:
        """Receive at least one new byte. The bytes that are not consumed are moved to the buffer's beginning first."""
        if self._start:
            self._buffer[: self._end - self._start] = self._buffer[self._start : self._end]
            self._start, self._end = 0, self._end - self._start
        if self._end == len(self._buffer):
            if self._end >= MOST_ROW_BYTES:
                raise SourceLost(f"reading a range: a row of more than {MOST_ROW_BYTES // 2**20} MiB", _TOO_LARGE)
            self._buffer.extend(bytes(len(self._buffer)))
        with _READING, memoryview(self._buffer) as view, view[self._end :] as room:
            received = self._raw._sock.recv_into(room, min(len(room), most_bytes or len(room)))
        if not received:
            raise SourceLost("reading a range: MySQL closed the connection before the end of the result")
        self._end += received

    def consume(self, count_bytes: int) -> None:
        """Drop the first bytes of those that `read` gave; the next `read` gives the rest again, and new ones."""
        self._release()
        self._start += count_bytes

    def _next_packet(self, number: int) -> bytes:
        """Receive one packet and give its payload. MalformedPacket if its sequence number is not `number`.

        Number 0 is allowed for an error packet: MySQL sends one outside of an answer when it shuts down.
        """
        while True:
            there = self._buffer[self._start : min(self._end, self._start + _HEADER_BYTES)]
            length = int.from_bytes(there[:3], "little")
            is_whole = len(there) == _HEADER_BYTES and self._end - self._start >= _HEADER_BYTES + length
            if len(there) == _HEADER_BYTES and there[3] not in (number & 0xFF, 0):
                raise MalformedPacket(f"packet number {there[3]} where {number & 0xFF} was due")
            if is_whole:
                self._start += _HEADER_BYTES + length
                payload = bytes(self._buffer[self._start - length : self._start])
                if there[3] != number & 0xFF and payload[:1] != b"\xff":
                    raise MalformedPacket(f"packet number 0 where {number & 0xFF} was due")
                return payload
            self._receive()

    def _release(self) -> None:
        if self._view is not None:
            self._view.release()
            self._view = None
