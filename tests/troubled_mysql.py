"""A proxy before MySQL that damages the results of ranges, and passes on all other queries."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from shardload.config.urls import SourceUrl

_DAMAGED = 1030  # an error of the storage engine


@dataclass
class Trouble:
    """What the proxy does. Results end after `most_rows` rows with a clean end packet, as with some proxies' limits.
    Ranges with `refused_key` give an error, as if a page were damaged. The first queries get the errors `refusals`
    instead of an answer. `meanwhile` is called before the first count of a range."""

    most_rows: int = 2**62
    refused_key: int | None = None
    refusals: list[int] = field(default_factory=list)
    meanwhile: list[Callable[[], object]] = field(default_factory=list)

    def error_for(self, query: bytes) -> int | None:
        """The error code for a range's query, or None."""
        if self.refusals:
            return self.refusals.pop(0)
        found = re.search(rb"BETWEEN (\d+) AND (\d+)", query)
        is_refused = self.refused_key and found and int(found[1]) <= self.refused_key <= int(found[2])
        return _DAMAGED if is_refused else None


@contextmanager
def troubled(mysql: SourceUrl, trouble: Trouble) -> Iterator[SourceUrl]:
    """The URL of the proxy while the context lasts. Connections have no TLS."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(listener, mysql, trouble), daemon=True).start()
        yield SourceUrl("127.0.0.1", listener.getsockname()[1], mysql.user, mysql.password, mysql.database)


def _accept(listener: socket.socket, mysql: SourceUrl, trouble: Trouble) -> None:
    with suppress(OSError):  # closed: the test is over
        while True:
            client = listener.accept()[0]
            one = _Connection(client, socket.create_connection((mysql.host, mysql.port)), trouble)
            for work in (one.pass_on, one.cut):
                threading.Thread(target=work, daemon=True).start()


class _Connection:
    def __init__(self, client: socket.socket, server: socket.socket, trouble: Trouble) -> None:
        self._client, self._server, self._trouble = client, server, trouble
        self._reads_range = self._is_answer_new = False

    def pass_on(self) -> None:
        """Pass on what the client sends, and note whether it asks for a range."""
        with suppress(OSError):
            while data := self._client.recv(65536):
                self._reads_range = b"FORCE INDEX" in data and b"COUNT" not in data
                self._is_answer_new = True
                if b"FORCE INDEX" in data and b"COUNT" in data and self._trouble.meanwhile:
                    self._trouble.meanwhile.pop()()
                if self._reads_range and (code := self._trouble.error_for(data)):
                    self._client.sendall(_packet(1, b"\xff" + code.to_bytes(2, "little") + b"#HY000no"))
                else:
                    self._server.sendall(data)
        self._hang_up()

    def cut(self) -> None:
        """Pass on what the server sends; of a range's rows only the first, with an end packet after them."""
        ends = rows = dropped = 0
        with self._server.makefile("rb") as stream, suppress(OSError):
            while header := stream.read(4):
                payload = stream.read(int.from_bytes(header[:3], "little"))
                if self._is_answer_new:
                    self._is_answer_new, ends, rows, dropped = False, 0, 0, 0
                is_end = payload[:1] == b"\xfe" and len(payload) < 9
                rows += ends == 1 and not is_end
                ends += is_end
                if self._reads_range and ends == 1 and rows > self._trouble.most_rows:
                    dropped += 1
                    continue
                self._client.sendall(_packet((header[3] - dropped) & 0xFF, payload))
        self._hang_up()

    def _hang_up(self) -> None:
        """Shut down both ends, which also wakes the other thread; close would not."""
        for end in (self._client, self._server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def _packet(sequence: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes([sequence]) + payload
