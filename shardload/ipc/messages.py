"""The two queues and everything that travels in them, on one screen.

Messages are small fixed structs: a magic, the run's id, and numbers. Rows, keys and texts never enter a queue.
A task is addressed by its type, `slot + 1`. With as many tasks outstanding as `limits.py` grants, one STOP a slot, and
one ack for each task, neither queue can fill, so nobody ever blocks on a send.
"""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass

import sysv_ipc

from shardload.errors import IpcError
from shardload.model.counts import Counts
from shardload.model.keys import KeyRange
from shardload.model.limits import CREDITS, MOST_WORKERS
from shardload.model.tasks import Ack, Outcome, Task

MESSAGE_BYTES = 112  # both queues, both sides: a longer message would block the head of a queue for ever
_LONGEST_MESSAGE_BYTES = 1 << 20  # far above the kernel's usual msgmax of 8192
_MAGIC = b"SHLD"
_LOAD, _STOP = 1, 2

# magic, kind, run id, range id, attempt, estimated rows, low, high (128-bit signed, so that every 64-bit key fits, and
# 2**64)
_TASK = struct.Struct("<4sIQQII16s16s")
_MOST_ROWS = 2**32 - 1  # that an estimate can say here
# magic, slot, run id, range id, attempt, outcome, epoch of the target, six counts
_ACK = struct.Struct("<4sIQQIIQ6Q")
assert max(_TASK.size, _ACK.size) <= MESSAGE_BYTES
_MOST_TASKS = CREDITS * MOST_WORKERS
QUEUE_BYTES = max((_MOST_TASKS + MOST_WORKERS) * _TASK.size, _MOST_TASKS * _ACK.size)  # all credits together
assert QUEUE_BYTES <= 16 * 1024  # the usual msgmnb, which a queue cannot exceed


@dataclass(frozen=True)
class Stop:
    """Coordinator to worker: leave."""


class _Queue:
    def __init__(self, queue: sysv_ipc.MessageQueue, run_id: int) -> None:
        self._queue = queue
        self._run_id = run_id

    def _send(self, message: bytes, kind: int) -> None:
        try:
            self._queue.send(message, block=False, type=kind)
        except sysv_ipc.BusyError:
            raise IpcError("a queue is full, which its credits should make impossible") from None
        except (sysv_ipc.ExistentialError, OSError) as error:
            raise removed_from_outside("message queue") from error

    def _receive(self, kind: int, *, block: bool) -> bytes | None:
        """A message; None if there is none, or if a signal came first."""
        try:
            message, _ = self._queue.receive(block=block, type=kind)
        except sysv_ipc.BusyError:
            return None
        except (sysv_ipc.ExistentialError, OSError) as error:
            if isinstance(error, OSError) and error.errno == errno.E2BIG:
                return self._drop_too_long(kind)
            raise removed_from_outside("message queue") from error
        except sysv_ipc.Error:  # "Signaled while waiting": the base class itself
            return None
        return bytes(message)

    def _drop_too_long(self, kind: int) -> bytes:
        """Take a stranger's message that is longer than ours out of the way, with a handle that has room for it."""
        try:
            wide = sysv_ipc.MessageQueue(self._queue.key, max_message_size=_LONGEST_MESSAGE_BYTES)
            wide.receive(block=False, type=kind)
        except (sysv_ipc.Error, OSError):
            pass  # somebody else took it, or the queue is gone: the next receive will say so
        return b""


class TaskQueue(_Queue):
    """Coordinator to workers."""

    def send(self, slot: int, task: Task) -> None:
        """Give a worker a range. IpcError if the queue is gone."""
        low, high = (n.to_bytes(16, "little", signed=True) for n in (task.keys.low, task.keys.high))
        rows = min(task.estimated_rows, _MOST_ROWS)
        self._send(_TASK.pack(_MAGIC, _LOAD, self._run_id, task.range_id, task.attempt, rows, low, high), slot + 1)

    def send_stop(self, slot: int) -> None:
        """Tell a worker to leave when it has done what was sent before."""
        self._send(_TASK.pack(_MAGIC, _STOP, self._run_id, 0, 0, 0, b"", b""), slot + 1)

    def receive(self, slot: int, *, wait: bool = True) -> Task | Stop | None:
        """The slot's next message; None if there is none and `wait` is False, or if a signal came first.

        IpcError if the queue is gone.
        """
        return self._unpacked(self._receive(slot + 1, block=wait))

    def take_back(self, slot: int) -> list[Task]:
        """Everything that the slot has not received yet, removed from the queue."""
        taken = []
        while (message := self._receive(slot + 1, block=False)) is not None:
            task = self._unpacked(message)
            if isinstance(task, Task):
                taken.append(task)
        return taken

    def _unpacked(self, message: bytes | None) -> Task | Stop | None:
        if message is None:
            return None
        if len(message) != _TASK.size:
            return None
        magic, kind, run_id, range_id, attempt, rows, low, high = _TASK.unpack(message)
        if magic != _MAGIC or run_id != self._run_id:
            return None  # not ours: a stranger's message is dropped, never obeyed
        if kind == _STOP:
            return Stop()
        keys = KeyRange(*(int.from_bytes(n, "little", signed=True) for n in (low, high)))
        return Task(range_id, attempt, keys, rows)


class AckQueue(_Queue):
    """Workers to coordinator."""

    def send(self, ack: Ack) -> None:
        """Tell the coordinator how a range ended. IpcError if the queue is gone."""
        message = _ACK.pack(
            _MAGIC, ack.slot, self._run_id, ack.range_id, ack.attempt, ack.outcome, ack.epoch,
            *ack.counts.as_tuple(),
        )  # fmt: skip
        self._send(message, ack.slot + 1)

    def receive_all(self) -> list[Ack]:
        """Every ack that is there, without waiting."""
        acks = []
        while (message := self._receive(0, block=False)) is not None:
            if len(message) != _ACK.size:
                continue
            magic, slot, run_id, range_id, attempt, outcome, epoch, *counts = _ACK.unpack(message)
            if magic == _MAGIC and run_id == self._run_id:
                acks.append(Ack(slot, range_id, attempt, Outcome(outcome), Counts(*counts), epoch))
        return acks


def removed_from_outside(what: str) -> IpcError:
    """The error for an object that somebody else removed."""
    return IpcError(
        f"the job's SysV {what} was removed from outside",
        "by ipcrm, or by systemd-logind at a logout (RemoveIPC=yes): run under a service, or "
        "loginctl enable-linger; then resume the job",
    )
