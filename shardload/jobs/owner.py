"""Root and other users' jobs: root has no business in their directories, so it acts as the owner there.

What root would trust or follow otherwise, the owner could have prepared.
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
    """Root acts as the directory's owner meanwhile; everybody else as before. JobForeign if it is another user's,
    or if this root may not become that user."""
    uid, gid = _owner(directory)
    with acting_as(uid, gid):
        yield


def become_owner(directory: JobDirectory, *, imports_more: bool = False) -> JobDirectory:
    """The same for the rest of the process; the result is the directory. What still has to import something needs a
    Python that the owner may read, which one in root's home is not: JobForeign."""
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
