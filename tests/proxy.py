"""A way to Redis that is not quite straight: to several servers in turn, or with a reply too many."""

from __future__ import annotations

import itertools
import select
import socket
import threading
from contextlib import suppress

AFTER_REPLIES = 2000


class Proxy:
    """Each new connection goes to the next of these ports. `insert` comes once, amid the replies to a batch."""

    def __init__(self, *ports: int, insert: bytes = b"") -> None:
        self._ports = itertools.cycle(ports)
        self._insert = insert
        self._ok_left = AFTER_REPLIES
        self.port = 0
        self.open()

    def open(self) -> None:
        """New connections are taken, again at the same port."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()

    def _serve(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._carry, args=(client, next(self._ports)), daemon=True).start()

    def _carry(self, client: socket.socket, port: int) -> None:
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", port)) as server:
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    data = ready.recv(1 << 16)
                    if not data:
                        return
                    if ready is client:
                        server.sendall(data)
                    else:
                        client.sendall(self._with_one_too_many(data))

    def _with_one_too_many(self, data: bytes) -> bytes:
        """The same bytes, but for the one place."""
        oks = data.count(b"+OK\r\n")
        self._ok_left -= oks if oks > 2 else 0  # those of a greeting are few
        if not self._insert or self._ok_left > 0:
            return data
        inserted, self._insert = self._insert, b""
        return data.replace(b"+OK\r\n", b"+OK\r\n" + inserted, 1)

    def close(self) -> None:
        """New connections are refused; those that are there stay."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # which wakes the thread that accepts; closing does not
        self._listener.close()
