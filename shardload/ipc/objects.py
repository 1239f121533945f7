"""Makes and removes the SysV objects of a run.

Keys come from `ftok(key file, project id)`, and objects are created exclusively. ftok uses only 16 bits of the inode,
so a key may be taken: then the next project id is tried.

The job directory records first that a process is about to make objects (`announce`), then which objects it made
(`IpcSet.record`). What a dead run left is removed only if it is certainly that run's. Every object has to belong to the
acting user, and its key has to come from the key file. Beyond that:
- With a record of the objects, key, id and (for a queue) the time of change have to match, since the kernel reuses ids.
- With an announcement alone (the maker was killed), the maker has to match, or for a queue the time of creation, and
  nobody may have used the object.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import sysv_ipc

from shardload.errors import IpcError, JobForeign
from shardload.files.ownfile import open_own
from shardload.ipc.board import Board
from shardload.ipc.kernel import shortages
from shardload.ipc.messages import MESSAGE_BYTES, AckQueue, TaskQueue
from shardload.ipc.records import BoardHeader

_MODE = 0o600
_PROJECT_IDS = range(1, 256)
_MAKING_S = 60  # making the objects takes milliseconds, or longer if a disk stalls
_CLOCKS_APART_S = 0.1  # the clock that the kernel stamps objects with may be a tick late


@dataclass
class IpcSet:
    """The queues and the board of a run. `record` is what to write into the job directory, for `remove_recorded`."""

    tasks: TaskQueue
    acks: AckQueue
    board: Board
    record: dict[str, Any]
    _removable: list[Any]

    def remove(self) -> None:
        """Remove queues and semaphore. Workers that wait for them wake up with IpcError. Idempotent."""
        for thing in self._removable:
            try:
                thing.remove()
            except (sysv_ipc.Error, OSError):
                continue  # it is removed already
        self._removable.clear()


def announce() -> dict[str, Any]:
    """What to record before `create`: with it, `remove_recorded` finds the objects of a process killed meanwhile."""
    since = int(time.time() - _CLOCKS_APART_S)
    return {"uid": os.geteuid(), "pid": os.getpid(), "since": since}


def create(key_file: Path, header: BoardHeader) -> IpcSet:
    """Make the objects of one run, with mode 0600.

    The board's memory is removed at once; it exists while a process has it attached. IpcError, and nothing is left
    behind, if the kernel refuses or one of its limits is too low.
    """
    for shortage in shortages(Board.size_bytes(header.slots)):
        raise shortage
    made: list[Any] = []
    make = partial(_make_new, key_file, iter(_PROJECT_IDS), made)
    memory = None
    try:
        memory = make(sysv_ipc.SharedMemory, size=Board.size_bytes(header.slots), init_character=b"\0")
        memory.remove()
        made.remove(memory)
        tasks = make(sysv_ipc.MessageQueue, max_message_size=MESSAGE_BYTES)
        acks = make(sysv_ipc.MessageQueue, max_message_size=MESSAGE_BYTES)
        semaphore = make(sysv_ipc.Semaphore, initial_value=1)
    except BaseException as error:
        for thing in made:
            thing.remove()
        if memory is not None:
            memory.detach()
        if isinstance(error, (sysv_ipc.Error, OSError, ValueError)):
            raise IpcError(
                f"cannot make SysV objects: {error}",
                "compare the limits (run: ipcs -l) with what is in use (run: ipcs)",
            ) from error
        raise
    board = Board(memory, semaphore)
    board.write_header(header)
    record = _record_of(memory, [tasks, acks], semaphore)
    return IpcSet(
        TaskQueue(tasks, header.run_id), AckQueue(acks, header.run_id), board, record, [tasks, acks, semaphore]
    )


def _record_of(memory: Any, queues: list[Any], semaphore: Any) -> dict[str, Any]:
    return {
        "uid": os.geteuid(),
        "board": {"id": memory.id},
        "queues": [{"key": queue.key, "id": queue.id, "changed": queue.last_change_time} for queue in queues],
        "semaphore": {"key": semaphore.key, "id": semaphore.id},
    }


def _make_new(key_file: Path, projects: Iterator[int], made: list[Any], kind: Any, **options: Any) -> Any:
    """Make one object under the next free key, and append it to `made`. IpcError if no key is free."""
    for project in projects:
        key = sysv_ipc.ftok(str(key_file), project, silence_warning=True)
        try:
            thing = kind(key, sysv_ipc.IPC_CREX, mode=_MODE, **options)
        except sysv_ipc.ExistentialError:
            continue  # another program or a dead run has the key
        made.append(thing)
        return thing
    raise IpcError(f"every IPC key of {key_file} is taken", "ipcs lists the objects; remove unused ones with ipcrm")


def remove_recorded(record: dict[str, Any], key_file: Path) -> int:
    """Remove the objects that a dead run left and that are certainly its own. Returns how many were removed."""
    return sum(_removed(thing) for thing in _recorded(record, key_file))


def count_recorded(record: dict[str, Any], key_file: Path) -> int:
    """How many objects `remove_recorded` would try to remove."""
    return len(_recorded(record, key_file))


def _recorded(record: dict[str, Any], key_file: Path) -> list[Any]:
    keys = _keys(key_file)
    if "since" in record:
        found = list(_announced(record, keys))
    else:
        found = []
        for was in record["queues"]:
            queue = _existing(sysv_ipc.MessageQueue, was, keys)
            if queue is not None and queue.last_change_time == was["changed"]:
                found.append(queue)
        if (semaphore := _existing(sysv_ipc.Semaphore, record["semaphore"], keys)) is not None:
            found.append(semaphore)
    return [thing for thing in found if {thing.uid, thing.cuid} == {record["uid"], os.geteuid()}]


def _keys(key_file: Path) -> list[int]:
    """Every key that this file can give. Empty if the file is gone or another user's."""
    try:
        os.close(open_own(key_file, os.O_RDONLY))
        return [sysv_ipc.ftok(str(key_file), project, silence_warning=True) for project in _PROJECT_IDS]
    except (OSError, JobForeign):
        return []


