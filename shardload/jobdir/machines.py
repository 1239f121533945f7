"""What the machines of a fleet have done in a run: a small file for each claim that the head had on one.

It is for people, and for a resume: where a head died, its machines may write until their lease has run out.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from shardload.errors import ShardloadError
from shardload.files.jsonfile import read, write

_FILE = re.compile(r"machine\.[0-9a-f]+\.json")


@dataclass(frozen=True)
class MachineRecord:
    """A machine under one claim: its name, where Dask reaches it, its workers, the head's slot, and the rows and ranges
    that it has done. `is_claimed` says that it may still write."""

    name: str
    address: str
    workers: int
    slot: int
    rows: int = 0
    ranges: int = 0
    is_claimed: bool = True


def write_machine(directory: Path, claim: int, record: MachineRecord) -> None:
    """Write what a machine has done. A full disk is no reason to stop: the journal has what counts."""
    with suppress(ShardloadError):
        write(directory / f"machine.{claim:016x}.json", asdict(record))


def read_machines(directory: Path) -> list[MachineRecord]:
    """What each machine has done. Empty if there is no fleet."""
    found = []
    for path in directory.iterdir():
        if _FILE.fullmatch(path.name):
            with suppress(ShardloadError, TypeError):
                found.append(MachineRecord(**read(path)))
    return found


def remove_machines(directory: Path) -> None:
    """Forget the machines of the run before."""
    for path in directory.iterdir():
        if _FILE.fullmatch(path.name):
            path.unlink(missing_ok=True)
