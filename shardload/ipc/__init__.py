"""SysV message queues, semaphore and shared memory: the only room that imports sysv_ipc.

`objects` makes and removes them, `messages` is what travels in the queues, `board` is the shared memory.
"""

from shardload.ipc.board import Board, BoardHeader, LoaderView
from shardload.ipc.messages import AckQueue, Stop, TaskQueue
from shardload.ipc.objects import IpcSet, create, remove_recorded

__all__ = [
    "AckQueue",
    "Board",
    "BoardHeader",
    "IpcSet",
    "LoaderView",
    "Stop",
    "TaskQueue",
    "create",
    "remove_recorded",
]
