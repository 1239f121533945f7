"""A world of the tests' own on a machine where somebody else's jobs may run: they are neither seen nor touched.

Processes bear a mark that they inherit and cannot lose: an odd soft limit of RLIMIT_RTTIME, which means nothing to a
process without a real-time priority (setrlimit(2)). A title would not do: other jobs have the same. SysV objects live
in an IPC namespace (ipc_namespaces(7)) where one can be had: by root, and by others through a user namespace.
Temporary directories are made in one directory.

Where tests run side by side (pytest-xdist), each of its processes has a world of its own. The namespace is made for it
by the process that starts it: a user namespace can only be made by a process with one thread, and execnet has two.
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
_LEAST_MARK_US = 10**12  # far above any limit that somebody sets in earnest

_mark = random.randrange(_LEAST_MARK_US, 2 * _LEAST_MARK_US)
_has_namespace = False
_scratch: Path | None = None


def own_objects() -> bool:
    """Give this process, and all that it starts from now on, SysV objects of their own. False if that cannot be had.

    Called again, it gives those that are started later a further namespace.
    """
    global _has_namespace
    if sys.platform == "linux":
        _has_namespace = _unshare(_NEWIPC) or _unshare_as_user()
    return _has_namespace


def enter(*, has_namespace: bool | None = None) -> None:
    """Mark this process and all that it starts from now on, and give them their own objects and directories.

    `has_namespace` says that it was given objects by whoever started it, or that there are none to be had.
    """
    global _has_namespace, _scratch
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_RTTIME, (_mark, resource.getrlimit(resource.RLIMIT_RTTIME)[1]))
    if has_namespace is None:
        own_objects()
    else:
        _has_namespace = has_namespace
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())  # what a failed test leaves stays there
    _scratch = Path(tempfile.mkdtemp(prefix="shardload-tests-"))
    _scratch.chmod(0o1777)  # some tests act as other users
    os.environ["TMPDIR"] = tempfile.tempdir = str(_scratch)


def leave() -> None:
    """Remove the directory."""
    if _scratch is not None:
        shutil.rmtree(_scratch, ignore_errors=True)


def has_namespace() -> bool:
    """True if no SysV object of somebody else's can be seen."""
    return _has_namespace


def is_ours(process: Path) -> bool:
    """True if this entry of /proc is a process that bears the mark, dead ones included."""
    try:
        limits = (process / "limits").read_text()
    except OSError:
        return False
    return any(line.startswith("Max realtime timeout") and str(_mark) in line.split() for line in limits.splitlines())


def description() -> str:
    """For the head of the report."""
    return "SysV objects: " + ("in a namespace of the tests' own" if _has_namespace else "those of the whole machine")


def _unshare(what: int) -> bool:
    return bool(ctypes.CDLL(None).unshare(what) == 0)


def _unshare_as_user() -> bool:
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0 or not _unshare(_NEWUSER | _NEWIPC):
        return False
    Path("/proc/self/setgroups").write_text("deny")  # user_namespaces(7): before a gid_map of one's own
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    return True
