"""A job's directory: its files' names, its lock, and the small JSON files in it.

It is its user's alone: what another user owns or could have put there is not touched (`ownfile.py`).

`spec.json` (no secrets), `journal.sqlite`, `run.json` (who runs it, with which SysV objects), `lock` (flock for the
coordinator's life), `key` (for ftok; never replaced), `control` (the FIFO for orders, while it runs), `log`, and a
`report.*` for each range that has something to tell.
"""

from __future__ import annotations

import errno
import fcntl
import json
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
from shardload.jobdir.runfile import RunRecord
from shardload.model.counts import SetAside
from shardload.model.jobname import JOB_NAME_WORDS, is_job_name
from shardload.model.printable import bounded
from shardload.model.wording import a_few_jobs

_DIRECTORY_MODE = 0o700
_OURS = re.compile(
    r"(spec|run)\.(json|new)|journal\.(sqlite(-wal|-shm|-journal)?|new(-journal)?)|key|lock|control|log(\..*)?"
    r"|report\..*|answer\..*"
)
_LOCK_PATIENCE_S = 0.2  # one who only looks whether the job is held (`is_locked`) holds the lock for an instant
_LOOK_AGAIN_S = 0.01
_NOT_THE_PATHS_FAULT = (errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO)


@dataclass(frozen=True)
class JobDirectory:
    """The files of one job."""

    path: Path

    @classmethod
    def create(cls, state_dir: Path, name: str) -> JobDirectory:
        """A new directory, readable by this user alone. JobError if the name is taken or it cannot be made.

        Who makes the key file has the name: of two that try at once, one.
        """
        directory = cls(state_dir / name)
        try:
            state_dir.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
            directory.path.mkdir(mode=_DIRECTORY_MODE, exist_ok=True)
            directory.check_free()
            make_private(directory.path)
            directory.check_free()  # again: now nobody else can write it
            os.close(open_own(directory.key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            raise directory._taken() from None
        except OSError as error:
            kind = DirectoryLost if error.errno in _NOT_THE_PATHS_FAULT else JobError
            raise kind(f"cannot make the job directory {directory.path}: {error.strerror}", "see --state-dir") from None
        return directory

    def check_free(self) -> None:
        """JobError if the name is taken. An empty directory does not take it: a kill at the first moment leaves one."""
        try:
            is_free = not any(self.path.iterdir())
        except FileNotFoundError:
            return
        except NotADirectoryError:
            if not self.path.parent.is_dir():
                raise JobError(f"{self.path.parent} is not a directory", "see --state-dir") from None
            is_free = False
        except PermissionError:
            raise JobForeign(self.path) from None
        if not is_free:
            raise self._taken()

    def _taken(self) -> JobError:
        if self.path.is_dir() and _is_within_reach(self.path) and self.is_locked():
            way_on = f"it is running: shardload attach {self.name}"
        elif _is_there(self.spec_file):
            way_on = f"go on with it: shardload resume {self.name}"
        elif self in self.half_made(self.path.parent):
            way_on = "it was never begun: shardload clean removes it"
        else:
            return JobError(f"{self.path} is there already, and is no job", "choose another --job")
        return JobError(f"job {self.name} exists already in {self.path.parent}", f"{way_on}; or choose another --job")

    @classmethod
    def find(cls, state_dir: Path, name: str) -> JobDirectory:
        """An existing job's directory. JobError, naming the jobs there are, if there is none; JobForeign if it is
        another user's, unless this one is root."""
        if not is_job_name(name):
            raise JobError(f"{name!r} is no job's name", f"names have {JOB_NAME_WORDS}")
        directory = cls(state_dir / name)
        if os.path.lexists(directory.path) and not _is_within_reach(directory.path):
            check_own_directory(directory.path)
        if not _is_there(directory.spec_file):
            names = [other.name for other in cls.all(state_dir)]
            raise JobError(
                f"there is no job {name!r} in {state_dir}",
                f"there is: {a_few_jobs(names, name)}" if names else "there is none at all; see --state-dir",
            )
        return directory

    @classmethod
    def all(cls, state_dir: Path) -> list[JobDirectory]:
        """Every job's directory, by name: this user's own, or for root everybody's."""
        return [cls(path) for path in _entries(state_dir) if _is_within_reach(path) and _is_there(path / "spec.json")]

    @classmethod
    def foreign(cls, state_dir: Path) -> list[JobDirectory]:
        """Another user's directories, by name: whether they are jobs is not looked at."""
        return [cls(path) for path in _entries(state_dir) if path.is_dir() and not _is_within_reach(path)]

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
        """Who runs the job, and with which SysV objects."""
        return self.path / "run.json"

    @property
    def key_file(self) -> Path:
        """The file whose inode ftok uses."""
        return self.path / "key"

    @property
    def log_file(self) -> Path:
        """Everything that happened."""
        return self.path / "log"

    def lock(self) -> int:
        """Hold the job for this process's life. The result is the descriptor, to be closed in children.

        JobError, saying who holds it, if it is held; or why it cannot be opened.
        """
        try:
            remove_group_access(self.path)
            descriptor = open_own(self.path / "lock", os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise self._no_lock(error) from None
        give_up_s = time.monotonic() + _LOCK_PATIENCE_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() < give_up_s:
                    time.sleep(_LOOK_AGAIN_S)
                    continue
                os.close(descriptor)
                raise JobError(
                    f"job {self.name} is running, held by process {self.read_run().pid or '?'}",
                    f"watch it: shardload attach {self.name}; end it: shardload stop {self.name}",
                ) from None
            return descriptor

    def is_locked(self) -> bool:
        """True if a process holds the job."""
        try:
            descriptor = open_own(self.path / "lock", os.O_RDONLY)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self._no_lock(error) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return False

    def _no_lock(self, error: OSError) -> JobError:
        if isinstance(error, PermissionError):
            return JobForeign(self.path)
        return JobError(f"cannot open {self.path / 'lock'}: {error.strerror}", "see --state-dir")

    def forget(self) -> bool:
        """Remove the job's files, and the directory. False if it holds something that is not shardload's: that stays.

        Whoever calls this holds the lock.
        """
        remove_own(self.path, _OURS.fullmatch)
        try:
            self.path.rmdir()
        except OSError:
            return False
        return True

    @classmethod
    def half_made(cls, state_dir: Path) -> list[JobDirectory]:
        """Directories whose making was cut off by a kill: a key file, no spec, and nothing that is not shardload's."""
        return [
            cls(path)
            for path in _entries(state_dir)
            if (_is_within_reach(path) and _is_there(path / "key"))
            and not os.path.lexists(path / "spec.json")
            and all(_OURS.fullmatch(entry.name) for entry in path.iterdir())
        ]

    def write_spec(self, spec: dict[str, Any]) -> None:
        """Write `spec.json`."""
        write(self.spec_file, spec)

    def read_spec(self) -> dict[str, Any]:
        """The stored spec. JobError if it is damaged."""
        return read(self.spec_file)

    def write_run(self, run: RunRecord) -> None:
        """Write `run.json`, whole or not at all."""
        write(self.run_file, run.as_json())

    def read_run(self) -> RunRecord:
        """The last run; an empty record if the job never ran. JobError if it is damaged, JobForeign if it is not
        ours."""
        try:
            check_own_directory(self.path)
        except OSError as error:
            raise damaged(self.path, f"cannot be opened: {error.strerror}") from None
        try:
            return RunRecord.from_json(read(self.run_file)) if os.path.lexists(self.run_file) else RunRecord()
        except ValueError as error:
            raise damaged(self.run_file, f"cannot be right: {error}") from None

    def write_report(self, range_id: int, attempt: int, told: list[SetAside]) -> None:
        """What a worker has to tell of a range; rows and texts do not fit into an ack."""
        descriptor = open_own(self._report(range_id, attempt), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        with os.fdopen(descriptor, "a", encoding="utf-8") as file:
            file.writelines(json.dumps([bounded(one.key), bounded(one.reason)]) + "\n" for one in told)

    def take_report(self, range_id: int, attempt: int) -> list[SetAside]:
        """The report of a range, once: the file is removed."""
        path = self._report(range_id, attempt)
        try:
            with os.fdopen(open_own(path, os.O_RDONLY), encoding="utf-8") as file:
                lines = file.read().splitlines()
        except FileNotFoundError:
            return []
        path.unlink()
        return [SetAside(*json.loads(line)) for line in lines]

    def remove_reports(self) -> None:
        """Those that dead workers left."""
        remove_own(self.path, lambda name: name.startswith("report."))

    def _report(self, range_id: int, attempt: int) -> Path:
        return self.path / f"report.{range_id}.{attempt}"


def _entries(state_dir: Path) -> list[Path]:
    """What may be a job by its name: a volume's lost+found is none, for example."""
    try:
        return sorted(path for path in state_dir.iterdir() if is_job_name(path.name))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except PermissionError:
        raise JobForeign(state_dir) from None


def _is_within_reach(directory: Path) -> bool:
    """True if it is this user's own, or if this is root, who can act as its owner."""
    try:
        found = directory.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and os.geteuid() in (0, found.st_uid)


def _is_there(file: Path) -> bool:
    try:
        return stat.S_ISREG(file.lstat().st_mode)
    except PermissionError:
        raise JobForeign(file.parent) from None
    except OSError:
        return False
