"""The board: shared memory with a header, the state of the run, and a record for each slot.

Who writes what:
- The coordinator writes the header, its orders, the run's state, and which ranges a slot holds.
- A worker writes the rest of its own slot's record.
- All of them take tokens from the bucket of the rate limit.

A semaphore makes what is read of several slots consistent. Nobody holds it longer than microseconds, and nobody waits
for it without a time limit (see `lock.py`). A process that attached the board has no semaphore, and a holder of it may
be stopped. So the run's state and every record also have a sequence number, which is odd while they are written: a
reader that sees an odd number, or two different ones, reads again.

A slot has room for the counts of as many ranges as it may hold. After a worker has acknowledged a range and begun the
next, the first one's counts stay until the coordinator has settled them; it sends no other range before.

Access goes through one memoryview: the read and write methods of sysv_ipc ask the kernel for the memory's size at each
call, which costs ten times as much as copying these few bytes.
"""

from __future__ import annotations

import os
import struct
import time

import sysv_ipc

from shardload.ipc.lock import PAUSES_S, Lock
from shardload.ipc.records import (
    BoardHeader,
    HeldRange,
    Phase,
    RangeCounts,
    RunState,
    SlotView,
    Snapshot,
    WorkerView,
)
from shardload.model.counts import COUNT_NAMES, Counts
from shardload.model.limits import CREDITS, take_from_bucket

MAGIC = b"SHARDLD8"
_COUNTS = len(COUNT_NAMES)
_HEADER = struct.Struct("<8sII3Q")  # magic, slots, spare, run id, coordinator's pid, its start
_ORDERS = struct.Struct("<II3d")  # stopping, paused; the bucket: rows a second (0: any), tokens, filled when
_RUN_STATE = struct.Struct(f"<QII{_COUNTS + 6}Q4dQd")  # sequence, workers, slots in use, then the fields of RunState
_HELD_RANGES = struct.Struct(f"<{3 * CREDITS}Q")  # of each: range id, attempt, estimated rows
_RANGE_COUNTS_NUMBERS = 2 + _COUNTS  # range id, attempt, the counts
_RECORD = struct.Struct(
    f"<QQQdII{_RANGE_COUNTS_NUMBERS * CREDITS}Q"
)  # sequence, pid, start, heartbeat, phase, range in hand, counts
_BUCKET = struct.Struct("<3d")  # the bucket in the orders
_HEARTBEAT = struct.Struct("<dII")  # in a record: heartbeat, phase, range in hand
_SEQUENCE = struct.Struct("<Q")  # the first number of a record or of the run's state
_FLAG = struct.Struct("<I")
_RATE = struct.Struct("<d")
_ORDERS_AT = _HEADER.size
_RUN_STATE_AT = _ORDERS_AT + _ORDERS.size
_SLOTS_AT = _RUN_STATE_AT + _RUN_STATE.size
_SLOT_BYTES = _HELD_RANGES.size + _RECORD.size
_HEARTBEAT_AT = 24  # in a record
_RANGE_ID = 0xFFFF_FFFF  # the bits of a range's id that fit into a record
_PAUSED_AT = _ORDERS_AT + 4
_BUCKET_AT = _ORDERS_AT + 8
_PAUSES_FOR_ALL_S = (*PAUSES_S, *[PAUSES_S[-1]] * 20)  # long enough for a writer that lost the processor


