"""A server that plays MySQL with given bytes, for answers that no real server sends."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from shardload.config.urls import SourceUrl
from tests.unit import wire


class Raw(bytes):
    """An answer that is sent without packet headers."""


PASSWORD = "open sesame"
SALT = b"abcdefghijklmnopqrst"
Answer = bytes | tuple[bytes, ...]  # one packet, or several; or Raw
OK = b"\x00\x00\x00\x02\x00\x00\x00"


def greeting(plugin: str = "mysql_native_password", version: str = "8.0.36") -> bytes:
    """A MySQL greeting's payload. It does not offer TLS."""
    offers = 0x0008F7DF  # what PyMySQL needs and 4.1 had, with CLIENT_PLUGIN_AUTH and without CLIENT_SSL
    return (
        b"\x0a" + version.encode() + b"\0" + b"\1\0\0\0" + SALT[:8] + b"\0" + (offers & 0xFFFF).to_bytes(2, "little")
        + b"\x2d\x02\x00" + (offers >> 16).to_bytes(2, "little") + b"\x15" + bytes(10) + SALT[8:] + b"\0"
        + plugin.encode() + b"\0"
    )  # fmt: skip


class Played:
    """The server's end of a connection: it sends the given answers and keeps what the client sends."""

    def __init__(self, host: str, first: bytes, answers: Sequence[Answer], *, closes: bool) -> None:
        self._first, self._answers, self._closes = first, answers, closes
        self._listener = socket.create_server((host, 0))
        self.url = SourceUrl(host, self._listener.getsockname()[1], "reader", PASSWORD, "app")
        self.packets: list[bytes] = []
        self._thread = threading.Thread(target=self._play, daemon=True)
        self._thread.start()

    def _play(self) -> None:
        client, _ = self._listener.accept()
        self._client = client
        with client, client.makefile("rb") as incoming:
            try:
                client.sendall(self._first)
                left = list(self._answers)
                while left or not self._closes:
                    header = incoming.read(4)
                    if not header:
                        return
                    self.packets.append(incoming.read(int.from_bytes(header[:3], "little")))
                    is_setting = self.packets[-1].startswith(b"\x03SET ")
                    answer = OK if is_setting else left.pop(0) if left else Raw()
                    packets = answer if isinstance(answer, tuple) else (answer,)
                    client.sendall(answer if isinstance(answer, Raw) else wire.stream(packets, header[3] + 1)[0])
            except OSError:
                return  # the client has closed

    def say(self, unasked: bytes) -> None:
        """Send bytes that the client has not asked for."""
        self._client.sendall(unasked)

    def hang_up(self) -> None:
        """Shut down the sending direction."""
        self._client.shutdown(socket.SHUT_WR)

    def end(self) -> None:
        """Wait until the client has closed its end, then close."""
        self._thread.join()
        self._listener.close()


@contextmanager
def played(
    first: bytes, answers: Sequence[Answer] = (), *, host: str = "127.0.0.1", closes: bool = False
) -> Iterator[Played]:
    """A server that sends `first` as it is, and one answer (one packet or several) after each packet from the client.
    It answers every SET with OK."""
    server = Played(host, first, answers, closes=closes)
    yield server
    server.end()


def framed(payload: bytes) -> bytes:
    """A payload as the first packet of a connection."""
    return wire.packets(payload, 0)[0]
