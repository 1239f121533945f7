"""The files in which workers note the fingerprints of the keys that they write, where several rows may make one key.

A file is written by one process, record by record. A record belongs to one try of a range; a large range has several.
Which tries count is decided later, by the journal. What a killed worker leaves at a file's end is no whole record, and
is not read.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from shardload.errors import DirectoryLost
from shardload.files.ownfile import open_own, remove_own

_HEAD = struct.Struct(
    "<8sQIIqI"
)  # magic, range, attempt, whether it is the last of the range, when begun, bytes behind
_MAGIC = b"slfinger"
_RECORD_BYTES = 256 * 1024  # of fingerprints, before they are written
MOST_RECORD_BYTES = 64 * 1024 * 1024  # a batch is smaller by far


@dataclass(frozen=True, slots=True)
class Try:
    """One try of a range. `begun_ns` tells tries with the same number apart: a range that was interrupted, or whose
    job was killed, is tried again under it."""

    range_id: int
    attempt: int
    begun_ns: int


@dataclass(frozen=True, slots=True)
class Record:
    """The next fingerprints of a try, or the last (`is_last`)."""

    of: Try
    is_last: bool
    fingerprints: bytes


class FingerprintWriter:
    """One process's file, which is made when there is something to write."""

    def __init__(self, directory: Path, slot: int) -> None:
        self._directory = directory
        self._slot = slot
        self._descriptor = -1
        self._waiting = bytearray()

    def begin(self) -> None:
        """Begin a range: forget what was not written of the one before, which did not end."""
        self._waiting.clear()

    def add(self, of: Try, fingerprints: bytes) -> None:
        """Take a batch's fingerprints. DirectoryLost if they cannot be written."""
        self._waiting += fingerprints
        if len(self._waiting) >= _RECORD_BYTES:
            self._write(of, is_last=False)

    def end(self, of: Try) -> None:
        """Write what is left of a range that ended. DirectoryLost if that fails."""
        self._write(of, is_last=True)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _write(self, of: Try, *, is_last: bool) -> None:
        head = _HEAD.pack(_MAGIC, of.range_id, of.attempt, is_last, of.begun_ns, len(self._waiting))
        left = memoryview(head + self._waiting)
        try:
            if self._descriptor < 0:
                self._descriptor = self._new_file()
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError as error:
            self.close()  # nothing may follow half a record
            raise DirectoryLost(
                f"cannot write the fingerprints of keys into {self._directory}: {error.strerror}",
                "make room on the disk",
            ) from None
        self._waiting.clear()

    def _new_file(self) -> int:
        """A file of this process alone. JobForeign if the directory is another user's, else OSError."""
        number = 0
        while True:
            path = self._directory / f"fingerprints.{self._slot}.{number}"
            try:
                return open_own(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            except FileExistsError:
                number += 1


def records(directory: Path) -> Iterator[Record]:
    """Every whole record of all files. OSError or JobForeign if they cannot be read."""
    for path in sorted(directory.glob("fingerprints.*")):
        with os.fdopen(open_own(path, os.O_RDONLY), "rb") as file:
            yield from _records_of(file)


def remove_fingerprints(directory: Path) -> None:
    """Remove all files."""
    remove_own(directory, lambda name: name.startswith("fingerprints."))


def _records_of(file: BinaryIO) -> Iterator[Record]:
    while len(head := file.read(_HEAD.size)) == _HEAD.size:
        magic, range_id, attempt, is_last, begun_ns, size_bytes = _HEAD.unpack(head)
        if magic != _MAGIC or size_bytes > MOST_RECORD_BYTES:
            return  # damaged: its ranges count as not noted
        fingerprints = file.read(size_bytes)
        if len(fingerprints) < size_bytes:
            return
        yield Record(Try(range_id, attempt, begun_ns), bool(is_last), fingerprints)
