"""A job's directory: its files' names, its lock, and the small JSON files in it.

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
from shardload.jsonfile import damaged, read, write
from shardload.model import SetAside
from shardload.runfile import wrong_names
from shardload.wording import a_few_jobs

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
            directory.path.chmod(_DIRECTORY_MODE)
            directory.key_file.touch(mode=0o600, exist_ok=False)
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
        if self.path.is_dir() and self.is_locked():
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
        """An existing job's directory. JobError, naming the jobs there are, if there is none."""
        directory = cls(state_dir / name)
        if "/" in name or not _is_there(directory.spec_file):
            names = [other.name for other in cls.all(state_dir)]
            raise JobError(
                f"there is no job {name!r} in {state_dir}",
                f"there is: {a_few_jobs(names, name)}" if names else "there is none at all; see --state-dir",
            )
        return directory

    @classmethod
    def all(cls, state_dir: Path) -> list[JobDirectory]:
        """Every job's directory that this user may look into, by name."""
        return [cls(path) for path in _entries(state_dir) if _is_open(path) and _is_there(path / "spec.json")]

    @classmethod
    def foreign(cls, state_dir: Path) -> list[JobDirectory]:
        """Another user's directories, by name (but a volume's lost+found): whether they are jobs cannot be seen."""
        paths = [path for path in _entries(state_dir) if path.is_dir() and path.name != "lost+found"]
        return [cls(path) for path in paths if not _is_open(path)]

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
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
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
                    f"job {self.name} is running, held by process {self.read_run().get('pid', '?')}",
                    f"watch it: shardload attach {self.name}; end it: shardload stop {self.name}",
                ) from None
            return descriptor

    def is_locked(self) -> bool:
        """True if a process holds the job."""
        try:
            descriptor = os.open(self.path / "lock", os.O_RDONLY | os.O_CLOEXEC)
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
        for path in self.path.iterdir():
            if _OURS.fullmatch(path.name) and not path.is_dir():
                path.unlink()
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
            if (_is_open(path) and (path / "key").is_file())
            and not (path / "spec.json").exists()
            and all(_OURS.fullmatch(entry.name) for entry in path.iterdir())
        ]

    def write_spec(self, spec: dict[str, Any]) -> None:
        """Write `spec.json`."""
        write(self.spec_file, spec)

    def read_spec(self) -> dict[str, Any]:
        """The stored spec. JobError if it is damaged."""
        return read(self.spec_file)

    def write_run(self, run: dict[str, Any]) -> None:
        """Write `run.json`, whole or not at all."""
        write(self.run_file, run)

    def read_run(self) -> dict[str, Any]:
        """The last run, or nothing if the job never ran. JobError if it is damaged, JobForeign if it is not ours."""
        run = read(self.run_file) if self.run_file.exists() else {}
        if wrong := wrong_names(run):
            raise damaged(self.run_file, f"cannot be right: {', '.join(wrong)}")
        return run

    def write_report(self, range_id: int, attempt: int, told: list[SetAside]) -> None:
        """What a loader has to tell of a range; rows and texts do not fit into an ack."""
        with self._report(range_id, attempt).open("a", encoding="utf-8") as file:
            file.writelines(json.dumps([one.key, one.reason]) + "\n" for one in told)

    def take_report(self, range_id: int, attempt: int) -> list[SetAside]:
        """The report of a range, once: the file is removed."""
        path = self._report(range_id, attempt)
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        path.unlink()
        return [SetAside(*json.loads(line)) for line in lines]

    def remove_reports(self) -> None:
        """Those that dead loaders left."""
        for path in self.path.glob("report.*"):
            path.unlink()

    def _report(self, range_id: int, attempt: int) -> Path:
        return self.path / f"report.{range_id}.{attempt}"


def _entries(state_dir: Path) -> list[Path]:
    try:
        return sorted(state_dir.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except PermissionError:
        raise JobForeign(state_dir) from None


def _is_open(directory: Path) -> bool:
    """True if this user may look into it, and see what it holds."""
    return directory.is_dir() and os.access(directory, os.R_OK | os.X_OK)


def _is_there(file: Path) -> bool:
    try:
        return stat.S_ISREG(file.stat().st_mode)
    except PermissionError:
        raise JobForeign(file.parent) from None
    except OSError:
        return False
