"""Finds workers that hang. It looks at the board and at the process table.

A heartbeat that stands still proves nothing: a wait for MySQL or Redis may be long, and it ends by itself with an
error. So a silent worker hangs only if it was stopped by a signal, if it does not wait for a server, or if it waits
longer than any network time-out allows.
"""

from __future__ import annotations

from shardload import source, target
from shardload.coordinator.pool import Pool
from shardload.ipc import Board, Phase
from shardload.process import is_stopped
from shardload.ranges.tracker import Tracker

# Between two heartbeats a worker connects, or reads MySQL and then writes Redis; each wait has its own time-out.
LONGEST_NETWORK_WAIT_S = max(source.CONNECT_TIMEOUT_S, target.CONNECT_TIMEOUT_S) + (
    source.IO_TIMEOUT_S + target.IO_TIMEOUT_S
)
_UP = (Phase.READING, Phase.WRITING, Phase.HELD_BACK)


class Watchdog:
    """Looks at the workers whenever the coordinator is awake, and at least every `every_s` seconds while they work."""

    def __init__(self, pool: Pool, board: Board, tracker: Tracker, hung_after_s: float) -> None:
        self._pool = pool
        self._board = board
        self._tracker = tracker
        self._hung_after_s = hung_after_s
        self._next_look_s = 0.0
        self.every_s = hung_after_s / 4

    def due_s(self) -> float | None:
        """The monotonic time of the next look; None while no range is out."""
        return self._next_look_s if self._tracker.ranges_out else None

    def note_up(self) -> None:
        """Note which workers have reached both servers by now."""
        for number, slot in enumerate(self._pool.slots):
            if slot.pid and not slot.is_up:
                view = self._board.worker(number)
                if view.phase in _UP or view.range_counts:
                    slot.note_up()

    def is_up(self, wanted: int) -> bool:
        """True if there are as many workers as wanted, and each has reached both servers or lost one again. If the
        system refuses some of them, one that is up is enough."""
        self.note_up()
        workers = [slot for slot in self._pool.slots if slot.pid]
        refused = [slot for slot in self._pool.slots if slot.is_refused]
        return (
            len(workers) + len(refused) >= wanted
            and any(slot.is_up for slot in workers)
            and all(slot.is_up or slot.losses for slot in workers)
        )

    def hung(self, now_s: float) -> list[tuple[int, str]]:
        """Slots whose worker holds a range and hangs, and what is known of each, in words."""
        if now_s < self._next_look_s:
            return []
        was_away = now_s - self._next_look_s > self.every_s  # this process was stopped, or there was nothing to see
        self._next_look_s = now_s + self.every_s
        found = []
        for number, slot in enumerate(self._pool.slots):
            if not slot.pid:
                continue
            view = self._board.worker(number)
            silent_s = slot.silent_s(view.heartbeat_s, now_s)
            if was_away or not self._tracker.held(number):
                slot.note_heartbeat(view.heartbeat_s, now_s)  # it was not watched, or it has nothing to do
            elif silent_s >= self._hung_after_s and is_stopped(slot.pid):
                found.append((number, f"was stopped by a signal {silent_s:.0f} s ago"))
            elif silent_s >= max(self._hung_after_s, LONGEST_NETWORK_WAIT_S if view.phase.is_network else 0.0):
                found.append((number, f"has shown no sign of life for {silent_s:.0f} s ({view.phase.name.lower()})"))
        return found
