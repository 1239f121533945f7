"""Tell systemd how the service is doing: sd_notify(3) without libsystemd, as datagrams to its socket."""

from __future__ import annotations

import socket
from contextlib import suppress


class ServiceManager:
    """The service manager that listens at this address. With None there is none, and `notify` does nothing."""

    def __init__(self, address: str | None) -> None:
        self._address = "\0" + address[1:] if address and address[0] == "@" else address

    @property
    def listens(self) -> bool:
        """True if there is a service manager."""
        return self._address is not None

    def notify(self, **fields: str) -> None:
        """Send fields such as READY="1", STATUS="..." or STOPPING="1" (sd_notify(3)). It never waits or fails."""
        if self._address is None:
            return
        lines = "\n".join(f"{name}={' '.join(value.split())}" for name, value in fields.items())
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
            sender.sendto(lines.encode(), self._address)
