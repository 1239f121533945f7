"""A proxy before MySQL that cuts results after so many rows, with a clean end, as some proxies' row limits do; or that
refuses to read ranges with a certain key, as a damaged page would."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from shardload.urls import SourceUrl


@contextmanager
def cutting_proxy(mysql: SourceUrl, most_rows: int = 2**62, refused_key: int | None = None) -> Iterator[SourceUrl]:
    """The URL to connect to instead, for as long as the context lasts. Only plain connections, without TLS."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(listener, mysql, most_rows, refused_key), daemon=True).start()
        yield SourceUrl("127.0.0.1", listener.getsockname()[1], mysql.user, mysql.password, mysql.database)


def _accept(listener: socket.socket, mysql: SourceUrl, most_rows: int, refused_key: int | None) -> None:
    with suppress(OSError):  # closed: the test is over
        while True:
            client = listener.accept()[0]
            server = socket.create_connection((mysql.host, mysql.port))
            one = _Connection(client, server, most_rows, refused_key)
            for work in (one.pass_on, one.cut):
                threading.Thread(target=work, daemon=True).start()


class _Connection:
    def __init__(self, client: socket.socket, server: socket.socket, most_rows: int, refused_key: int | None) -> None:
        self._client, self._server, self._most_rows = client, server, most_rows
        self._refused_key = refused_key
        self._reads_range = self._is_answer_new = False

    def pass_on(self) -> None:
        """What the client says, noting whether it asks for a range."""
        with suppress(OSError):
            while data := self._client.recv(65536):
                self._reads_range = b"FORCE INDEX" in data and b"COUNT" not in data
                self._is_answer_new = True
                if self._reads_range and self._refuses(data):
                    self._client.sendall(_packet(1, b"\xff" + (1030).to_bytes(2, "little") + b"#HY000page is damaged"))
                    continue
                self._server.sendall(data)
        self._hang_up()

    def cut(self) -> None:
        """What the server says; of a range's rows the first, numbered as if there were no more."""
        ends = rows = dropped = 0
        with self._server.makefile("rb") as stream, suppress(OSError):
            while header := stream.read(4):
                payload = stream.read(int.from_bytes(header[:3], "little"))
                if self._is_answer_new:
                    self._is_answer_new, ends, rows, dropped = False, 0, 0, 0
                is_end = payload[:1] == b"\xfe" and len(payload) < 9
                rows += ends == 1 and not is_end
                ends += is_end
                if self._reads_range and ends == 1 and rows > self._most_rows:
                    dropped += 1
                    continue
                self._client.sendall(header[:3] + bytes([(header[3] - dropped) & 0xFF]) + payload)
        self._hang_up()

    def _refuses(self, query: bytes) -> bool:
        found = re.search(rb"BETWEEN (\d+) AND (\d+)", query)
        return bool(self._refused_key and found and int(found[1]) <= self._refused_key <= int(found[2]))

    def _hang_up(self) -> None:
        """Both ends are told, and the other thread is woken: closing alone would not."""
        for end in (self._client, self._server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def _packet(sequence: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes([sequence]) + payload
