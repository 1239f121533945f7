"""SysV message queues, semaphore and shared memory. Only this folder imports sysv_ipc.

- `objects` makes the objects of a run, and removes them.
- `messages` sends and receives tasks and acks through the queues.
- `board` reads and writes the shared memory; `records` has the types that it returns; `lock` is its semaphore.
- `kernel` compares the kernel's limits with what a run needs.
"""

from shardload.ipc.board import Board
from shardload.ipc.kernel import shortages, usage
from shardload.ipc.messages import AckQueue, Stop, TaskQueue
from shardload.ipc.objects import IpcSet, announce, count_recorded, create, describe_build, remove_recorded
from shardload.ipc.records import (
    BoardHeader,
    HeldRange,
    Phase,
    RangeCounts,
    RunState,
    Snapshot,
    WorkerView,
)

__all__ = [
    "AckQueue",
    "Board",
    "BoardHeader",
    "HeldRange",
    "IpcSet",
    "Phase",
    "RangeCounts",
    "RunState",
    "Snapshot",
    "Stop",
    "TaskQueue",
    "WorkerView",
    "announce",
    "count_recorded",
    "create",
    "describe_build",
    "remove_recorded",
    "shortages",
    "usage",
]
