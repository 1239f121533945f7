"""Is this still the process that was meant? A pid alone does not say: pids come back, soonest in containers."""

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
    """A number that, with the pid, names a process; 0 if there is none.

    On Linux the start in clock ticks since boot (proc(5), /proc/PID/stat, field 22), elsewhere a checksum of
    what `ps` calls its start. A zombie counts as gone.
    """
    if sys.platform == "linux":
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except OSError:
            return 0
        state, *rest = stat.rpartition(b")")[2].split()  # the name before it may hold spaces, brackets, any bytes
        return 0 if state in b"ZX" else int(rest[18])
    shown = subprocess.run(["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, check=False)
    words = shown.stdout.split(maxsplit=1)
    return zlib.crc32(words[1]) or 1 if len(words) == 2 and not words[0].startswith(b"Z") else 0


def is_alive(pid: int, start: int) -> bool:
    """True if the process that had this pid and this start time runs."""
    return pid > 0 and start != 0 and start_time(pid) == start


def is_stopped(pid: int) -> bool:
    """True if the process was stopped by a signal (proc(5): state T). Elsewhere than on Linux nobody can tell."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] in (b"T", b"t")
    except (OSError, IndexError):
        return False


def ipc_namespace() -> str:
    """A name for the world in which SysV ids and keys mean something (namespaces(7)); empty where there is only one.

    A container has one of its own: whoever shares no more than a directory with it cannot see its shared memory.
    """
    try:
        return str(Path("/proc/self/ns/ipc").readlink())
    except OSError:
        return ""


def is_our_process(pid: int, start: int, title: str) -> bool:
    """True if the process with this pid and start time is one of this user's and bears a title that begins so. Asked
    before a process is killed that a file or a shared memory names."""
    uid, shown = _user_and_title(pid)
    return uid == os.geteuid() and shown.startswith(title) and is_alive(pid, start)


def _user_and_title(pid: int) -> tuple[int, str]:
    """A process's real uid (proc(5), /proc/PID/status) and what `ps` shows of it; -1 if there is none."""
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
    """Root acts as this user, in this group alone: with no more rights than that user, not fewer (root in a container
    has no right to others' SysV objects), and what it writes stays readable there. JobForeign if it may not."""
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
            raise _may_not_become(uid, error) from None
        yield
    finally:
        os.seteuid(me)
        if os.getgroups() != my_groups or os.getegid() != my_group:
            os.setegid(my_group)
            os.setgroups(my_groups)


def become(uid: int, gid: int) -> None:
    """Root is this user from now on, and never root again. JobForeign if it may not."""
    try:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    except OSError as error:
        raise _may_not_become(uid, error) from None


def _may_not_become(uid: int, error: OSError) -> JobForeign:
    why = f"may not act as the user with uid {uid}: {error.strerror}"
    return JobForeign("this process", why, "give the command as that user")
