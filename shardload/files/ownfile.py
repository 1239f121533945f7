"""Opening what lies in a job directory, whatever somebody else may have put there.

The directory has to be the acting user's, and nobody else may be able to write it; the file has to be that user's too,
and of the kind that is expected. No symbolic link is followed, no FIFO waited for, and what was opened is looked at
before it is used. Everything goes through the directory's descriptor: exchanging the directory meanwhile has no effect.
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
_WRONG_KIND = "is not of the kind that belongs there"
_WAY_ON = "see who put it there, and why; then remove it, or choose another --state-dir"


def close_to_others(directory: Path) -> None:
    """Only this user may read or write it from now on. JobForeign if it is another user's, else OSError."""
    descriptor = _opened_directory(directory)
    try:
        os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)


def close_to_group(directory: Path) -> None:
    """Kubernetes gives a volume's group (fsGroup) every right to what is in it, at each mount: whoever begins to use
    the directory withdraws that. What everybody can write stays so, and is refused. The errors of `close_to_others`."""
    descriptor = _opened_directory(directory)
    try:
        if os.fstat(descriptor).st_mode & _OTHERS_WRITE == stat.S_IWGRP:
            os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)


@contextmanager
def own_directory(path: Path) -> Iterator[int]:
    """A descriptor of the directory, while it is used. JobForeign if it is not this user's alone, OSError if it is not
    there."""
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
            raise JobForeign(path, "is no directory", _WAY_ON) from None
        raise
    if os.fstat(descriptor).st_uid != os.geteuid():
        os.close(descriptor)
        raise JobForeign(path)
    return descriptor


def check_own_directory(path: Path) -> None:
    """The errors of `own_directory`."""
    with own_directory(path):
        pass


def open_own(path: Path, how: int, is_expected: Callable[[int], bool] = stat.S_ISREG) -> int:
    """Like os.open, with 0600; a file to be emptied is removed and made anew instead (O_EXCL). `is_expected` is asked
    about its mode. JobForeign if directory or file are not what they have to be, else OSError."""
    with own_directory(path.parent) as directory:
        try:
            descriptor = os.open(path.name, how | _FILE, 0o600, dir_fd=directory)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise JobForeign(path, "is a symbolic link", _WAY_ON) from None
            if error.errno == errno.EISDIR or (error.errno == errno.ENXIO and not is_expected(stat.S_IFIFO)):
                raise JobForeign(path, _WRONG_KIND, _WAY_ON) from None
            raise
    try:
        _check(path, os.fstat(descriptor), is_expected)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read_own(path: Path, most_bytes: int) -> bytes:
    """All of a file. ValueError if it is longer; else the errors of `open_own`."""
    with os.fdopen(open_own(path, os.O_RDONLY), "rb") as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise ValueError(f"it is longer than {most_bytes:,} bytes")
    return content


def check_own_file(path: Path) -> None:
    """For files that a library opens by their names. JobForeign if it is none of this user's; it may be missing."""
    with own_directory(path.parent) as directory:
        try:
            found = os.stat(path.name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return
    _check(path, found, stat.S_ISREG)


def remove_own(path: Path, is_meant: Callable[[str], object]) -> None:
    """Remove the files in a directory whose names are meant; a link, not what it leads to. The errors of
    `own_directory`."""
    with own_directory(path) as directory:
        for name in filter(is_meant, os.listdir(directory)):  # noqa: PTH208  # by its descriptor
            with suppress(FileNotFoundError):  # its own process was faster
                if not stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
                    os.unlink(name, dir_fd=directory)


def _check(path: Path, found: os.stat_result, is_expected: Callable[[int], bool]) -> None:
    if not is_expected(found.st_mode):
        raise JobForeign(path, _WRONG_KIND, _WAY_ON)
    if found.st_uid != os.geteuid():
        raise JobForeign(path)


def who_else_writes(state_dir: Path) -> str:
    """Who may put directories into it, or exchange them, beside this user; empty if nobody, or if it is not there.

    In a sticky one, as /tmp is, nobody exchanges another user's.
    """
    try:
        found = state_dir.stat()
    except OSError:
        return ""
    if found.st_uid not in (0, os.geteuid()):
        return f"its owner, the user with uid {found.st_uid}"
    is_open = found.st_mode & _OTHERS_WRITE and not found.st_mode & stat.S_ISVTX
    return "every user" if is_open and found.st_mode & stat.S_IWOTH else "its group" if is_open else ""
