"""The board: shared memory with a header and one record a slot, under one semaphore.

Who writes what: the coordinator the header (whose board it is, its orders, what is settled) and which ranges a slot
holds; each worker the rest of its own slot's record. The bucket of the rate limit is everybody's. The semaphore
(SEM_UNDO: a killed holder gives it back) makes a reading of all slots consistent; it is held for microseconds and never
waited for without a bound. Header and records also bear a sequence number, odd while they are written, so that a
reader can do without the semaphore (another process that only looks has none, and its holder may be stopped) and
never takes a half-written record for a whole one.

The memory is used through one view of it: sysv_ipc's own read and write ask the kernel for its size each time, which
costs ten times as much as the few bytes themselves.

A slot keeps the counts of as many ranges as it may hold: when a worker has acknowledged one and begun the next, the
first one's counts stay visible until the coordinator has settled them (it sends no more ranges before).
"""

from __future__ import annotations

import os
import struct
import time

import sysv_ipc

from shardload.ipc.lock import PAUSES_S, Lock
from shardload.ipc.records import (
    BoardHeader,
    Cell,
    Holding,
    Phase,
    SlotView,
    Snapshot,
    Standing,
    WorkerView,
)
from shardload.model.counts import Counts
from shardload.model.limits import CREDITS, after_taking

MAGIC = b"SHARDLD6"
_HEADER = struct.Struct("<8sII3Q")  # magic, slots, spare, run id, coordinator's pid, its start
_ORDERS = struct.Struct("<II3d")  # stopping, paused; the bucket: rows a second (0: any), tokens, filled when
_STANDING = struct.Struct("<QII12Q4dQd")  # sequence, workers, slots in use, counts and the rest as in Standing
_HOLDINGS = struct.Struct(f"<{3 * CREDITS}Q")  # of each: range id, attempt, estimated rows
_CELL_NUMBERS = 8  # range id, attempt, six counts
_RECORD = struct.Struct(
    f"<QQQdII{_CELL_NUMBERS * CREDITS}Q"
)  # sequence, pid, start, heartbeat, phase, range in hand, cells
_BUCKET = struct.Struct("<3d")  # of the orders
_BEAT = struct.Struct("<dII")  # of a record: heartbeat, phase, range in hand
_SEQUENCE = struct.Struct("<Q")  # of a record or the standing
_FLAG = struct.Struct("<I")
_RATE = struct.Struct("<d")
_ORDERS_AT = _HEADER.size
_STANDING_AT = _ORDERS_AT + _ORDERS.size
_SLOTS_AT = _STANDING_AT + _STANDING.size
_SLOT_BYTES = _HOLDINGS.size + _RECORD.size
_HEARTBEAT_AT = 24  # in a record
_RANGE_ID = 0xFFFF_FFFF  # as much of it as a record has room for
_PAUSED_AT = _ORDERS_AT + 4
_BUCKET_AT = _ORDERS_AT + 8
_PAUSES_FOR_ALL_S = (*PAUSES_S, *[PAUSES_S[-1]] * 20)  # most writers who only lost the processor are back before


