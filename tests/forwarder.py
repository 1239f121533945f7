"""A door before a server: what is connected stays so, and new connections are refused while it is shut."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType


class Forwarder:
    """A context manager, open at first. It listens on one port of this machine for all its life."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._listen()

    def shut(self) -> None:
        """New connections are refused from now on."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # which wakes the thread that accepts; closing does not
        self._listener.close()

    def open(self) -> None:
        """New connections are taken again."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._listen()

    def __enter__(self) -> Forwarder:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.shut()

    def _listen(self) -> None:
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # shut
            while True:
                client = listener.accept()[0]
                server = socket.create_connection(self._server)
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=_pass_on, args=pair, daemon=True).start()


def _pass_on(reading: socket.socket, writing: socket.socket) -> None:
    with suppress(OSError):
        while data := reading.recv(65536):
            writing.sendall(data)
    for end in (reading, writing):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
