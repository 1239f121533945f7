"""SysV message queues, semaphore and shared memory: the only room that imports sysv_ipc.

`objects` makes and removes them, `messages` is what travels in the queues, `board` is the shared memory.
"""

from shardload.ipc.board import Board
from shardload.ipc.kernel import shortages, usage
from shardload.ipc.messages import AckQueue, Stop, TaskQueue
from shardload.ipc.objects import IpcSet, announce, count_recorded, create, describe_build, remove_recorded
from shardload.ipc.records import (
    BoardHeader,
    Cell,
    Holding,
    Phase,
    Snapshot,
    Standing,
    WorkerView,
)

__all__ = [
    "AckQueue",
    "Board",
    "BoardHeader",
    "Cell",
    "Holding",
    "IpcSet",
    "Phase",
    "Snapshot",
    "Standing",
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
