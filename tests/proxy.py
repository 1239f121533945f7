"""A faulty proxy before Redis: it connects to several servers in turn, or adds a reply."""

from __future__ import annotations

import itertools
import select
import socket
import threading
from contextlib import suppress

AFTER_REPLIES = 2000


class Proxy:
    """Connects each new client to the next of these ports. `insert` is added once to the replies of a batch."""

    def __init__(self, *ports: int, insert: bytes = b"") -> None:
        self._ports = itertools.cycle(ports)
        self._insert = insert
        self._ok_left = AFTER_REPLIES
        self.port = 0
        self.open()

    def open(self) -> None:
        """Accept new connections, again at the same port."""
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
        """The bytes with `insert` added after one of the replies, once."""
        oks = data.count(b"+OK\r\n")
        self._ok_left -= oks if oks > 2 else 0  # the login has only a few replies
        if not self._insert or self._ok_left > 0:
            return data
        inserted, self._insert = self._insert, b""
        return data.replace(b"+OK\r\n", b"+OK\r\n" + inserted, 1)

    def close(self) -> None:
        """Refuse new connections; open connections stay."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # this wakes the thread in accept; close does not
        self._listener.close()
