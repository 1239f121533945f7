"""Making and removing a run's SysV objects.

Keys come from `ftok(key file, project id)`, created exclusively. ftok keeps 16 bits of the inode, so a key can be
taken already: then the next project id is tried. That objects are about to be made is recorded in the job directory
first, and then which they are. An object is removed only if it is the acting user's, its key is one that the key file
can have given, and key, id and (for a queue) time of change are still those of the record, since ids come back;
or, where the maker was killed before it could say which they are, if its maker, or for a queue the time of its making,
is the one that was announced, and nobody has used it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
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
_MAKING_S = 60  # a maker takes milliseconds, unless a disk stalls; what is older or younger is not its work
_CLOCKS_APART_S = 0.1  # the kernel stamps objects with a clock that may lag behind by a tick


@dataclass
class IpcSet:
    """A run's queues and board, and what the job directory records of them."""

    tasks: TaskQueue
    acks: AckQueue
    board: Board
    record: dict[str, Any]
    _removable: list[Any]

    def remove(self) -> None:
        """Remove queues and semaphore, which also wakes every worker that waits on them. Idempotent."""
        for thing in self._removable:
            try:
                thing.remove()
            except (sysv_ipc.Error, OSError):
                continue  # somebody was faster
        self._removable.clear()


def announce() -> dict[str, Any]:
    """What to record before `create`, so that what a maker leaves that is killed in the middle can be found."""
    since = int(time.time() - _CLOCKS_APART_S)
    return {"uid": os.geteuid(), "pid": os.getpid(), "since": since}


def create(key_file: Path, header: BoardHeader) -> IpcSet:
    """New objects for one run, 0600. The board's memory is removed at once and lives while it is attached.

    IpcError if the kernel refuses, or has no room for what a run puts into them; then nothing is left.
    """
    for shortage in shortages(Board.size_bytes(header.slots)):
        raise shortage
    made: list[Any] = []
    projects = iter(_PROJECT_IDS)

    def exclusively(make: Any, **how: Any) -> Any:
        for project in projects:
            key = sysv_ipc.ftok(str(key_file), project, silence_warning=True)
            try:
                thing = make(key, sysv_ipc.IPC_CREX, mode=_MODE, **how)
            except sysv_ipc.ExistentialError:
                continue  # the key is taken, by a stranger or a dead run
            made.append(thing)
            return thing
        raise IpcError(f"every IPC key of {key_file} is taken", "ipcs shows by whom; remove what is dead with ipcrm")

    memory = None
    try:
        memory = exclusively(sysv_ipc.SharedMemory, size=Board.size_bytes(header.slots), init_character=b"\0")
        memory.remove()
        made.remove(memory)
        tasks = exclusively(sysv_ipc.MessageQueue, max_message_size=MESSAGE_BYTES)
        acks = exclusively(sysv_ipc.MessageQueue, max_message_size=MESSAGE_BYTES)
        semaphore = exclusively(sysv_ipc.Semaphore, initial_value=1)
    except BaseException as error:
        for thing in made:
            thing.remove()
        if memory is not None:
            memory.detach()
        if isinstance(error, (sysv_ipc.Error, OSError, ValueError)):
            raise IpcError(
                f"cannot make SysV objects: {error}", "ipcs -l shows the limits, ipcs what is in use"
            ) from error
        raise
    board = Board(memory, semaphore)
    board.write_header(header)
    record = {
        "uid": os.geteuid(),
        "board": {"id": memory.id},
        "queues": [{"key": q.key, "id": q.id, "changed": q.last_change_time} for q in (tasks, acks)],
        "semaphore": {"key": semaphore.key, "id": semaphore.id},
    }
    return IpcSet(
        TaskQueue(tasks, header.run_id), AckQueue(acks, header.run_id), board, record, [tasks, acks, semaphore]
    )


def remove_recorded(record: dict[str, Any], key_file: Path) -> int:
    """Remove what a dead run left, if it is provably that run's. The result is the number of objects removed."""
    return sum(_removed(thing) for thing in _recorded(record, key_file))


def count_recorded(record: dict[str, Any], key_file: Path) -> int:
    """How many objects `remove_recorded` would remove."""
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
    """Every key that a run with this file can have had; none if there is no such file of this user's any more."""
    try:
        os.close(open_own(key_file, os.O_RDONLY))
        return [sysv_ipc.ftok(str(key_file), project, silence_warning=True) for project in _PROJECT_IDS]
    except (OSError, JobForeign):
        return []


def _announced(record: dict[str, Any], keys: list[int]) -> Iterator[Any]:
    """What the maker of an announcement made, and nobody has used."""
    pid, since = record["pid"], record["since"]
    for key in keys:
        memory = _at(sysv_ipc.SharedMemory, key)
        if memory is not None:
            memory.detach()
            if memory.creator_pid == pid:
                yield memory
        queue = _at(sysv_ipc.MessageQueue, key)  # the kernel does not note who made it
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
    """Which sysv_ipc this is, and whether its semaphores know time-outs (nothing here depends on them)."""
    timeouts = "with" if sysv_ipc.SEMAPHORE_TIMEOUT_SUPPORTED else "without"
    return f"sysv_ipc {sysv_ipc.__version__}, {timeouts} semaphore time-outs"
