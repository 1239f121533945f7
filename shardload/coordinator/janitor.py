"""The janitor: a tiny process that removes the queues and the semaphore if the coordinator dies.

It waits for the end of a pipe whose other end only the coordinator holds. A byte before the end means "all is in
order, touch nothing". It leads a session of its own, so that whatever kills a process group does not take it along.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable

from shardload.ipc import IpcSet, WorkerView
from shardload.process import fork_child, is_our_process, set_title

GRACE_S = 1.0  # for workers to see that the queue is gone, before they are killed
_LOOK_AGAIN_S = 0.01


class Janitor:
    """The coordinator's end: start it after the objects exist, dismiss it after they are removed. NoProcess if it
    cannot be forked."""

    def __init__(self, job: str, ipc: IpcSet, close: Iterable[int]) -> None:
        reading, self._writing = os.pipe()
        try:
            self.pid = fork_child(lambda: _wait_and_clean(job, reading, ipc), [*close, self._writing])
        except BaseException:
            os.close(self._writing)
            raise
        finally:
            os.close(reading)

    def descriptors(self) -> tuple[int, ...]:
        """What workers have to close: else the pipe would not end with the coordinator."""
        return () if self.is_gone else (self._writing,)

    def dismiss(self) -> None:
        """Everything is removed in order: let it go."""
        try:
            os.write(self._writing, b".")
        except BrokenPipeError:
            return  # it is gone already
        finally:
            os.close(self._writing)

    @property
    def is_gone(self) -> bool:
        """True once it was forgotten: another is wanted."""
        return self._writing < 0

    def forget(self) -> None:
        """It was killed: only our end of the pipe is left to close."""
        os.close(self._writing)
        self._writing = -1


def _wait_and_clean(job: str, reading: int, ipc: IpcSet) -> int:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    set_title(f"shardload: janitor {job}")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)  # a pipe or a terminal must not wait for the janitor's end
    os.close(nowhere)
    if os.read(reading, 1):
        return 0
    ipc.remove()
    end_workers(job, ipc.board.workers())
    return 0


def end_workers(job: str, workers: Iterable[WorkerView]) -> None:
    """Wait a moment for orphaned workers to leave by themselves, then kill those that did not.

    What is no worker of this job, or another user's, is left alone, whatever the board says.
    """
    title = f"shardload: worker {job} #"
    give_up_s = time.monotonic() + GRACE_S
    left = list(workers)
    while left := [worker for worker in left if is_our_process(worker.pid, worker.start, title)]:
        if time.monotonic() >= give_up_s:
            for worker in left:
                try:
                    os.kill(worker.pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            return
        time.sleep(_LOOK_AGAIN_S)
