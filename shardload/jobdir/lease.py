"""A lease: until when the workers of a block may write. It is a small file in the job's directory.

A machine of a fleet renews it as the head says (`shardload/fleet/`); workers look before they send. Without the file
nobody limits them. It has a time of CLOCK_BOOTTIME, which goes on while the machine sleeps, as 8 bytes.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from pathlib import Path

from shardload.files.ownfile import open_own

_TIME = struct.Struct("<d")
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def lease_clock_s() -> float:
    """The time that leases are in: seconds since this machine was started."""
    return time.clock_gettime(_CLOCK)


class Lease:
    """One block's lease, or, with None, none. Every process that holds it sees a renewal at once."""

    def __init__(self, mapped: mmap.mmap | None) -> None:
        self._mapped = mapped

    @classmethod
    def create(cls, directory: Path) -> Lease:
        """A lease that has run out already, for the job in this directory. OSError if it cannot be made."""
        return cls(_mapped(open_own(_path(directory), os.O_RDWR | os.O_CREAT | os.O_EXCL), is_new=True))

    @classmethod
    def of(cls, directory: Path) -> Lease:
        """The lease of the job in this directory. OSError if it cannot be read."""
        try:
            return cls(_mapped(open_own(_path(directory), os.O_RDWR), is_new=False))
        except FileNotFoundError:
            return cls(None)

    @property
    def is_limited(self) -> bool:
        """False if there is no lease, so that nobody is limited."""
        return self._mapped is not None

    @property
    def holds(self) -> bool:
        """True if writing is allowed now."""
        return self._mapped is None or lease_clock_s() < _TIME.unpack_from(self._mapped)[0]

    def renew(self, until_s: float) -> None:
        """Allow writing until then, by `lease_clock_s`."""
        assert self._mapped is not None
        self._mapped[:] = _TIME.pack(until_s)


def _path(directory: Path) -> Path:
    return directory / "lease"


def _mapped(descriptor: int, *, is_new: bool) -> mmap.mmap:
    try:
        if is_new:
            os.write(descriptor, _TIME.pack(0.0))
        return mmap.mmap(descriptor, _TIME.size)
    finally:
        os.close(descriptor)
