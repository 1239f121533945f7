"""A word to the service manager: sd_notify(3) without libsystemd, a datagram to the socket it named."""

from __future__ import annotations

import socket
from contextlib import suppress


class ServiceManager:
    """systemd, or whoever else listens at this address; nobody if it is None."""

    def __init__(self, address: str | None) -> None:
        self._address = "\0" + address[1:] if address and address[0] == "@" else address

    @property
    def listens(self) -> bool:
        """True if there is somebody to talk to."""
        return self._address is not None

    def say(self, **fields: str) -> None:
        """READY="1", STATUS="...", STOPPING="1"; see sd_notify(3). Nobody is waited for."""
        if self._address is None:
            return
        lines = "\n".join(f"{name}={' '.join(value.split())}" for name, value in fields.items())
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
            sender.sendto(lines.encode(), self._address)
