"""The board's semaphore as a lock.

The kernel releases the lock if its holder is killed (SEM_UNDO). Nobody waits for it longer than 0.05 s. Some builds of
sysv_ipc cannot wait with a time-out, so this module tries without blocking, and pauses longer after each try.
"""

from __future__ import annotations

import time

import sysv_ipc

PAUSES_S = (0.0, 0.0, 0.00005, 0.0001, 0.0005, 0.001, 0.005)  # between tries; the last one repeats
_BOUND_S = 0.05


class Lock:
    """A context manager: `with lock as held`.

    `held` is False if the lock was not free in time, or if there is no semaphore, or it was removed. The body runs
    all the same: the caller decides what to do without the lock.
    """

    def __init__(self, semaphore: sysv_ipc.Semaphore | None) -> None:
        self._semaphore = semaphore
        self._is_held = False
        if semaphore is not None:
            semaphore.undo = True
            semaphore.block = False

    def __enter__(self) -> bool:
        if self._semaphore is not None:
            self._is_held = _acquired(self._semaphore)
        return self._is_held

    def __exit__(self, *_: object) -> None:
        if self._semaphore is not None and self._is_held:
            self._is_held = False
            try:
                self._semaphore.release()
            except sysv_ipc.Error:
                return  # somebody removed it meanwhile


def _acquired(semaphore: sysv_ipc.Semaphore) -> bool:
    give_up_s = time.monotonic() + _BOUND_S
    for pause_s in (*PAUSES_S, *[PAUSES_S[-1]] * 100):
        try:
            semaphore.acquire()
        except sysv_ipc.BusyError:
            if time.monotonic() >= give_up_s:
                return False
            time.sleep(pause_s)
        except (sysv_ipc.ExistentialError, OSError):
            return False  # somebody removed it; the queues are gone too then, and using them raises IpcError
        except sysv_ipc.Error:
            continue  # a signal interrupted the call
        else:
            return True
    return False
