"""The board: shared memory with a header and one record a slot, under one semaphore.

Who writes what: the coordinator the header (whose board it is, its orders, what is settled) and which ranges a slot
holds; each loader the rest of its own slot's record. The bucket of the rate limit is everybody's. The semaphore
(SEM_UNDO: a killed holder gives it back) makes a reading of all slots consistent; it is held for microseconds and never
waited for without a bound. Header and records also bear a sequence number, odd while they are written, so that a
reader can do without the semaphore (another process that only looks has none, and its holder may be stopped) and
never takes a half-written record for a whole one.

A slot keeps the counts of two ranges, in hand and before it: when a loader has acknowledged one range and begun the
next, the first one's counts stay visible until the coordinator has settled them (it sends no third range before).
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager

import sysv_ipc

from shardload.ipc.records import (
    EMPTY_CELL,
    BoardHeader,
    Cell,
    Holding,
    LoaderView,
    Phase,
    SlotView,
    Snapshot,
    Standing,
)
from shardload.limits import after_taking
from shardload.model import Counts

MAGIC = b"SHARDLD3"
_HEADER = struct.Struct("<8sII3Q")  # magic, slots, spare, run id, coordinator's pid, its start
_ORDERS = struct.Struct("<II3d")  # stopping, paused; the bucket: rows a second (0: any), tokens, filled when
_STANDING = struct.Struct("<QII12Q4dQd")  # sequence, workers, slots in use, counts and the rest as in Standing
_HOLDING = struct.Struct("<QQQQQQ")  # two of: range id, attempt, estimated rows
_RECORD = struct.Struct("<QQQdII2Q6Q2Q6Q")  # sequence, pid, start, heartbeat, phase, spare, two cells
_ORDERS_AT = _HEADER.size
_STANDING_AT = _ORDERS_AT + _ORDERS.size
_SLOTS_AT = _STANDING_AT + _STANDING.size
_SLOT_BYTES = _HOLDING.size + _RECORD.size
_HEARTBEAT_AT = 24  # in a record
_PAUSED_AT = _ORDERS_AT + 4
_BUCKET_AT = _ORDERS_AT + 8
_LOCK_BOUND_S = 0.05
_PAUSES_S = (0.0, 0.0, 0.00005, 0.0001, 0.0005, 0.001, 0.005)
_PAUSES_FOR_ALL_S = (*_PAUSES_S, *[_PAUSES_S[-1]] * 20)  # most writers who only lost the processor are back before


class Board:
    """The shared memory and its semaphore; a looker-on from outside has none."""

    def __init__(self, memory: sysv_ipc.SharedMemory, semaphore: sysv_ipc.Semaphore | None) -> None:
        self._memory = memory
        self._semaphore = semaphore
        self._standings = 0
        if semaphore is not None:
            semaphore.undo = True
            semaphore.block = False  # a wait with a time-out is not in every build of sysv_ipc

    @staticmethod
    def size_bytes(slots: int) -> int:
        """How much shared memory so many slots need."""
        return _SLOTS_AT + slots * _SLOT_BYTES

    @classmethod
    def attach(cls, shared_memory_id: int) -> Board | None:
        """A board to look at, by id, for as long as anybody else holds it; None if it is gone or not one."""
        try:
            memory = sysv_ipc.attach(shared_memory_id)
        except (sysv_ipc.Error, OSError, ValueError):
            return None
        if memory.size < _SLOTS_AT or memory.read(len(MAGIC), 0) != MAGIC:
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
            _HEADER.pack(MAGIC, header.slots, 0, header.run_id, header.coordinator_pid, header.coordinator_start)
        )

    def header(self) -> BoardHeader:
        """Whose board it is."""
        _, slots, _, run_id, pid, start = _HEADER.unpack(self._memory.read(_HEADER.size, 0))
        return BoardHeader(slots, run_id, pid, start)

    # ---- the coordinator's orders

    def ask_to_stop(self) -> None:
        """From now on every loader leaves after the batch in hand."""
        self._memory.write(struct.pack("<I", 1), _ORDERS_AT)

    def stop_asked(self) -> bool:
        """True once `ask_to_stop` was called."""
        return bool(struct.unpack("<I", self._memory.read(4, _ORDERS_AT))[0])

    def set_paused(self, paused: bool) -> None:
        """While it is paused, every loader hands back the range in hand after its batch."""
        self._memory.write(struct.pack("<I", paused), _PAUSED_AT)

    def is_paused(self) -> bool:
        """What `set_paused` said last."""
        return bool(struct.unpack("<I", self._memory.read(4, _PAUSED_AT))[0])

    def set_rate(self, rate_rows: float, now_s: float) -> None:
        """So many rows a second from now on, all loaders together; 0: as many as can be."""
        with self._held():  # without the semaphore, too: at worst one batch is counted by the old rate
            self._memory.write(struct.pack("<3d", rate_rows, 0.0, now_s), _BUCKET_AT)

    def rate(self) -> float:
        """Rows a second, all loaders together; 0: no limit."""
        return float(struct.unpack("<d", self._memory.read(8, _BUCKET_AT))[0])

    def take_tokens(self, rows: int, now_s: float) -> float:
        """Take so many rows out of the bucket. The result is how many seconds to wait before they may be sent."""
        if not self.rate():
            return 0.0
        with self._held():
            rate_rows, tokens, filled_s = struct.unpack("<3d", self._memory.read(24, _BUCKET_AT))
            if not rate_rows:
                return 0.0
            tokens, wait_s = after_taking(rate_rows, tokens, now_s - filled_s, rows)
            self._memory.write(struct.pack("<3d", rate_rows, tokens, now_s), _BUCKET_AT)
        return wait_s

    # ---- what is settled, and who holds what

    def write_standing(self, standing: Standing, holdings: list[tuple[Holding, Holding]]) -> None:
        """The coordinator's part of the board, as one: `holdings` has an entry for each slot in use."""
        self._standings += 1
        packed = _STANDING.pack(
            2 * self._standings, standing.workers, len(holdings), *standing.counts.as_tuple(), standing.ranges,
            standing.ranges_done, standing.ranges_set_aside, standing.retries, standing.estimated_rows,
            standing.estimated_rows_done, standing.seconds_before, standing.started_s, standing.paused_s,
            standing.paused_since_s, standing.rows_before, standing.share_before,
        )  # fmt: skip
        with self._held():  # without the semaphore, too: nobody else writes here
            self._memory.write(struct.pack("<Q", 2 * self._standings - 1), _STANDING_AT)
            for slot, (first, second) in enumerate(holdings):
                self._memory.write(_HOLDING.pack(*first, *second), _SLOTS_AT + slot * _SLOT_BYTES)
            self._memory.write(packed[8:], _STANDING_AT + 8)
            self._memory.write(packed[:8], _STANDING_AT)

    def snapshot(self) -> Snapshot | None:
        """Everything, of one moment: what is settled, and every slot in use. None if its writer died or was stopped in
        the middle."""
        for pause_s in _PAUSES_FOR_ALL_S:
            before = self._memory.read(_STANDING.size, _STANDING_AT)
            sequence, workers, used, *numbers = _STANDING.unpack(before)
            standing = Standing(workers, Counts(*numbers[:6]), *numbers[6:])
            slots = [SlotView(self._holding(slot), self._whole_record(slot)) for slot in range(used)]
            if sequence % 2 == 0 and self._memory.read(_STANDING.size, _STANDING_AT) == before:
                return Snapshot(standing, self.rate(), self.is_paused(), self.stop_asked(), slots)
            time.sleep(pause_s)
        return None

    def _holding(self, slot: int) -> tuple[Holding, Holding]:
        numbers = _HOLDING.unpack(self._memory.read(_HOLDING.size, _SLOTS_AT + slot * _SLOT_BYTES))
        return Holding(*numbers[:3]), Holding(*numbers[3:])

    # ---- the loaders' records

    def publish(self, slot: int, sequence: int, view: LoaderView) -> bool:
        """Write a slot's record; `sequence` counts the slot's writings: 1, 2, 3 ...

        False, and nothing written, if the semaphore could not be had within its bound: the next batch shows the
        same counts and more.
        """
        at = self._record_at(slot)
        (a, a_attempt, a_counts), (b, b_attempt, b_counts) = view.cells
        record = _RECORD.pack(
            2 * sequence, view.pid, view.start, view.heartbeat_s, view.phase, 0,
            a, a_attempt, *a_counts.as_tuple(), b, b_attempt, *b_counts.as_tuple(),
        )  # fmt: skip
        with self._held() as held:
            if held:
                self._memory.write(struct.pack("<Q", 2 * sequence - 1), at)
                self._memory.write(record[8:], at + 8)
                self._memory.write(record[:8], at)
        return held

    def beat(self, slot: int, now_s: float, phase: Phase) -> None:
        """A sign of life, and what the loader is about to do. Without the semaphore: twelve bytes, for eyes only."""
        self._memory.write(struct.pack("<dI", now_s, phase), self._record_at(slot) + _HEARTBEAT_AT)

    def clear(self, slot: int) -> None:
        """Wipe the record of a slot whose loader is gone."""
        with self._held():  # without the semaphore, too: nobody else writes here now
            self._memory.write(bytes(_RECORD.size), self._record_at(slot))

    def loader(self, slot: int) -> LoaderView:
        """One slot's record."""
        return self._whole_record(slot)

    def loaders(self) -> list[LoaderView]:
        """Every slot's record, all of one moment if the semaphore can be had."""
        with self._held():
            return [self._whole_record(slot) for slot in range(self.header().slots)]

    def _record_at(self, slot: int) -> int:
        return _SLOTS_AT + slot * _SLOT_BYTES + _HOLDING.size

    def _whole_record(self, slot: int) -> LoaderView:
        for pause_s in _PAUSES_S:
            raw = self._memory.read(_RECORD.size, self._record_at(slot))
            sequence, pid, start, heartbeat_s, phase, _, *rest = _RECORD.unpack(raw)
            again = struct.unpack("<Q", self._memory.read(8, self._record_at(slot)))[0]
            if sequence % 2 == 0 and sequence == again:
                cells: tuple[Cell, Cell] = (
                    (rest[0], rest[1], Counts(*rest[2:8])), (rest[8], rest[9], Counts(*rest[10:])),
                )  # fmt: skip
                return LoaderView(pid, start, heartbeat_s, cells, Phase(phase))
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
