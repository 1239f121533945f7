"""Open files in a job directory safely, even if another user has put files of their own there.

The directory must belong to the acting user, and nobody else may be able to write to it. The file must belong to that
user too, and be of the expected type. Symbolic links are not followed, opening a FIFO does not wait, and an opened file
is checked before it is used. Every access goes through the directory's descriptor, so replacing the directory in the
meantime has no effect.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shardload.errors import JobForeign

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRONG_TYPE = "is not the type of file that belongs there"
_HINT = "find out who put it there, then remove it, or choose another --state-dir"


def make_private(directory: Path) -> None:
    """Set the directory's mode to 0700. JobForeign if it is another user's, OSError if the mode cannot be set."""
    descriptor = _opened_directory(directory)
    try:
        os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)


def remove_group_access(directory: Path) -> None:
    """Set the mode to 0700 if the group, but not everybody, can write to the directory. Same errors as `make_private`.

    Kubernetes gives a volume's group (fsGroup) all rights to its contents at each mount, so this is done before each
    use. A directory that everybody can write to keeps its mode and is refused later, by `own_directory`.
    """
    descriptor = _opened_directory(directory)
    try:
        if os.fstat(descriptor).st_mode & _OTHERS_WRITE == stat.S_IWGRP:
            os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)


@contextmanager
def own_directory(path: Path) -> Iterator[int]:
    """Give a descriptor of the directory; it is closed at the end of the block.

    JobForeign if the directory is another user's or others can write to it, OSError if it cannot be opened.
    """
    descriptor = _opened_directory(path)
    try:
        if os.fstat(descriptor).st_mode & _OTHERS_WRITE:
            raise JobForeign(path, "can be written by others", f"if you trust what is in it: chmod go-w {path}")
        yield descriptor
    finally:
        os.close(descriptor)


def _opened_directory(path: Path) -> int:
    try:
        descriptor = os.open(path, _DIRECTORY)
    except PermissionError:
        raise JobForeign(path) from None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR) and os.path.lexists(path):
            raise JobForeign(path, "is not a directory", _HINT) from None
        raise
    if os.fstat(descriptor).st_uid != os.geteuid():
        os.close(descriptor)
        raise JobForeign(path)
    return descriptor


def check_own_directory(path: Path) -> None:
    """Raise what `own_directory` raises for a directory that may not be used."""
    with own_directory(path):
        pass


def open_own(path: Path, how: int, is_expected: Callable[[int], bool] = stat.S_ISREG) -> int:
    """Open a file as os.open does, and check it before it is used; a new file gets mode 0600. Gives a descriptor.

    `is_expected` gets the file's mode and says if the type is right. JobForeign if the directory or the file is another
    user's or of another type, else OSError. O_TRUNC is not for this: remove the old file and create it with O_EXCL.
    """
    with own_directory(path.parent) as directory:
        try:
            descriptor = os.open(path.name, how | _FILE, 0o600, dir_fd=directory)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise JobForeign(path, "is a symbolic link", _HINT) from None
            if error.errno == errno.EISDIR or (error.errno == errno.ENXIO and not is_expected(stat.S_IFIFO)):
                raise JobForeign(path, _WRONG_TYPE, _HINT) from None
            raise
    try:
        _check(path, os.fstat(descriptor), is_expected)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read_own(path: Path, most_bytes: int) -> bytes:
    """The whole content of a file. ValueError if it is longer than `most_bytes`; else the errors of `open_own`."""
    with os.fdopen(open_own(path, os.O_RDONLY), "rb") as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise ValueError(f"it is longer than {most_bytes:,} bytes")
    return content


def check_own_file(path: Path) -> None:
    """Check a file that a library will open by its name. JobForeign if it is another user's; it may be missing."""
    with own_directory(path.parent) as directory:
        try:
            found = os.stat(path.name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return
    _check(path, found, stat.S_ISREG)


def remove_own(path: Path, matches: Callable[[str], object]) -> None:
    """Remove the directory's files whose names match. Of a symbolic link, the link is removed, not its target. The
    errors of `own_directory`."""
    with own_directory(path) as directory:
        for name in filter(matches, os.listdir(directory)):  # noqa: PTH208  # a descriptor, not a path
            with suppress(FileNotFoundError):  # the process that made it has removed it first
                if not stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
                    os.unlink(name, dir_fd=directory)


def _check(path: Path, found: os.stat_result, is_expected: Callable[[int], bool]) -> None:
    if not is_expected(found.st_mode):
        raise JobForeign(path, _WRONG_TYPE, _HINT)
    if found.st_uid != os.geteuid():
        raise JobForeign(path)


def other_writers(state_dir: Path) -> str:
    """Who else may create or replace directories in it, in words; empty if nobody, or if it does not exist.

    A directory with the sticky bit, such as /tmp, counts as safe: nobody can replace another user's directory there.
    """
    try:
        found = state_dir.stat()
    except OSError:
        return ""
    if found.st_uid not in (0, os.geteuid()):
        return f"its owner, the user with uid {found.st_uid}"
    is_open = found.st_mode & _OTHERS_WRITE and not found.st_mode & stat.S_ISVTX
    return "every user" if is_open and found.st_mode & stat.S_IWOTH else "its group" if is_open else ""
