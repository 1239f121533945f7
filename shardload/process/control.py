"""The control FIFO: a line an order, and an answer by a FIFO of the asker's own. Both 0600, in the job's directory.

The coordinator holds both ends of its FIFO, so that it never sees an end-of-file and never blocks. A line is written
in one piece (at most PIPE_BUF bytes, so it stays whole, fifo(7)): the name of the asker's FIFO, and the order's words.
The answer is a line or two: `wait`, then `done` or `refused`, each with a text.
"""

from __future__ import annotations

import errno
import os
import re
import select
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from shardload.errors import JobForeign
from shardload.files.ownfile import open_own, own_directory, remove_own

_HAS_MKFIFOAT = os.mkfifo in os.supports_dir_fd
_LONGEST_LINE_BYTES = 4096  # PIPE_BUF on Linux; nobody has that much to say
_ANSWER_NAME = re.compile(r"answer\.[0-9]+\.[0-9a-f]{8}")


@dataclass(frozen=True)
class FifoAnswer:
    """To a process that waits at a FIFO, or has left."""

    path: Path

    def wait(self, text: str) -> None:
        """It was understood, and is under way."""
        self._say("wait", text)

    def done(self, text: str) -> None:
        """It is carried out."""
        self._say("done", text)

    def refuse(self, text: str) -> None:
        """It will not be carried out."""
        self._say("refused", text)

    def _say(self, word: str, text: str) -> None:
        try:
            descriptor = _open_fifo(self.path, os.O_WRONLY)
        except (OSError, JobForeign):
            return  # nobody waits any more
        try:
            os.write(descriptor, f"{word} {' '.join(text.split())}\n".encode()[:_LONGEST_LINE_BYTES])
        except OSError:
            return  # it left between the two calls
        finally:
            os.close(descriptor)


def _open_fifo(path: Path, how: int) -> int:
    """A FIFO that another user may have put something else in the place of: JobForeign."""
    return open_own(path, how, stat.S_ISFIFO)


def _make_fifo(path: Path, place: int) -> None:
    """In the directory that `place` has open; by its path where the system cannot do otherwise (macOS before 13)."""
    if _HAS_MKFIFOAT:
        os.mkfifo(path.name, 0o600, dir_fd=place)
    else:
        os.mkfifo(path, 0o600)


class ControlInbox:
    """The coordinator's end, from its creation to `close`, which removes the FIFO."""

    def __init__(self, directory: Path) -> None:
        """OSError if the FIFO cannot be made. One that a dead coordinator left is replaced."""
        self._directory = directory
        self._path = directory / "control"
        with own_directory(directory) as place:
            with suppress(FileNotFoundError):
                os.unlink(self._path.name, dir_fd=place)
            _make_fifo(self._path, place)
        self._descriptor = _open_fifo(self._path, os.O_RDWR)
        self._unfinished = b""

    def fileno(self) -> int:
        """For a selector, and for children to close."""
        return self._descriptor

    def drain(self) -> list[tuple[str, FifoAnswer]]:
        """Orders that came since the last call: words, and where to answer. What is no such line is dropped."""
        data = self._unfinished
        while True:
            try:
                data += os.read(self._descriptor, 65536)
            except BlockingIOError:
                break
            except InterruptedError:
                continue
            if len(data) > 16 * _LONGEST_LINE_BYTES:
                break  # the rest is still there when these have been heard
        *lines, self._unfinished = data.split(b"\n")
        if len(self._unfinished) > _LONGEST_LINE_BYTES:
            self._unfinished = b""
        found = []
        for line in lines:
            name, _, words = line.decode("ascii", "replace").partition(" ")
            if _ANSWER_NAME.fullmatch(name):
                found.append((words, FifoAnswer(self._directory / name)))
        return found

    def close(self) -> None:
        """Remove the FIFO, and those that killed askers left."""
        os.close(self._descriptor)
        self._path.unlink(missing_ok=True)
        with suppress(OSError, JobForeign):  # no descriptor is left to look with: the next run cleans up
            remove_own(self._directory, lambda name: name.startswith("answer."))


class NobodyListens(Exception):
    """There is no coordinator at the other end."""


class Question:
    """An order on its way to a coordinator. A context manager: the answer's FIFO is removed at its end."""

    def __init__(self, directory: Path, words: str) -> None:
        """NobodyListens if no coordinator has the FIFO open. BlockingIOError if it has not heard others for long,
        JobForeign if this user may not ask, OSError if nobody can."""
        self._path = directory / f"answer.{os.getpid()}.{os.urandom(4).hex()}"
        self._unread = b""
        self._descriptor = -1
        with own_directory(directory) as place:
            _make_fifo(self._path, place)
        try:
            self._descriptor = _open_fifo(self._path, os.O_RDWR)  # both ends: no end-of-file between answers
            self._ask(directory / "control", f"{self._path.name} {words}\n".encode())
        except BaseException:
            self.close()
            raise

    def _ask(self, path: Path, line: bytes) -> None:
        try:
            control = _open_fifo(path, os.O_WRONLY)
        except JobForeign:
            raise NobodyListens from None
        except OSError as error:
            if error.errno in (errno.ENXIO, errno.ENOENT):
                raise NobodyListens from None
            raise
        try:
            os.write(control, line)
        except BrokenPipeError:  # it left between the two calls
            raise NobodyListens from None
        finally:
            os.close(control)

    def answer(self, patience_s: float) -> tuple[str, str] | None:
        """The next line of the answer: its first word and its text. None if there is none within the time."""
        give_up_s = time.monotonic() + patience_s
        while b"\n" not in self._unread:
            left_s = give_up_s - time.monotonic()
            if left_s <= 0 or not select.select([self._descriptor], [], [], left_s)[0]:
                return None
            self._unread += os.read(self._descriptor, 65536)
        line, _, self._unread = self._unread.partition(b"\n")
        word, _, text = line.decode("utf-8", "replace").partition(" ")
        return word, text

    def close(self) -> None:
        """Nobody waits for the answer any more."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> Question:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
