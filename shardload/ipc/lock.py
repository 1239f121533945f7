"""The board's semaphore as a lock whose holder may be killed, and which nobody waits for without a bound.

SEM_UNDO gives back what a killed holder had. A wait with a time-out is not in every build of sysv_ipc: so no wait
blocks, and whoever finds the lock taken looks again, ever less often.
"""

from __future__ import annotations

import time

import sysv_ipc

PAUSES_S = (0.0, 0.0, 0.00005, 0.0001, 0.0005, 0.001, 0.005)  # between two looks; then the last again and again
_BOUND_S = 0.05


class Lock:
    """A context manager: `with lock as held`. `held` is False if it could not be had within the bound, or if there is
    no semaphore (any more): what is done then is up to the caller."""

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
                return  # removed while we held it


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
            return False  # removed: the queues say so too, and there it is an error
        except sysv_ipc.Error:
            continue  # a signal came first
        else:
            return True
    return False