class Board:
    """The shared memory and its semaphore; a looker-on from outside has none."""

    def __init__(self, memory: sysv_ipc.SharedMemory, semaphore: sysv_ipc.Semaphore | None) -> None:
        self._memory = memory
        self._bytes = memoryview(memory)
        self._lock = Lock(semaphore)
        self._standings = 0

    @staticmethod
    def size_bytes(slots: int) -> int:
        """How much shared memory so many slots need."""
        return _SLOTS_AT + slots * _SLOT_BYTES

    @classmethod
    def attach(cls, shared_memory_id: int) -> Board | None:
        """A board to look at, by id, for as long as anybody else holds it; None if it is gone, not one, or not this
        user's."""
        try:
            memory = sysv_ipc.attach(shared_memory_id)
        except (sysv_ipc.Error, OSError, ValueError):
            return None
        is_ours = {memory.uid, memory.cuid} == {os.geteuid()}  # else whoever made it also says what is on it
        if not is_ours or memory.size < _SLOTS_AT or memory.read(len(MAGIC), 0) != MAGIC:
            memory.detach()
            return None
        return cls(memory, None)

    @property
    def shared_memory_id(self) -> int:
        """The kernel's id of the memory."""
        return int(self._memory.id)

    def detach(self) -> None:
        """Let go of the memory; the kernel frees it with the last process."""
        self._bytes.release()  # a view of what is no longer there is a fault of the process
        self._memory.detach()

    def write_header(self, header: BoardHeader) -> None:
        """The first thing that is written on a new board."""
        pid, start = header.coordinator_pid, header.coordinator_start
        self._write(0, _HEADER.pack(MAGIC, header.slots, 0, header.run_id, pid, start))

    def header(self) -> BoardHeader:
        """Whose board it is."""
        _, slots, _, run_id, pid, start = _HEADER.unpack_from(self._bytes)
        return BoardHeader(slots, run_id, pid, start)

    # ---- the coordinator's orders

    def ask_to_stop(self) -> None:
        """From now on every worker leaves after the batch in hand."""
        self._write(_ORDERS_AT, _FLAG.pack(1))

    def stop_asked(self) -> bool:
        """True once `ask_to_stop` was called."""
        return bool(_FLAG.unpack_from(self._bytes, _ORDERS_AT)[0])

    def set_paused(self, paused: bool) -> None:
        """While it is paused, every worker hands back the range in hand after its batch."""
        self._write(_PAUSED_AT, _FLAG.pack(paused))

    def is_paused(self) -> bool:
        """What `set_paused` said last."""
        return bool(_FLAG.unpack_from(self._bytes, _PAUSED_AT)[0])

    def set_rate(self, rate_rows: float, now_s: float) -> None:
        """So many rows a second from now on, all workers together; 0: as many as can be."""
        with self._lock:  # without the semaphore, too: at worst one batch is counted by the old rate
            self._write(_BUCKET_AT, _BUCKET.pack(rate_rows, 0.0, now_s))

    def rate(self) -> float:
        """Rows a second, all workers together; 0: no limit."""
        return float(_RATE.unpack_from(self._bytes, _BUCKET_AT)[0])

    def take_tokens(self, rows: int, now_s: float) -> float:
        """Take so many rows out of the bucket. The result is how many seconds to wait before they may be sent."""
        if not self.rate():
            return 0.0
        with self._lock:
            rate_rows, tokens, filled_s = _BUCKET.unpack_from(self._bytes, _BUCKET_AT)
            if not rate_rows:
                return 0.0
            tokens, wait_s = after_taking(rate_rows, tokens, now_s - filled_s, rows)
            self._write(_BUCKET_AT, _BUCKET.pack(rate_rows, tokens, now_s))
        return wait_s

    # ---- what is settled, and who holds what

    def write_standing(self, standing: Standing, holdings: list[list[Holding]]) -> None:
        """The coordinator's part of the board, as one: `holdings` has an entry for each slot in use."""
        self._standings += 1
        packed = _STANDING.pack(
            2 * self._standings, standing.workers, len(holdings), *standing.counts.as_tuple(), *standing[2:]
        )
        with self._lock:  # without the semaphore, too: nobody else writes here
            self._write(_STANDING_AT, _SEQUENCE.pack(2 * self._standings - 1))
            for slot, held in enumerate(holdings):
                numbers = [number for holding in held for number in holding]
                self._write(_SLOTS_AT + slot * _SLOT_BYTES, _HOLDINGS.pack(*_filled(numbers, 3 * CREDITS)))
            self._write(_STANDING_AT + 8, packed[8:])
            self._write(_STANDING_AT, packed[:8])

    def snapshot(self) -> Snapshot | None:
        """Everything, of one moment: what is settled, and every slot in use. None if its writer died or was stopped in
        the middle."""
        for pause_s in _PAUSES_FOR_ALL_S:
            before = bytes(self._bytes[_STANDING_AT:_SLOTS_AT])
            sequence, workers, used, *numbers = _STANDING.unpack(before)
            standing = Standing(workers, Counts(*numbers[:6]), *numbers[6:])
            slots = [SlotView(self._holdings(slot), self._whole_record(slot)) for slot in range(used)]
            if sequence % 2 == 0 and self._bytes[_STANDING_AT:_SLOTS_AT] == before:
                return Snapshot(standing, self.rate(), self.is_paused(), self.stop_asked(), slots)
            time.sleep(pause_s)
        return None

    def _holdings(self, slot: int) -> tuple[Holding, ...]:
        numbers = _HOLDINGS.unpack_from(self._bytes, _SLOTS_AT + slot * _SLOT_BYTES)
        return tuple(Holding(*numbers[at : at + 3]) for at in range(0, len(numbers), 3) if numbers[at])

    # ---- the workers' records

    def publish(self, slot: int, sequence: int, view: WorkerView) -> bool:
        """Write a slot's record; `sequence` counts the slot's writings: 1, 2, 3 ...

        False, and nothing written, if the semaphore could not be had within its bound: the next batch shows the
        same counts and more.
        """
        at = self._record_at(slot)
        numbers: list[int] = []
        for range_id, attempt, counts in view.cells:
            numbers += (range_id, attempt, *counts.as_tuple())
        record = _RECORD.pack(
            2 * sequence, view.pid, view.start, view.heartbeat_s, view.phase, view.range_id & _RANGE_ID,
            *_filled(numbers, _CELL_NUMBERS * CREDITS),
        )  # fmt: skip
        with self._lock as held:
            if held:
                self._write(at, _SEQUENCE.pack(2 * sequence - 1))
                self._write(at + 8, record[8:])
                self._write(at, record[:8])
        return held

    def beat(self, slot: int, now_s: float, phase: Phase, range_id: int = 0) -> None:
        """A sign of life, what the worker is about to do, and with which range. Sixteen bytes, no semaphore."""
        self._write(self._record_at(slot) + _HEARTBEAT_AT, _BEAT.pack(now_s, phase, range_id & _RANGE_ID))

    def clear(self, slot: int) -> None:
        """Wipe the record of a slot whose worker is gone."""
        with self._lock:  # without the semaphore, too: nobody else writes here now
            self._write(self._record_at(slot), bytes(_RECORD.size))

    def worker(self, slot: int) -> WorkerView:
        """One slot's record."""
        return self._whole_record(slot)

    def workers(self) -> list[WorkerView]:
        """Every slot's record, all of one moment if the semaphore can be had."""
        with self._lock:
            return [self._whole_record(slot) for slot in range(self.header().slots)]

    def _write(self, at: int, packed: bytes) -> None:
        """As one copy: `struct.pack_into` would zero the place first, and a looker-on may see that."""
        self._bytes[at : at + len(packed)] = packed

    def _record_at(self, slot: int) -> int:
        return _SLOTS_AT + slot * _SLOT_BYTES + _HOLDINGS.size

    def _whole_record(self, slot: int) -> WorkerView:
        for pause_s in PAUSES_S:
            at = self._record_at(slot)
            sequence, pid, start, heartbeat_s, phase, range_id, *rest = _RECORD.unpack_from(self._bytes, at)
            again = _SEQUENCE.unpack_from(self._bytes, at)[0]
            if sequence % 2 == 0 and sequence == again:
                cells: tuple[Cell, ...] = tuple(
                    (rest[at], rest[at + 1], Counts(*rest[at + 2 : at + _CELL_NUMBERS]))
                    for at in range(0, len(rest), _CELL_NUMBERS)
                    if rest[at]
                )
                return WorkerView(pid, start, heartbeat_s, cells, Phase(phase), range_id)
            time.sleep(pause_s)
        return WorkerView(pid, start, heartbeat_s, ())  # its writer is dead or stopped


def _filled(numbers: list[int], length: int) -> list[int]:
    return numbers + [0] * (length - len(numbers))
