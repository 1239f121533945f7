"""The coordinator's eye on its workers: is one up, is one hung? It looks at the board and at the process table.

A heartbeat that stands still is no proof: a wait for MySQL or Redis may be long, and ends by itself with an error. So a
silent worker is hung only if it was stopped by a signal, is busy with itself, or waits longer than any network
time-out allows.
"""

from __future__ import annotations

from shardload.coordinator.pool import Pool
from shardload.ipc import Board, Phase
from shardload.process import is_stopped
from shardload.ranges.dispatch import Dispatcher

LONGEST_NETWORK_WAIT_S = 130.0  # connecting, or reading and then writing, each with its time-out of at most 60 s
_UP = (Phase.READING, Phase.WRITING, Phase.HELD_BACK)


class Watchdog:
    """Looks at the workers whenever the coordinator is awake anyway, and at least every `every_s` while they work."""

    def __init__(self, pool: Pool, board: Board, dispatcher: Dispatcher, hung_after_s: float) -> None:
        self._pool = pool
        self._board = board
        self._dispatcher = dispatcher
        self._hung_after_s = hung_after_s
        self._next_look_s = 0.0
        self.every_s = hung_after_s / 4

    def due_s(self) -> float | None:
        """When it wants to look again; None while no range is out."""
        return self._next_look_s if self._dispatcher.ranges_out else None

    def note_up(self) -> None:
        """Note which workers have reached both servers by now."""
        for number, slot in enumerate(self._pool.slots):
            if slot.pid and not slot.is_up:
                view = self._board.worker(number)
                slot.is_up = view.phase in _UP or bool(view.cells)

    def is_up(self, wanted: int) -> bool:
        """True if there are as many workers as wanted, and each has reached both servers; at least one has, if another
        was refused: then the job runs, with fewer."""
        self.note_up()
        workers = [slot for slot in self._pool.slots if slot.pid]
        refused = [slot for slot in self._pool.slots if slot.is_refused]
        return (
            len(workers) + len(refused) >= wanted
            and any(slot.is_up for slot in workers)
            and all(slot.is_up or slot.losses for slot in workers)
        )

    def hung(self, now_s: float) -> list[tuple[int, str]]:
        """Slots whose worker holds a range and is hung, and what is known of each."""
        if now_s < self._next_look_s:
            return []
        was_away = now_s - self._next_look_s > self.every_s  # stopped with them, or with nothing to look at
        self._next_look_s = now_s + self.every_s
        found = []
        for number, slot in enumerate(self._pool.slots):
            if not slot.pid:
                continue
            view = self._board.worker(number)
            silent_s = slot.silent_s(view.heartbeat_s, now_s)
            if was_away or not self._dispatcher.held(number):
                slot.heartbeat = (view.heartbeat_s, now_s)  # nothing is asked of it, or nobody has looked
            elif silent_s >= self._hung_after_s and is_stopped(slot.pid):
                found.append((number, f"was stopped by a signal {silent_s:.0f} s ago"))
            elif silent_s >= max(self._hung_after_s, LONGEST_NETWORK_WAIT_S if view.phase.is_network else 0.0):
                found.append((number, f"has shown no life for {silent_s:.0f} s ({view.phase.name.lower()})"))
        return found
