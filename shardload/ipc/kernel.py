"""Compares the kernel's limits for SysV objects with what a run needs. Linux shows them under /proc/sys/kernel."""

from __future__ import annotations

import mmap
from pathlib import Path

from shardload.errors import IpcError
from shardload.ipc.messages import MESSAGE_BYTES, QUEUE_BYTES

_QUEUES = 2


def shortages(board_bytes: int) -> list[IpcError]:
    """One error for each limit that is too low for one more run; its hint is the sysctl to set. Empty if unknown."""
    pages = -(-board_bytes // mmap.PAGESIZE)
    try:
        queues, memories, semaphores = (_in_use(kind) for kind in ("msg", "shm", "sem"))
        pages_in_use = sum(-(-int(row[3]) // mmap.PAGESIZE) for row in memories)
        found = [
            _shortage("msgmnb", 0, QUEUE_BYTES),
            _shortage("msgmax", 0, MESSAGE_BYTES),
            _shortage("msgmni", 0, _QUEUES, len(queues), "message queues"),
            _shortage("shmmax", 0, board_bytes),
            _shortage("shmall", 0, pages, pages_in_use, "pages of shared memory"),
            _shortage("shmmni", 0, 1, len(memories), "shared memories"),
            _shortage("sem", 0, 1),
            _shortage("sem", 1, 1, sum(int(row[3]) for row in semaphores), "semaphores"),
            _shortage("sem", 3, 1, len(semaphores), "sets of semaphores"),
        ]
    except (OSError, ValueError, IndexError):
        return []
    return [error for error in found if error is not None]


def usage() -> str:
    """How many message queues are in use, in words for a person. Empty if unknown."""
    try:
        most, queue_bytes = _limits("msgmni")[0], _limits("msgmnb")[0]
        return f"{len(_in_use('msg'))} of {most} message queues in use, {queue_bytes} bytes each"
    except (OSError, ValueError, IndexError):
        return ""


def _shortage(name: str, place: int, needed: int, used: int = 0, what: str = "") -> IpcError | None:
    """The error if `used + needed` exceeds the limit, else None.

    `place` is the number's index in the setting: `sem` has four of them (proc(5), /proc/sys/kernel/sem).
    """
    limits = _limits(name)
    if limits[place] >= used + needed:
        return None
    said = " ".join(map(str, limits))
    limits[place] = used + needed
    needs = f"{used:,} {what} are in use, and a job needs {needed:,} more" if used else f"and a job needs {needed:,}"
    setting = f"kernel.{name}='{' '.join(map(str, limits))}'"
    unused = "; ipcs lists what is in use, ipcrm removes it" if used else ""
    return IpcError(
        f"the kernel's limit is too low: kernel.{name} is {said}, {needs}",
        f"run: sysctl -w {setting}, or for a container: docker run --sysctl {setting}{unused}",
    )


def _limits(name: str) -> list[int]:
    return [int(word) for word in Path(f"/proc/sys/kernel/{name}").read_text().split()]


def _in_use(kind: str) -> list[list[str]]:
    """A list for each object of this kind: key, id, mode, size (or the number of semaphores), and more."""
    return [line.split() for line in Path(f"/proc/sysvipc/{kind}").read_text().splitlines()[1:]]
