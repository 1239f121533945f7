"""Keeps the tests apart from other jobs on the machine: the tests neither see nor touch them.

- Processes: the tests' processes inherit a mark, an odd soft limit of RLIMIT_RTTIME. It has no effect on a process
  without a real-time priority (setrlimit(2)). A process title is no mark: other jobs have the same.
- SysV objects: they are in an IPC namespace (ipc_namespaces(7)), if one can be made. Root can, other users need a
  user namespace for it.
- Temporary directories: all are in one directory.

If tests run side by side (pytest-xdist), each of its processes is kept apart like this. The process that starts them
makes their namespaces: only a process with one thread can make a user namespace, and execnet has two.
"""

from __future__ import annotations

import ctypes
import os
import random
import resource
import shutil
import sys
import tempfile
from pathlib import Path

_NEWUSER, _NEWIPC = 0x10000000, 0x08000000  # linux/sched.h
_LEAST_MARK_US = 10**12  # far above any limit that is really used

_mark = random.randrange(_LEAST_MARK_US, 2 * _LEAST_MARK_US)
_has_namespace = False
_scratch: Path | None = None


def own_objects() -> bool:
    """Move this process, and all that it starts from now on, to an IPC namespace of their own. False if impossible.

    A second call makes another namespace, for the processes that are started after it.
    """
    global _has_namespace
    if sys.platform == "linux":
        _has_namespace = _unshare(_NEWIPC) or _unshare_as_user()
    return _has_namespace


def enter(*, has_namespace: bool | None = None) -> None:
    """Mark this process and all that it starts from now on, and give them their own namespace and directory.

    `has_namespace` is None to make a namespace; else it says whether the process that started this one made it.
    """
    global _has_namespace, _scratch
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_RTTIME, (_mark, resource.getrlimit(resource.RLIMIT_RTTIME)[1]))
    if has_namespace is None:
        own_objects()
    else:
        _has_namespace = has_namespace
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())  # the directories of failed tests stay there
    _scratch = Path(tempfile.mkdtemp(prefix="shardload-tests-"))
    _scratch.chmod(0o1777)  # some tests act as other users
    os.environ["TMPDIR"] = tempfile.tempdir = str(_scratch)


def leave() -> None:
    """Remove the tests' temporary directory."""
    if _scratch is not None:
        shutil.rmtree(_scratch, ignore_errors=True)


def has_namespace() -> bool:
    """True if the tests see no SysV objects of others."""
    return _has_namespace


def is_ours(process: Path) -> bool:
    """True if this entry of /proc is a process with the mark, also if it is a zombie."""
    try:
        limits = (process / "limits").read_text()
    except OSError:
        return False
    return any(line.startswith("Max realtime timeout") and str(_mark) in line.split() for line in limits.splitlines())


def description() -> str:
    """A line for the head of pytest's report."""
    return "SysV objects: " + ("in a namespace of the tests' own" if _has_namespace else "those of the whole machine")


def _unshare(what: int) -> bool:
    return bool(ctypes.CDLL(None).unshare(what) == 0)


def _unshare_as_user() -> bool:
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0 or not _unshare(_NEWUSER | _NEWIPC):
        return False
    Path("/proc/self/setgroups").write_text("deny")  # user_namespaces(7): necessary before writing gid_map
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    return True
