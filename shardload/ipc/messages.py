"""The two queues, and the messages in them.

Messages are small structs of a fixed size: a magic, the run's id, and numbers. Rows, keys and texts never enter a
queue.
The type of a message, `slot + 1`, says which worker receives it.
Sending never blocks: a queue has room for all tasks that `limits.py` allows, a STOP for each slot, and an ack for each
task. Only where a machine's slot holds a block (`FLEET_CREDITS`) are there more tasks than acks fit in: then an ack
waits for room.
"""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass

import sysv_ipc

from shardload.errors import IpcError
from shardload.model.counts import COUNT_NAMES, Counts
from shardload.model.limits import CREDITS, FLEET_CREDITS, MOST_MACHINES, MOST_WORKERS
from shardload.model.tasks import Ack, Assignment, Outcome

MESSAGE_BYTES = 128  # the most that a receiver takes; a longer message would stay at the head of the queue
_LONGEST_MESSAGE_BYTES = 1 << 20  # far above the kernel's usual msgmax of 8192
_MAGIC = b"SHLD"
_LOAD, _STOP = 1, 2

_TASK = struct.Struct("<4sIQQII")  # magic, kind, run id, range id, attempt, parts
# magic, slot, run id, range id, attempt, outcome, epoch of the target, the counts
_ACK = struct.Struct(f"<4sIQQIIQ{len(COUNT_NAMES)}Q")
assert max(_TASK.size, _ACK.size) <= MESSAGE_BYTES
_MOST_TASKS = CREDITS * MOST_WORKERS
_MOST_FLEET_TASKS = FLEET_CREDITS * MOST_MACHINES
QUEUE_BYTES = max((_MOST_FLEET_TASKS + MOST_WORKERS) * _TASK.size, _MOST_TASKS * _ACK.size)  # if every credit is used
assert _MOST_FLEET_TASKS >= _MOST_TASKS
assert QUEUE_BYTES <= 16 * 1024  # the usual msgmnb, the kernel's limit for a queue


@dataclass(frozen=True)
class Stop:
    """Coordinator to worker: leave. The worker gets it after the tasks that were sent before."""


class _Queue:
    def __init__(self, queue: sysv_ipc.MessageQueue, run_id: int) -> None:
        self._queue = queue
        self._run_id = run_id

    def _send(self, message: bytes, kind: int, *, waits: bool = False) -> None:
        while True:
            try:
                self._queue.send(message, block=waits, type=kind)
                return
            except sysv_ipc.BusyError:
                raise IpcError("a message queue is full, although the credits of all slots fit into it") from None
            except (sysv_ipc.ExistentialError, OSError) as error:
                raise removed_by_others("message queue") from error
            except sysv_ipc.Error:  # "Signaled while waiting": the base class itself
                continue

    def _receive(self, kind: int, *, block: bool) -> bytes | None:
        """Receive a message of this type. None if there is none, or if a signal interrupted the wait."""
        try:
            message, _ = self._queue.receive(block=block, type=kind)
        except sysv_ipc.BusyError:
            return None
        except (sysv_ipc.ExistentialError, OSError) as error:
            if isinstance(error, OSError) and error.errno == errno.E2BIG:
                return self._drop_too_long(kind)
            raise removed_by_others("message queue") from error
        except sysv_ipc.Error:  # "Signaled while waiting": the base class itself
            return None
        return bytes(message)

    def _drop_too_long(self, kind: int) -> bytes:
        """Remove another program's message that is longer than ours. It needs a handle with a longer buffer."""
        try:
            wide = sysv_ipc.MessageQueue(self._queue.key, max_message_size=_LONGEST_MESSAGE_BYTES)
            wide.receive(block=False, type=kind)
        except (sysv_ipc.Error, OSError):
            pass  # somebody else received it, or the queue is gone: then the next receive raises the error
        return b""


class TaskQueue(_Queue):
    """Carries tasks from the coordinator to the workers."""

    def send(self, slot: int, task: Assignment) -> None:
        """Send a task to the worker of this slot. IpcError if the queue is gone."""
        self._send(_TASK.pack(_MAGIC, _LOAD, self._run_id, task.range_id, task.attempt, task.parts), slot + 1)

    def send_stop(self, slot: int) -> None:
        """Tell the slot's worker to leave after the tasks that were sent before. IpcError if the queue is gone."""
        self._send(_TASK.pack(_MAGIC, _STOP, self._run_id, 0, 0, 0), slot + 1)

    def receive(self, slot: int, *, wait: bool = True) -> Assignment | Stop | None:
        """Receive the slot's next message.

        None if a signal interrupted the wait, if there is no message and `wait` is False, or if the message was not
        from this run. IpcError if the queue is gone.
        """
        return self._unpacked(self._receive(slot + 1, block=wait))

    def take_back(self, slot: int) -> list[Assignment]:
        """Remove the slot's tasks that no worker has received yet, and return them. IpcError if the queue is gone."""
        taken = []
        while (message := self._receive(slot + 1, block=False)) is not None:
            task = self._unpacked(message)
            if isinstance(task, Assignment):
                taken.append(task)
        return taken

    def _unpacked(self, message: bytes | None) -> Assignment | Stop | None:
        if message is None:
            return None
        if len(message) != _TASK.size:
            return None
        magic, kind, run_id, range_id, attempt, parts = _TASK.unpack(message)
        if magic != _MAGIC or run_id != self._run_id:
            return None  # from another run or program: drop it
        if kind == _STOP:
            return Stop()
        return Assignment(range_id, attempt, parts)


class AckQueue(_Queue):
    """Carries acks from the workers to the coordinator."""

    def send(self, ack: Ack) -> None:
        """Tell the coordinator how a range ended; wait for room if the machines of a fleet have told much at once.
        IpcError if the queue is gone."""
        message = _ACK.pack(
            _MAGIC, ack.slot, self._run_id, ack.range_id, ack.attempt, ack.outcome, ack.epoch,
            *ack.counts.as_tuple(),
        )  # fmt: skip
        self._send(message, ack.slot + 1, waits=True)

    def receive_all(self) -> list[Ack]:
        """Receive every ack that is there, without waiting. IpcError if the queue is gone."""
        acks = []
        while (message := self._receive(0, block=False)) is not None:
            if len(message) != _ACK.size:
                continue
            magic, slot, run_id, range_id, attempt, outcome, epoch, *counts = _ACK.unpack(message)
            if magic == _MAGIC and run_id == self._run_id:
                acks.append(Ack(slot, range_id, attempt, Outcome(outcome), Counts(*counts), epoch))
        return acks


def removed_by_others(what: str) -> IpcError:
    """The error for a SysV object that another program or user removed."""
    return IpcError(
        f"another program removed the job's SysV {what}",
        "ipcrm may have done it, or systemd-logind at a logout (RemoveIPC=yes): against that, run it as a service or "
        "run: loginctl enable-linger; then run: shardload resume JOB",
    )
