"""The janitor: a tiny process that removes the queues and the semaphore if the coordinator dies.

It reads from a pipe whose writing end only the coordinator has. If the pipe ends without a byte, the coordinator died,
and the janitor cleans up; a byte means that everything is removed already. The janitor has a session of its own, so
that a signal to the coordinator's process group does not reach it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable

from shardload.ipc import IpcSet, WorkerView
from shardload.process import fork_child, is_our_process, set_title

GRACE_S = 1.0  # workers have this long to see that the queue is gone; then they are killed
_LOOK_AGAIN_S = 0.01


class Janitor:
    """The coordinator's end of the pipe. Create it when the objects exist, dismiss it when they are removed.

    NoProcess if the janitor cannot be forked.
    """

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
        """The descriptors that workers have to close, so that the pipe ends when the coordinator dies."""
        return () if self.is_gone else (self._writing,)

    def dismiss(self) -> None:
        """Let the janitor go: everything is removed."""
        try:
            os.write(self._writing, b".")
        except BrokenPipeError:
            return  # it has ended already
        finally:
            os.close(self._writing)

    @property
    def is_gone(self) -> bool:
        """True after `forget`: a new janitor is needed."""
        return self._writing < 0

    def forget(self) -> None:
        """The janitor was killed: close this end of the pipe."""
        os.close(self._writing)
        self._writing = -1


def _wait_and_clean(job: str, reading: int, ipc: IpcSet) -> int:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    set_title(f"shardload: janitor {job}")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)  # whoever reads the streams must not have to wait for the janitor
    os.close(nowhere)
    if os.read(reading, 1):
        return 0
    ipc.remove()
    end_workers(job, ipc.board.workers())
    return 0


def end_workers(job: str, workers: Iterable[WorkerView]) -> None:
    """Wait a moment for orphaned workers to leave by themselves, then kill the others.

    A process that is not a worker of this job, or is another user's, is left alone, even if the board names it.
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