def _announced(record: dict[str, Any], keys: list[int]) -> Iterator[Any]:
    """The objects that the announcing process made and that nobody has used."""
    pid, since = record["pid"], record["since"]
    for key in keys:
        memory = _at(sysv_ipc.SharedMemory, key)
        if memory is not None:
            memory.detach()
            if memory.creator_pid == pid:
                yield memory
        queue = _at(sysv_ipc.MessageQueue, key)  # the kernel does not record which process made it
        is_new = queue is not None and not (queue.last_send_pid or queue.last_receive_pid)
        if is_new and 0 <= queue.last_change_time - since <= _MAKING_S:
            yield queue
        semaphore = _at(sysv_ipc.Semaphore, key)
        if semaphore is not None and semaphore.last_pid == pid:
            yield semaphore


def _existing(kind: Any, was: dict[str, int], keys: list[int]) -> Any:
    thing = _at(kind, was["key"]) if was["key"] in keys else None
    return thing if thing is not None and thing.id == was["id"] else None


def _at(kind: Any, key: int) -> Any:
    try:
        return kind(key)
    except (sysv_ipc.Error, OSError):
        return None


def _removed(thing: Any) -> int:
    try:
        thing.remove()
    except (sysv_ipc.Error, OSError):
        return 0
    return 1


def describe_build() -> str:
    """The version of sysv_ipc, and whether its semaphores have time-outs (shardload does not need them)."""
    timeouts = "with" if sysv_ipc.SEMAPHORE_TIMEOUT_SUPPORTED else "without"
    return f"sysv_ipc {sysv_ipc.__version__}, {timeouts} semaphore time-outs"
