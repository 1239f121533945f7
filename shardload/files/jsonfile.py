"""A job's small JSON files: written whole or not at all, read with a word on what is wrong with them."""

from __future__ import annotations

import errno
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from shardload.errors import DirectoryLost, JobError, JobForeign
from shardload.files.ownfile import open_own, own_directory, read_own

_MOST_BYTES = 2**24  # the longest spec, with all the columns that a table can have, is far below
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def write(path: Path, content: dict[str, Any]) -> None:
    """Put this into the file's place. DirectoryLost if it cannot be written, JobForeign if others might.

    Where the disk is full a file that is there already may still be written over, in one piece: it has its blocks.
    """
    text = json.dumps(content, indent=1).encode()
    new = path.with_suffix(".new").name
    try:
        with own_directory(path.parent) as directory:
            with suppress(FileNotFoundError):
                os.unlink(new, dir_fd=directory)
            _write_whole(path.with_name(new), os.O_CREAT | os.O_EXCL, text)
            os.replace(new, path.name, src_dir_fd=directory, dst_dir_fd=directory)
    except OSError as error:
        with suppress(OSError), own_directory(path.parent) as directory:
            os.unlink(new, dir_fd=directory)
        if error.errno not in _NO_SPACE or not _wrote_over(path, text):
            raise DirectoryLost(f"cannot write {path}: {error.strerror}", "is the disk full?") from None


def _write_whole(path: Path, how: int, text: bytes) -> None:
    descriptor = open_own(path, os.O_WRONLY | how)
    try:
        if os.write(descriptor, text) != len(text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(descriptor)


def _wrote_over(path: Path, text: bytes) -> bool:
    try:
        size = path.stat().st_size
        if len(text) > size:
            return False  # what would be left, if there is no room, is neither the old nor the new
        _write_whole(path, 0, text.ljust(size))  # blanks at the end mean nothing
    except OSError:
        return False
    return True


def read(path: Path) -> dict[str, Any]:
    """What the file holds. JobError if it is damaged, JobForeign if it is another user's."""
    try:
        content = json.loads(read_own(path, _MOST_BYTES).decode())
    except PermissionError:
        raise JobForeign(path.parent) from None
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, f"cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise damaged(path, "holds no object")
    return content


def damaged(file: Path, why: str) -> JobError:
    """The error to raise."""
    way_on = f"start a new job; shardload clean {file.parent.name} removes this one"
    return JobError(f"{file} {why}", f"the job's directory is damaged: {way_on}")