class Board:
    """The shared memory and its semaphore. A process that attached it with `attach` has no semaphore."""

    def __init__(self, memory: sysv_ipc.SharedMemory, semaphore: sysv_ipc.Semaphore | None) -> None:
        self._memory = memory
        self._bytes = memoryview(memory)
        self._lock = Lock(semaphore)
        self._run_state_writes = 0

    @staticmethod
    def size_bytes(slots: int) -> int:
        """The size of a board with so many slots, in bytes."""
        return _SLOTS_AT + slots * _SLOT_BYTES

    @classmethod
    def attach(cls, shared_memory_id: int) -> Board | None:
        """Attach an existing board by the kernel's id, to read it.

        None if it is gone, is no board, or belongs to another user.
        """
        try:
            memory = sysv_ipc.attach(shared_memory_id)
        except (sysv_ipc.Error, OSError, ValueError):
            return None
        is_ours = {memory.uid, memory.cuid} == {os.geteuid()}  # another user could put anything on it
        if not is_ours or memory.size < _SLOTS_AT or memory.read(len(MAGIC), 0) != MAGIC:
            memory.detach()
            return None
        return cls(memory, None)

    @property
    def shared_memory_id(self) -> int:
        """The kernel's id of the memory."""
        return int(self._memory.id)

    def detach(self) -> None:
        """Detach the memory. The kernel frees it when the last process has done so."""
        self._bytes.release()  # using the view after the detach would be a segmentation fault
        self._memory.detach()

    def write_header(self, header: BoardHeader) -> None:
        """Write the header. Do this first on a new board: `attach` looks for its magic."""
        pid, start = header.coordinator_pid, header.coordinator_start
        self._write(0, _HEADER.pack(MAGIC, header.slots, 0, header.run_id, pid, start))

    def header(self) -> BoardHeader:
        """Read the header: the run and its coordinator."""
        _, slots, _, run_id, pid, start = _HEADER.unpack_from(self._bytes)
        return BoardHeader(slots, run_id, pid, start)

    # ---- the coordinator's orders

    def ask_to_stop(self) -> None:
        """Tell every worker to leave after its current batch."""
        self._write(_ORDERS_AT, _FLAG.pack(1))

    def is_stopping(self) -> bool:
        """True once `ask_to_stop` was called."""
        return bool(_FLAG.unpack_from(self._bytes, _ORDERS_AT)[0])

    def set_paused(self, paused: bool) -> None:
        """Pause or continue. While the job is paused, every worker hands its range back after its current batch."""
        self._write(_PAUSED_AT, _FLAG.pack(paused))

    def is_paused(self) -> bool:
        """True while the job is paused."""
        return bool(_FLAG.unpack_from(self._bytes, _PAUSED_AT)[0])

    def set_rate(self, rate_rows: float, now_s: float) -> None:
        """Set the rate limit in rows a second, for all workers together; 0: no limit. Empties the bucket."""
        with self._lock:  # if the lock is not free, write all the same: at worst one batch counts by the old rate
            self._write(_BUCKET_AT, _BUCKET.pack(rate_rows, 0.0, now_s))

    def rate(self) -> float:
        """The rate limit in rows a second, for all workers together; 0: no limit."""
        return float(_RATE.unpack_from(self._bytes, _BUCKET_AT)[0])

    def take_tokens(self, rows: int, now_s: float) -> float:
        """Take so many rows out of the bucket. Returns the seconds to wait before sending them; 0 without a limit."""
        if not self.rate():
            return 0.0
        with self._lock:
            rate_rows, tokens, filled_s = _BUCKET.unpack_from(self._bytes, _BUCKET_AT)
            if not rate_rows:
                return 0.0
            tokens, wait_s = take_from_bucket(rate_rows, tokens, now_s - filled_s, rows)
            self._write(_BUCKET_AT, _BUCKET.pack(rate_rows, tokens, now_s))
        return wait_s

    # ---- the state of the run, and which slot holds which ranges

    def write_run_state(self, run_state: RunState, held_ranges: list[list[HeldRange]]) -> None:
        """Write the run's state and the ranges of each slot. `held_ranges` has one entry for each slot in use."""
        self._run_state_writes += 1
        packed = _RUN_STATE.pack(
            2 * self._run_state_writes,
            run_state.workers,
            len(held_ranges),
            *run_state.counts.as_tuple(),
            *run_state[2:],
        )
        with self._lock:  # if the lock is not free, write all the same: nobody else writes here
            self._write(_RUN_STATE_AT, _SEQUENCE.pack(2 * self._run_state_writes - 1))
            for slot, ranges in enumerate(held_ranges):
                numbers = [number for held in ranges for number in held]
                self._write(_SLOTS_AT + slot * _SLOT_BYTES, _HELD_RANGES.pack(*_filled(numbers, 3 * CREDITS)))
            self._write(_RUN_STATE_AT + 8, packed[8:])
            self._write(_RUN_STATE_AT, packed[:8])

    def snapshot(self) -> Snapshot | None:
        """Read the run's state and every slot in use, all at the same moment.

        None if the coordinator died, or was stopped, while it was writing.
        """
        for pause_s in _PAUSES_FOR_ALL_S:
            before = bytes(self._bytes[_RUN_STATE_AT:_SLOTS_AT])
            sequence, workers, used, *numbers = _RUN_STATE.unpack(before)
            run_state = RunState(workers, Counts(*numbers[:_COUNTS]), *numbers[_COUNTS:])
            slots = [SlotView(self._held_ranges(slot), self._whole_record(slot)) for slot in range(used)]
            if sequence % 2 == 0 and self._bytes[_RUN_STATE_AT:_SLOTS_AT] == before:
                return Snapshot(run_state, self.rate(), self.is_paused(), self.is_stopping(), slots)
            time.sleep(pause_s)
        return None

    def _held_ranges(self, slot: int) -> tuple[HeldRange, ...]:
        numbers = _HELD_RANGES.unpack_from(self._bytes, _SLOTS_AT + slot * _SLOT_BYTES)
        return tuple(HeldRange(*numbers[at : at + 3]) for at in range(0, len(numbers), 3) if numbers[at])

    # ---- the workers' records

    def publish(self, slot: int, sequence: int, view: WorkerView) -> bool:
        """Write a slot's record. `sequence` numbers the writes to this slot: 1, 2, 3 ...

        Writes nothing and returns False if the lock is not free in time. The worker's next call makes up for it: counts
        only grow.
        """
        at = self._record_at(slot)
        numbers: list[int] = []
        for range_id, attempt, counts in view.range_counts:
            numbers += (range_id, attempt, *counts.as_tuple())
        record = _RECORD.pack(
            2 * sequence, view.pid, view.start, view.heartbeat_s, view.phase, view.range_id & _RANGE_ID,
            *_filled(numbers, _RANGE_COUNTS_NUMBERS * CREDITS),
        )  # fmt: skip
        with self._lock as held:
            if held:
                self._write(at, _SEQUENCE.pack(2 * sequence - 1))
                self._write(at + 8, record[8:])
                self._write(at, record[:8])
        return held

    def write_heartbeat(self, slot: int, now_s: float, phase: Phase, range_id: int = 0) -> None:
        """Record that the worker is alive, and what it does next with which range. Sixteen bytes, without the lock."""
        self._write(self._record_at(slot) + _HEARTBEAT_AT, _HEARTBEAT.pack(now_s, phase, range_id & _RANGE_ID))

    def clear(self, slot: int) -> None:
        """Erase the record of a slot whose worker is gone."""
        with self._lock:  # if the lock is not free, write all the same: nobody else writes here now
            self._write(self._record_at(slot), bytes(_RECORD.size))

    def worker(self, slot: int) -> WorkerView:
        """Read one slot's record. It has no counts if its worker died or was stopped while writing it."""
        return self._whole_record(slot)

    def workers(self) -> list[WorkerView]:
        """Read every slot's record, all at the same moment if the lock is free."""
        with self._lock:
            return [self._whole_record(slot) for slot in range(self.header().slots)]

    def _write(self, at: int, packed: bytes) -> None:
        """Copy the bytes in one go. `struct.pack_into` would write zeros first, which another process might read."""
        self._bytes[at : at + len(packed)] = packed

    def _record_at(self, slot: int) -> int:
        return _SLOTS_AT + slot * _SLOT_BYTES + _HELD_RANGES.size

    def _whole_record(self, slot: int) -> WorkerView:
        for pause_s in PAUSES_S:
            at = self._record_at(slot)
            sequence, pid, start, heartbeat_s, phase, range_id, *rest = _RECORD.unpack_from(self._bytes, at)
            again = _SEQUENCE.unpack_from(self._bytes, at)[0]
            if sequence % 2 == 0 and sequence == again:
                range_counts: tuple[RangeCounts, ...] = tuple(
                    (rest[at], rest[at + 1], Counts(*rest[at + 2 : at + _RANGE_COUNTS_NUMBERS]))
                    for at in range(0, len(rest), _RANGE_COUNTS_NUMBERS)
                    if rest[at]
                )
                return WorkerView(pid, start, heartbeat_s, range_counts, Phase(phase), range_id)
            time.sleep(pause_s)
        return WorkerView(pid, start, heartbeat_s, ())  # the worker died, or was stopped, while writing


def _filled(numbers: list[int], length: int) -> list[int]:
    return numbers + [0] * (length - len(numbers))
