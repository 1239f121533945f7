"""Root and other users' jobs: in another user's directory, root acts as that user.

Otherwise root could be made to trust files, or follow links, that the owner has prepared.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager

from shardload.errors import JobError, JobForeign
from shardload.jobdir.directory import JobDirectory
from shardload.process import acting_as, become_user

_NO_GROUP = 65534


@contextmanager
def acting_for(directory: JobDirectory) -> Iterator[None]:
    """Inside the block, root acts as the directory's owner; for other users nothing changes.

    JobForeign if the directory is another user's, or if this root may not become that user.
    """
    uid, gid = _owner(directory)
    with acting_as(uid, gid):
        yield


def become_owner(directory: JobDirectory, *, imports_more: bool = False) -> JobDirectory:
    """Let root act as the directory's owner for the rest of the process. Gives the directory.

    With `imports_more`, JobForeign if the owner may not read this Python (one in root's home, for example).
    """
    uid, gid = _owner(directory)
    if uid != os.geteuid():
        become_user(uid, gid)
        if imports_more and not all(os.access(file, os.R_OK) for file in (os.__file__, __file__)):
            why = "belongs to another user, who may not read this shardload"
            raise JobForeign(directory.path, why, "give the command as that user, with a shardload for all")
    return directory


def _owner(directory: JobDirectory) -> tuple[int, int]:
    """The owner's uid, and the group that user has at a login."""
    try:
        uid = directory.path.lstat().st_uid
    except FileNotFoundError:
        raise JobError(f"job {directory.name} is no longer there", "see: shardload jobs") from None
    except PermissionError:
        raise JobForeign(directory.path) from None
    if os.geteuid() not in (0, uid):
        raise JobForeign(directory.path)
    try:
        return uid, pwd.getpwuid(uid).pw_gid
    except KeyError:
        return uid, _NO_GROUP
