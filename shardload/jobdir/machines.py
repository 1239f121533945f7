"""What the machines of a fleet have done in a run, for people: a small file for each slot of the head's."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from shardload.errors import ShardloadError
from shardload.files.jsonfile import read, write

_FILE = re.compile(r"machine\.(\d+)\.json")


@dataclass(frozen=True)
class MachineRecord:
    """A machine: its name, where Dask reaches it, its workers; the rows and ranges that it has done for this slot."""

    name: str = ""
    address: str = ""
    workers: int = 0
    rows: int = 0
    ranges: int = 0


def write_machine(directory: Path, slot: int, record: MachineRecord) -> None:
    """Write what this slot's machine has done. A full disk is no reason to stop: the journal has what counts."""
    with suppress(ShardloadError):
        write(directory / f"machine.{slot}.json", asdict(record))


def read_machines(directory: Path) -> dict[int, MachineRecord]:
    """What each slot's machine has done. Empty if there is no fleet."""
    found = {}
    for path in directory.iterdir():
        if match := _FILE.fullmatch(path.name):
            with suppress(ShardloadError, TypeError):
                found[int(match[1])] = MachineRecord(**read(path))
    return found


def remove_machines(directory: Path) -> None:
    """Forget the machines of the run before."""
    for path in directory.iterdir():
        if _FILE.fullmatch(path.name):
            path.unlink(missing_ok=True)
