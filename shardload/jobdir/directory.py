"""A job's directory: the names of its files, its lock and its small JSON files.

The files are `spec.json` (without secrets), `journal.sqlite`, `run.json` (which process runs the job, with which SysV
objects), `lock` (the coordinator holds an flock on it), `key` (for ftok; never replaced), `control` (the FIFO for
orders, while the job runs), `log`, and what workers have to tell of ranges (`reports.py`,
`fingerprints.py`).
Only the job's user may use them. Files that another user owns, or could have put there, are left alone (`ownfile.py`).
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shardload.errors import DirectoryLost, JobError, JobForeign
from shardload.files.jsonfile import damaged, read, write
from shardload.files.ownfile import check_own_directory, make_private, open_own, remove_group_access, remove_own
from shardload.jobdir.reports import Reports
from shardload.jobdir.runfile import RunRecord
from shardload.model.jobname import JOB_NAME_WORDS, is_job_name
from shardload.model.wording import a_few_jobs

_DIRECTORY_MODE = 0o700
_OURS = re.compile(
    r"(spec|run)\.(json|new)|journal\.(sqlite(-wal|-shm|-journal)?|new(-journal)?)|key|lock|lease|control|log(\..*)?"
    r"|machine\..*|report\..*|parts\..*|differences\..*|answer\..*|fingerprints\..*"
)
_LOCK_PATIENCE_S = 0.2  # `is_locked` of another process holds the lock for an instant
_LOCK_RETRY_S = 0.01
_DISK_ERRORS = (errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO)
_OTHER_STATE_DIR = "choose another --state-dir"


@dataclass(frozen=True)
class JobDirectory:
    """The files of one job."""

    path: Path

    @classmethod
    def create(cls, state_dir: Path, name: str) -> JobDirectory:
        """Make a new directory that only this user can read. Of several processes, the one that makes `key` gets it.

        JobError if the name is taken or the directory cannot be made; DirectoryLost if the disk is the cause.
        """
        directory = cls(state_dir / name)
        try:
            state_dir.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
            directory.path.mkdir(mode=_DIRECTORY_MODE, exist_ok=True)
            directory.check_free()
            make_private(directory.path)
            directory.check_free()  # again: from now on nobody else can write to it
            os.close(open_own(directory.key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            raise directory._taken() from None
        except OSError as error:
            kind = DirectoryLost if error.errno in _DISK_ERRORS else JobError
            message = f"cannot make the job directory {directory.path}: {error.strerror}"
            raise kind(message, _OTHER_STATE_DIR) from None
        return directory

    def check_free(self) -> None:
        """JobError if the name is taken. An empty directory does not count: `create` leaves one if it is killed."""
        try:
            is_free = not any(self.path.iterdir())
        except FileNotFoundError:
            return
        except NotADirectoryError:
            if not self.path.parent.is_dir():
                raise JobError(f"{self.path.parent} is not a directory", _OTHER_STATE_DIR) from None
            is_free = False
        except PermissionError:
            raise JobForeign(self.path) from None
        if not is_free:
            raise self._taken()

    def _taken(self) -> JobError:
        if self.path.is_dir() and _is_accessible(self.path) and self.is_locked():
            hint = f"it is running; to watch it, run: shardload attach {self.name}"
        elif _is_file(self.spec_file):
            hint = f"to continue it, run: shardload resume {self.name}"
        elif self in self.incomplete(self.path.parent):
            hint = "it never started; to remove it, run: shardload clean"
        else:
            return JobError(f"{self.path} already exists and is not a job", "choose another --job")
        return JobError(f"job {self.name} already exists in {self.path.parent}", f"{hint}; or choose another --job")

    @classmethod
    def find(cls, state_dir: Path, name: str) -> JobDirectory:
        """An existing job's directory. JobError, with the names of the existing jobs, if there is no such job;
        JobForeign if it belongs to another user and this user is not root."""
        if not is_job_name(name):
            raise JobError(f"{name!r} is not a job name", f"a job name has {JOB_NAME_WORDS}")
        directory = cls(state_dir / name)
        if os.path.lexists(directory.path) and not _is_accessible(directory.path):
            check_own_directory(directory.path)
        if not _is_file(directory.spec_file):
            names = [other.name for other in cls.all(state_dir)]
            raise JobError(
                f"there is no job {name!r} in {state_dir}",
                f"the jobs there: {a_few_jobs(names, name)}" if names else f"there are no jobs; {_OTHER_STATE_DIR}",
            )
        return directory

    @classmethod
    def all(cls, state_dir: Path) -> list[JobDirectory]:
        """The directories of all jobs, by name: of this user's jobs, or of everybody's if this user is root."""
        return [cls(path) for path in _entries(state_dir) if _is_accessible(path) and _is_file(path / "spec.json")]

    @classmethod
    def foreign(cls, state_dir: Path) -> list[JobDirectory]:
        """The directories of other users, by name. Whether they are jobs is not checked."""
        return [cls(path) for path in _entries(state_dir) if path.is_dir() and not _is_accessible(path)]

    @property
    def name(self) -> str:
        """The job's name."""
        return self.path.name

    @property
    def spec_file(self) -> Path:
        """The spec, without secrets."""
        return self.path / "spec.json"

    @property
    def journal_file(self) -> Path:
        """The plan and every range's outcome."""
        return self.path / "journal.sqlite"

    @property
    def run_file(self) -> Path:
        """Which process runs the job, and with which SysV objects."""
        return self.path / "run.json"

    @property
    def key_file(self) -> Path:
        """The file whose inode ftok uses."""
        return self.path / "key"

    @property
    def log_file(self) -> Path:
        """The log file."""
        return self.path / "log"

    def lock(self) -> int:
        """Lock the job for as long as this process lives. Returns the lock's descriptor; children have to close it.

        JobError if another process holds the lock, or if the file cannot be opened; JobForeign if it is another user's.
        """
        try:
            remove_group_access(self.path)
            descriptor = open_own(self.path / "lock", os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise self._lock_error(error) from None
        give_up_s = time.monotonic() + _LOCK_PATIENCE_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() < give_up_s:
                    time.sleep(_LOCK_RETRY_S)
                    continue
                os.close(descriptor)
                raise JobError(
                    f"job {self.name} is running, held by process {self.read_run().pid or '?'}",
                    f"to watch it, run: shardload attach {self.name}; to end it, run: shardload stop {self.name}",
                ) from None
            return descriptor

    def is_locked(self) -> bool:
        """True if a process holds the job's lock. JobError if the lock cannot be opened."""
        try:
            descriptor = open_own(self.path / "lock", os.O_RDONLY)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self._lock_error(error) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return False

    def _lock_error(self, error: OSError) -> JobError:
        if isinstance(error, PermissionError):
            return JobForeign(self.path)
        return JobError(f"cannot open {self.path / 'lock'}: {error.strerror}", _OTHER_STATE_DIR)

    def remove(self) -> bool:
        """Remove the job's files and the directory. The caller holds the lock.

        Files that are not shardload's stay, and so does the directory then: the result is False.
        """
        remove_own(self.path, _OURS.fullmatch)
        try:
            self.path.rmdir()
        except OSError:
            return False
        return True

    @classmethod
    def incomplete(cls, state_dir: Path) -> list[JobDirectory]:
        """Directories whose `create` was killed: they have a key file, no spec, and only files of shardload's."""
        return [
            cls(path)
            for path in _entries(state_dir)
            if (_is_accessible(path) and _is_file(path / "key"))
            and not os.path.lexists(path / "spec.json")
            and all(_OURS.fullmatch(entry.name) for entry in path.iterdir())
        ]

    def write_spec(self, spec: dict[str, Any]) -> None:
        """Write `spec.json`."""
        write(self.spec_file, spec)

    def read_spec(self) -> dict[str, Any]:
        """Read `spec.json`. JobError if it is damaged."""
        return read(self.spec_file)

    def write_run(self, run: RunRecord) -> None:
        """Write `run.json`. A kill leaves either the old or the new one."""
        write(self.run_file, run.as_json())

    def read_run(self) -> RunRecord:
        """Read `run.json`; an empty record if the job never ran. JobError if damaged, JobForeign if another user's."""
        try:
            check_own_directory(self.path)
        except OSError as error:
            raise damaged(self.path, f"cannot be opened: {error.strerror}") from None
        try:
            return RunRecord.from_json(read(self.run_file)) if os.path.lexists(self.run_file) else RunRecord()
        except ValueError as error:
            raise damaged(self.run_file, f"has wrong values: {error}") from None

    @property
    def reports(self) -> Reports:
        """What its workers have to tell of ranges."""
        return Reports(self.path)


def _entries(state_dir: Path) -> list[Path]:
    """The paths whose names can be job names; a volume's lost+found is not one."""
    try:
        return sorted(path for path in state_dir.iterdir() if is_job_name(path.name))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except PermissionError:
        raise JobForeign(state_dir) from None


def _is_accessible(directory: Path) -> bool:
    """True if it is a directory of this user's, or if this user is root, who can act as its owner."""
    try:
        found = directory.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and os.geteuid() in (0, found.st_uid)


def _is_file(file: Path) -> bool:
    """True if it is a regular file. JobForeign if this user may not look."""
    try:
        return stat.S_ISREG(file.lstat().st_mode)
    except PermissionError:
        raise JobForeign(file.parent) from None
    except OSError:
        return False
