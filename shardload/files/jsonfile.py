"""A job's small JSON files: written whole or not at all. A damaged file is reported with what is wrong in it."""

from __future__ import annotations

import errno
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from shardload.errors import DirectoryLost, JobError, JobForeign
from shardload.files.ownfile import open_own, own_directory, read_own

_MOST_BYTES = 2**24  # far more than the longest spec (one that names every column of the widest table)
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def write(path: Path, content: dict[str, Any]) -> None:
    """Replace the file by this object. DirectoryLost if that fails, JobForeign if others may write to the directory.

    The new content goes to a second file, which is then renamed. On a full disk the old file is overwritten in one
    write instead, if the new content is no longer than the old: the blocks for it exist already.
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
        if error.errno not in _NO_SPACE or not _overwrite(path, text):
            raise DirectoryLost(
                f"cannot write {path}: {error.strerror}", "check that the disk has space and is writable"
            ) from None


def _write_whole(path: Path, how: int, text: bytes) -> None:
    descriptor = open_own(path, os.O_WRONLY | how)
    try:
        if os.write(descriptor, text) != len(text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(descriptor)


def _overwrite(path: Path, text: bytes) -> bool:
    """Write over the old content in place. False if that is not possible."""
    try:
        size = path.stat().st_size
        if len(text) > size:
            return False  # a write that runs out of space would leave a mixture of old and new
        _write_whole(path, 0, text.ljust(size))  # JSON ignores blanks at the end
    except OSError:
        return False
    return True


def read(path: Path) -> dict[str, Any]:
    """The object in the file. JobError if the file is missing or damaged, JobForeign if it is another user's."""
    try:
        content = json.loads(read_own(path, _MOST_BYTES).decode())
    except PermissionError:
        raise JobForeign(path.parent) from None
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, f"cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise damaged(path, "is not a JSON object")
    return content


def damaged(file: Path, why: str) -> JobError:
    """The error for a damaged file in a job's directory; `why` completes a sentence that starts with the file."""
    job = file.parent.name
    return JobError(f"{file} {why}", f"the job's directory is damaged: run shardload clean {job}, then start a new job")
