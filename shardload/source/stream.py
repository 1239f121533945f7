"""A range's rows as raw bytes of MySQL's text protocol, without an object a row.

pymysql sends the query; from the answer's first byte on this module reads the socket itself, into one buffer. The
packets before the rows (how many columns, and a description of each) are passed over: the layout knows them. What it
needs of pymysql's inside is listed in `INTERNALS`, and a test holds it.
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
MOST_ROW_BYTES = 256 * 2**20  # of memory in each worker; Redis takes no value above 512 MB
INTERNALS = ("_execute_command", "_sock", "_force_close")
_HEADER_BYTES = 4
_MOST_COLUMNS = 4096  # MySQL's own limit; MariaDB's too
_END_SHORTER_THAN = 9
_FAREWELL_BYTES = 1024  # what a server says before it closes a connection is shorter
_READING = translated("reading a range")
_LARGE = "choose --columns without the one that is so large"


class RangeStream:
    """One query at a time on a connection of its own. The buffer grows only to the largest row."""

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection = connection
        self._raw = cast(Any, connection)  # the attributes in INTERNALS are not in the type stubs
        self._poll = select.poll()
        self._poll.register(self._raw._sock, select.POLLIN)
        self._buffer = bytearray(BUFFER_BYTES)
        self._start = self._end = 0
        self._piece: memoryview | None = None
        self._has_unseen = False
        self._head: tuple[bytes, int] = (b"", 0)  # of the answer before, and the number of its first row's packet
        self._is_end_unchecked = False  # no later answer has shown yet that the result's end was its end
        self.is_doubtful = False

    def ask(self, sql: str) -> None:
        """Send the query, whose answer `begin` waits for. SourceLost if it cannot be sent, SourceBusy if MySQL has
        closed the connection meanwhile, SourceDoubtful if it has sent more than it was asked for."""
        self._release()
        self._check_quiet()
        if len(self._buffer) > BUFFER_BYTES:
            self._buffer = bytearray(BUFFER_BYTES)  # the room that one large row needed is not kept
        self._start = self._end = 0
        self._has_unseen = False
        self._send(COMMAND.COM_QUERY, sql)

    def _send(self, command: int, argument: str) -> None:
        with _READING:
            self._raw._execute_command(command, argument)
            self._raw._sock.settimeout(IO_TIMEOUT_S)

    def check_end(self) -> None:
        """Between two results, SourceDoubtful if more came behind the end of the last one: MySQL answers in order, so
        what comes before the answer to a ping belongs to the result. A lost connection raises no doubt."""
        if self.is_doubtful:
            self._doubt("it was not the end")
        if not self._is_end_unchecked:
            return
        try:
            self._check_quiet()
            self._send(COMMAND.COM_PING, "")
            answer = self._next_packet(1)
        except MalformedPacket as error:
            self._doubt(error.message)
        except SourceDoubtful:
            raise
        except SourceError:
            return
        if answer[:1] not in (b"\0", b"\xff") or self._end > self._start:
            self._doubt("it was not the end")
        self._is_end_unchecked = False

    def _check_quiet(self) -> None:
        """Nothing may have come since the last answer, in the buffer or on the socket."""
        if self._end > self._start:
            self._doubt(f"{self._end - self._start} bytes")
        socket = self._raw._sock
        if socket is None:
            raise SourceLost("reading a range: the connection is closed")
        if not self._poll.poll(0) and not (isinstance(socket, ssl.SSLSocket) and socket.pending()):
            return
        with _READING:
            socket.settimeout(0)
            try:
                stray = socket.recv(_FAREWELL_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError):
                return
            finally:
                socket.settimeout(IO_TIMEOUT_S)
        if not stray:
            raise SourceBusy("reading a range: MySQL had closed the connection", "if it recurs, see its wait_timeout")
        if stray[_HEADER_BYTES : _HEADER_BYTES + 1] == b"\xff" and stray[3] == 0:
            raise_error_packet("reading a range", stray[_HEADER_BYTES:])  # why it closes the connection
        self._doubt(f"{len(stray)} bytes or more")

    def _doubt(self, what: str) -> NoReturn:
        self.is_doubtful = True
        raise SourceDoubtful(
            f"reading a range: more came behind the end of the result before ({what})",
            "is something between that cuts results short? what was read is read again",
        )

    def begin(self) -> int:
        """Wait for the answer's first rows. The result is the sequence number of the first row's packet.

        SourceLost or SourceError if MySQL does not answer with a result set; SourceDoubtful if what comes is not the
        beginning of an answer.
        """
        self._receive()
        head, sequence = self._head
        if head and self._buffer.startswith(head, 0, self._end):  # the same table's, byte for byte
            self._start = len(head)
        else:
            try:
                sequence = self._take_head()
            except MalformedPacket as error:
                self._doubt(error.message)
        self._has_unseen = self._end > self._start
        self._is_end_unchecked = True
        return sequence

    def _take_head(self) -> int:
        """Pass over the packets before the rows, and remember them."""
        head = self._next_packet(1)
        if head[:1] == b"\xff":
            self._is_end_unchecked = False  # in its place, and so was the end before
            raise_error_packet("reading a range", head)
        if head[:1] == b"\0":
            raise SourceLost("reading a range: MySQL answered without a result set")
        columns = head[0] if len(head) == 1 else int.from_bytes(head[1:3], "little") if head[:1] == b"\xfc" else 0
        if not 0 < columns <= _MOST_COLUMNS or len(head) not in (1, 3):
            raise MalformedPacket("no number of columns where an answer begins")
        packets = 1 + columns + 1  # this one, the descriptions, and their end
        size_bytes = _HEADER_BYTES + len(head)
        for number in range(2, packets + 1):
            last = self._next_packet(number)
            size_bytes += _HEADER_BYTES + len(last)
        if last[:1] != b"\xfe" or len(last) >= _END_SHORTER_THAN:
            raise MalformedPacket(f"no end after the descriptions of {columns} columns")
        sequence = (packets + 1) & 0xFF
        if self._start == size_bytes:  # all of it is still in the buffer
            self._head = bytes(self._buffer[:size_bytes]), sequence
        return sequence

    def read(self, most_bytes: int | None = None) -> memoryview:
        """Every byte not consumed yet, with at least one new one. Valid until the next call.

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
            if self._end >= MOST_ROW_BYTES:
                raise SourceLost(f"reading a range: a row of more than {MOST_ROW_BYTES // 2**20} MiB", _LARGE)
            self._buffer.extend(bytes(len(self._buffer)))
        with _READING, memoryview(self._buffer) as view, view[self._end :] as room:
            received = self._raw._sock.recv_into(room, min(len(room), most_bytes or len(room)))
        if not received:
            raise SourceLost("reading a range: MySQL closed the connection before the end of the result")
        self._end += received

    def consume(self, count_bytes: int) -> None:
        """The first bytes of what `read` gave are done with."""
        self._release()
        self._start += count_bytes

    def _next_packet(self, number: int) -> bytes:
        """The payload of one packet of the answer's head. MalformedPacket if it does not bear this number; 0 is that of
        an error that has nothing to do with the query (MySQL goes down)."""
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
        if self._piece is not None:
            self._piece.release()
            self._piece = None
