"""Several machines on this one: network namespaces, each with its own address, at one bridge.

The bridge is in a namespace of its own, where nobody's firewall looks at what it forwards. A host that is cut off
keeps its interface and its connections; its packets are dropped silently, both ways, because its end of the cable
belongs to no bridge any more. Nothing else is needed of the kernel.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.harness import wait_until

_HERE = 1  # the last number of this process's own address
_FIRST_SERVER, _FIRST_HOST = 10, 100


class Host:
    """One machine. Make it with `Network.host`."""

    def __init__(self, network: Network, name: str, number: int) -> None:
        self.name = name
        self.address = network.address(number)
        self._network = network
        self._space = f"{network.name}-{name}"
        self._cable = f"{network.name}{number}"
        ip("netns", "add", self._space)
        network.plug(self._cable, "eth0", self._space)
        ip("-n", self._space, "link", "set", "lo", "up")
        ip("-n", self._space, "link", "set", "eth0", "up")
        ip("-n", self._space, "addr", "add", f"{self.address}/24", "dev", "eth0")

    def popen(self, words: Sequence[str], **more: Any) -> subprocess.Popen[str]:
        """Start a program there. The pid is its own."""
        command = ["nsenter", f"--net=/run/netns/{self._space}", "--", *words]
        return subprocess.Popen(command, text=True, start_new_session=True, **more)

    def run(
        self, words: Sequence[str], env: Mapping[str, str] | None = None, deadline_s: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a program there to its end."""
        command = ["nsenter", f"--net=/run/netns/{self._space}", "--", *words]
        return subprocess.run(command, env=env, text=True, capture_output=True, timeout=deadline_s, check=False)

    def cut(self) -> None:
        """From now on its packets are dropped."""
        ip("-n", self._network.name, "link", "set", self._cable, "nomaster")

    def mend(self) -> None:
        """Its packets get through again."""
        ip("-n", self._network.name, "link", "set", self._cable, "master", "bridge")

    def pids(self) -> list[int]:
        """All its processes."""
        return [int(word) for word in ip("netns", "pids", self._space).split()]

    def end(self) -> None:
        """Ask every process to end."""
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def kill(self) -> None:
        """Kill every process at once, as if it lost its power."""
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self.pids(), f"nothing runs on {self.name}")

    def remove(self) -> None:
        """Kill what runs there, and remove it."""
        self.kill()
        ip("netns", "del", self._space)
        self._network.forget(self)


class Network:
    """A bridge, and the hosts at it. A context manager: nothing is left of it. AssertionError if this user may not."""

    def __init__(self) -> None:
        self.name = f"shl{random.randrange(10**6):06}"
        self._subnet = f"10.{random.randrange(64, 192)}.{random.randrange(1, 255)}"
        self._hosts: list[Host] = []
        self._servers = self._made = 0

    def __enter__(self) -> Network:
        ip("netns", "add", self.name)
        try:
            ip("-n", self.name, "link", "add", "bridge", "type", "bridge")
            ip("-n", self.name, "link", "set", "bridge", "up")
            self.plug("here", self.name)
            ip("link", "set", self.name, "up")
            ip("addr", "add", f"{self.address(_HERE)}/24", "dev", self.name)
        except BaseException:
            self._close()
            raise
        return self

    def plug(self, cable: str, end: str, space: str = "") -> None:
        """Lay a cable from the bridge to a new interface: of this machine, or in a namespace."""
        ip(
            "-n",
            self.name,
            "link",
            "add",
            cable,
            "type",
            "veth",
            "peer",
            "name",
            end,
            "netns",
            space or str(os.getpid()),
        )
        ip("-n", self.name, "link", "set", cable, "master", "bridge")
        ip("-n", self.name, "link", "set", cable, "up")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def address(self, number: int) -> str:
        """The address with this last number."""
        return f"{self._subnet}.{number}"

    def server_address(self) -> str:
        """Another address of this machine itself, for a server that every host can reach."""
        address = self.address(_FIRST_SERVER + self._servers)
        self._servers += 1
        ip("addr", "add", f"{address}/24", "dev", self.name)
        return address

    def host(self, name: str) -> Host:
        """Another machine."""
        host = Host(self, name, _FIRST_HOST + self._made)
        self._made += 1
        self._hosts.append(host)
        return host

    def forget(self, host: Host) -> None:
        """It is removed."""
        self._hosts.remove(host)

    def _close(self) -> None:
        for host in list(self._hosts):
            host.remove()
        ip("netns", "del", self.name)  # with the bridge, and with every cable


def ip(*words: str) -> str:
    """Run ip(8). What it printed."""
    program = next((path for path in ("/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip") if Path(path).exists()), "ip")
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr.strip()} (network namespaces need root)"
    return done.stdout
