"""Identify a process by pid and start time, because the system uses pids again (in a container very soon)."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shardload.errors import JobForeign


def start_time(pid: int) -> int:
    """A number that, together with the pid, identifies a process; 0 if there is no such process, or only a zombie.

    On Linux it is the start in clock ticks since boot (proc(5), /proc/PID/stat, field 22), elsewhere a checksum of the
    start that `ps` shows.
    """
    if sys.platform == "linux":
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except OSError:
            return 0
        state, *rest = stat.rpartition(b")")[2].split()  # the name before the bracket may hold any bytes
        return 0 if state in b"ZX" else int(rest[18])
    shown = subprocess.run(["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, check=False)
    words = shown.stdout.split(maxsplit=1)
    return zlib.crc32(words[1]) or 1 if len(words) == 2 and not words[0].startswith(b"Z") else 0


def is_alive(pid: int, start: int) -> bool:
    """True if the process with this pid and this start time still runs."""
    return pid > 0 and start != 0 and start_time(pid) == start


def is_stopped(pid: int) -> bool:
    """True if a signal has stopped the process (state T in proc(5)). Always False on systems without /proc."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] in (b"T", b"t")
    except (OSError, IndexError):
        return False


def ipc_namespace() -> str:
    """The name of this process's IPC namespace (namespaces(7)); empty on systems that have no namespaces.

    SysV ids and keys are valid in one namespace. A container has its own: a process outside it that shares a directory
    with it cannot see its shared memory.
    """
    try:
        return str(Path("/proc/self/ns/ipc").readlink())
    except OSError:
        return ""


def is_our_process(pid: int, start: int, title: str) -> bool:
    """True if this process still runs, belongs to this user, and its title in `ps` begins with `title`.

    Check this before killing a process whose pid comes from a file or from shared memory.
    """
    uid, shown = _user_and_title(pid)
    return uid == os.geteuid() and shown.startswith(title) and is_alive(pid, start)


def _user_and_title(pid: int) -> tuple[int, str]:
    """A process's real uid (proc(5), /proc/PID/status) and its title in `ps`; -1 and "" if there is none."""
    if sys.platform == "linux":
        try:
            uids = Path(f"/proc/{pid}/status").read_text(errors="replace").partition("\nUid:")[2].split()
            return int(uids[0]), Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
        except (OSError, IndexError):
            return -1, ""
    shown = subprocess.run(
        ["/bin/ps", "-o", "ruid=,command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    uid, _, title = shown.stdout.strip().partition(" ")
    return int(uid) if uid.isdigit() else -1, title


@contextmanager
def acting_as(uid: int, gid: int) -> Iterator[None]:
    """Within the block root has this user and this group, and no other groups. JobForeign if that is not permitted.

    Files written there belong to that user. Root in a container needs it too: it may have no right to the SysV objects
    of other users.
    """
    me, my_group, my_groups = os.geteuid(), os.getegid(), os.getgroups()
    if uid == me:
        yield
        return
    try:
        try:
            os.setgroups([])
            os.setegid(gid)
            os.seteuid(uid)
        except OSError as error:
            raise _not_permitted(uid, error) from None
        yield
    finally:
        os.seteuid(me)
        if os.getgroups() != my_groups or os.getegid() != my_group:
            os.setegid(my_group)
            os.setgroups(my_groups)


def become_user(uid: int, gid: int) -> None:
    """Change from root to this user for good. JobForeign if that is not permitted."""
    try:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    except OSError as error:
        raise _not_permitted(uid, error) from None


def _not_permitted(uid: int, error: OSError) -> JobForeign:
    why = f"cannot act as the user with uid {uid}: {error.strerror}"
    return JobForeign("this process", why, "run the command as that user")
