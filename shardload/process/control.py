"""Orders to a running coordinator: one line each through its control FIFO; answers come through a FIFO of the sender.

Both FIFOs are in the job's directory, with mode 0600. The coordinator holds both ends of its own, so that it never sees
an end-of-file and never blocks. An order is the name of the sender's FIFO and the order's words, written with one call
of at most PIPE_BUF bytes, so that lines never mix (fifo(7)). The answer is one line, `done` or `refused` with a text; a
line `wait` may come before it.
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
_LONGEST_LINE_BYTES = 4096  # PIPE_BUF on Linux; no order is nearly as long
_ANSWER_NAME = re.compile(r"answer\.[0-9]+\.[0-9a-f]{8}")


@dataclass(frozen=True)
class FifoAnswer:
    """Answers one order. If the sender has gone away, nothing happens."""

    path: Path

    def wait(self, text: str) -> None:
        """Tell the sender that the order was understood and is being carried out."""
        self._send("wait", text)

    def done(self, text: str) -> None:
        """Tell the sender that the order has been carried out."""
        self._send("done", text)

    def refuse(self, text: str) -> None:
        """Tell the sender why the order will not be carried out."""
        self._send("refused", text)

    def _send(self, word: str, text: str) -> None:
        try:
            descriptor = _open_fifo(self.path, os.O_WRONLY)
        except (OSError, JobForeign):
            return  # the sender no longer waits
        try:
            os.write(descriptor, f"{word} {' '.join(text.split())}\n".encode()[:_LONGEST_LINE_BYTES])
        except OSError:
            return  # the sender left between the two calls
        finally:
            os.close(descriptor)


def _open_fifo(path: Path, flags: int) -> int:
    """Open a FIFO. JobForeign if it is another user's or something else has been put in its place."""
    return open_own(path, flags, stat.S_ISFIFO)


def _make_fifo(path: Path, directory: int) -> None:
    """Make a FIFO in the directory with this descriptor; by its path if there is no mkfifoat (macOS before 13)."""
    if _HAS_MKFIFOAT:
        os.mkfifo(path.name, 0o600, dir_fd=directory)
    else:
        os.mkfifo(path, 0o600)


class ControlInbox:
    """The coordinator's control FIFO: made with the object, removed by `close`."""

    def __init__(self, directory: Path) -> None:
        """Make the FIFO; one that a dead coordinator left is replaced. OSError if it cannot be made."""
        self._directory = directory
        self._path = directory / "control"
        with own_directory(directory) as opened:
            with suppress(FileNotFoundError):
                os.unlink(self._path.name, dir_fd=opened)
            _make_fifo(self._path, opened)
        self._descriptor = _open_fifo(self._path, os.O_RDWR)
        self._unfinished = b""

    def fileno(self) -> int:
        """The FIFO's descriptor: a selector waits for it, a forked child closes it."""
        return self._descriptor

    def drain(self) -> list[tuple[str, FifoAnswer]]:
        """The orders that came since the last call: their words, and the answer to fill in. Other lines are dropped."""
        data = self._unfinished
        while True:
            try:
                data += os.read(self._descriptor, 65536)
            except BlockingIOError:
                break
            except InterruptedError:
                continue
            if len(data) > 16 * _LONGEST_LINE_BYTES:
                break  # the rest stays in the FIFO until the next call
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
        """Remove the FIFO, and the answer FIFOs that killed senders left."""
        os.close(self._descriptor)
        self._path.unlink(missing_ok=True)
        with suppress(OSError, JobForeign):  # if no descriptor is free to list them, the next run removes them
            remove_own(self._directory, lambda name: name.startswith("answer."))


class NoListener(Exception):
    """No coordinator has the control FIFO open: the job is not running."""


class ControlRequest:
    """One order to a coordinator, and its answer. A context manager: leaving it removes the answer's FIFO."""

    def __init__(self, directory: Path, words: str) -> None:
        """Send the order. NoListener if no coordinator has the FIFO open, BlockingIOError if the FIFO is full of orders
        that it has not read, JobForeign if the job is another user's, OSError if the FIFO cannot be used."""
        self._path = directory / f"answer.{os.getpid()}.{os.urandom(4).hex()}"
        self._unread = b""
        self._descriptor = -1
        with own_directory(directory) as opened:
            _make_fifo(self._path, opened)
        try:
            self._descriptor = _open_fifo(self._path, os.O_RDWR)  # both ends: no end-of-file between answers
            self._send(directory / "control", f"{self._path.name} {words}\n".encode())
        except BaseException:
            self.close()
            raise

    def _send(self, path: Path, line: bytes) -> None:
        try:
            control = _open_fifo(path, os.O_WRONLY)
        except JobForeign:
            raise NoListener from None
        except OSError as error:
            if error.errno in (errno.ENXIO, errno.ENOENT):
                raise NoListener from None
            raise
        try:
            os.write(control, line)
        except BrokenPipeError:  # the coordinator left between the two calls
            raise NoListener from None
        finally:
            os.close(control)

    def answer(self, timeout_s: float) -> tuple[str, str] | None:
        """Wait for the answer's next line: its first word (`wait`, `done`, `refused`) and its text. None if no line
        comes in time."""
        give_up_s = time.monotonic() + timeout_s
        while b"\n" not in self._unread:
            left_s = give_up_s - time.monotonic()
            if left_s <= 0 or not select.select([self._descriptor], [], [], left_s)[0]:
                return None
            self._unread += os.read(self._descriptor, 65536)
        line, _, self._unread = self._unread.partition(b"\n")
        word, _, text = line.decode("utf-8", "replace").partition(" ")
        return word, text

    def close(self) -> None:
        """Close and remove the answer's FIFO."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> ControlRequest:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
