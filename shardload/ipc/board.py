"""The board: shared memory with one header and one record a slot, under one semaphore.

Who writes what: the coordinator the header, each loader the record of its own slot. The semaphore (SEM_UNDO: a killed
holder gives it back) makes a reading of all slots consistent; it is held for microseconds and never waited for without
a bound. A record also bears a sequence number, odd while it is written, so that a reader can do without the semaphore
when its holder is stopped, and never takes a half-written record for a whole one.

A slot keeps the counts of two ranges, in hand and before it: when a loader has acknowledged one range and begun the
next, the first one's counts stay visible until the coordinator has settled them (it sends no third range before).
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import sysv_ipc

from shardload.model import Counts

MAGIC = b"SHARDLD1"
_HEADER = struct.Struct("<8sIIQQQI4x")  # magic, slots, stopping, run id, coordinator's pid, its start, spare
_RECORD = struct.Struct("<QQQdQI4x6QQI4x6Q")  # sequence, pid, start, heartbeat, two cells of (range, attempt, counts)
_STOPPING_AT = 12
_LOCK_BOUND_S = 0.05
_PAUSES_S = (0.0, 0.0, 0.00005, 0.0001, 0.0005, 0.001, 0.005)

Cell = tuple[int, int, Counts]  # range id, attempt, counts; range id 0: never used


@dataclass(frozen=True)
class BoardHeader:
    """Whose board it is."""

    slots: int
    run_id: int
    coordinator_pid: int
    coordinator_start: int


@dataclass(frozen=True)
class LoaderView:
    """What one loader shows. `heartbeat_s` is a monotonic clock reading."""

    pid: int
    start: int
    heartbeat_s: float
    cells: tuple[Cell, Cell]


EMPTY_CELL: Cell = (0, 0, Counts())


class Board:
    """The shared memory and its semaphore. A loader uses `publish`, the coordinator everything else."""

    def __init__(self, memory: sysv_ipc.SharedMemory, semaphore: sysv_ipc.Semaphore | None) -> None:
        self._memory = memory
        self._semaphore = semaphore
        if semaphore is not None:
            semaphore.undo = True
            semaphore.block = False  # a wait with a time-out is not in every build of sysv_ipc

    @staticmethod
    def size_bytes(slots: int) -> int:
        """How much shared memory so many slots need."""
        return _HEADER.size + slots * _RECORD.size

    @classmethod
    def attach(cls, shared_memory_id: int) -> Board | None:
        """A board to look at, by id, for as long as anybody else holds it; None if it is gone or not one."""
        try:
            memory = sysv_ipc.attach(shared_memory_id)
        except (sysv_ipc.Error, OSError, ValueError):
            return None
        if memory.size < _HEADER.size or memory.read(len(MAGIC), 0) != MAGIC:
            memory.detach()
            return None
        return cls(memory, None)

    @property
    def shared_memory_id(self) -> int:
        """The kernel's id of the memory."""
        return int(self._memory.id)

    def detach(self) -> None:
        """Let go of the memory; the kernel frees it with the last process."""
        self._memory.detach()

    def write_header(self, header: BoardHeader) -> None:
        """The first thing that is written on a new board."""
        self._memory.write(
            _HEADER.pack(MAGIC, header.slots, 0, header.run_id, header.coordinator_pid, header.coordinator_start, 0)
        )

    def header(self) -> BoardHeader:
        """Whose board it is."""
        _, slots, _, run_id, pid, start, _ = _HEADER.unpack(self._memory.read(_HEADER.size, 0))
        return BoardHeader(slots, run_id, pid, start)

    def ask_to_stop(self) -> None:
        """From now on every loader leaves after the batch in hand."""
        self._memory.write(struct.pack("<I", 1), _STOPPING_AT)

    def stop_asked(self) -> bool:
        """True once `ask_to_stop` was called."""
        return bool(struct.unpack("<I", self._memory.read(4, _STOPPING_AT))[0])

    def publish(self, slot: int, sequence: int, view: LoaderView) -> bool:
        """Write a slot's record; `sequence` counts the slot's writings: 1, 2, 3 ...

        False, and nothing written, if the semaphore could not be had within its bound: the next batch shows the
        same counts and more.
        """
        at = _HEADER.size + slot * _RECORD.size
        (a, a_attempt, a_counts), (b, b_attempt, b_counts) = view.cells
        record = _RECORD.pack(
            2 * sequence, view.pid, view.start, view.heartbeat_s,
            a, a_attempt, *a_counts.as_tuple(), b, b_attempt, *b_counts.as_tuple(),
        )  # fmt: skip
        with self._held() as held:
            if held:
                self._memory.write(struct.pack("<Q", 2 * sequence - 1), at)
                self._memory.write(record[8:], at + 8)
                self._memory.write(record[:8], at)
        return held

    def clear(self, slot: int) -> None:
        """Wipe the record of a slot whose loader is gone."""
        with self._held():  # without the semaphore, too: nobody else writes here now
            self._memory.write(bytes(_RECORD.size), _HEADER.size + slot * _RECORD.size)

    def loaders(self) -> list[LoaderView]:
        """Every slot's record, all of one moment if the semaphore can be had."""
        with self._held():
            return [self._whole_record(slot) for slot in range(self.header().slots)]

    def _whole_record(self, slot: int) -> LoaderView:
        for pause_s in _PAUSES_S:
            raw = self._memory.read(_RECORD.size, _HEADER.size + slot * _RECORD.size)
            sequence, pid, start, heartbeat_s, a, a_attempt, *rest = _RECORD.unpack(raw)
            again = struct.unpack("<Q", self._memory.read(8, _HEADER.size + slot * _RECORD.size))[0]
            if sequence % 2 == 0 and sequence == again:
                b, b_attempt = rest[6], rest[7]
                cells = ((a, a_attempt, Counts(*rest[:6])), (b, b_attempt, Counts(*rest[8:])))
                return LoaderView(pid, start, heartbeat_s, cells)
            time.sleep(pause_s)
        return LoaderView(pid, start, heartbeat_s, (EMPTY_CELL, EMPTY_CELL))  # its writer is dead or stopped

    @contextmanager
    def _held(self) -> Iterator[bool]:
        """The semaphore, if it can be had within a bound."""
        held = self._semaphore is not None and _acquired(self._semaphore)
        try:
            yield held
        finally:
            if held:
                _release(self._semaphore)


def _acquired(semaphore: sysv_ipc.Semaphore) -> bool:
    give_up_s = time.monotonic() + _LOCK_BOUND_S
    for pause_s in (*_PAUSES_S, *[_PAUSES_S[-1]] * 100):
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


def _release(semaphore: sysv_ipc.Semaphore) -> None:
    try:
        semaphore.release()
    except sysv_ipc.Error:
        return  # removed while we held it
