"""What dead workers held: it is given back at once, or, where a worker worked for another machine, when that machine
cannot write any more."""

from __future__ import annotations

from shardload.coordinator.pool import Death, Pool
from shardload.ranges.tracker import Tracker


class Returns:
    """Those of one run. A slot whose worker died gets neither a worker nor work for `fence_s`."""

    def __init__(self, tracker: Tracker, pool: Pool, fence_s: float) -> None:
        self._tracker = tracker
        self._pool = pool
        self._fence_s = fence_s
        self._open: list[tuple[float, Death]] = []

    def due_s(self) -> list[float]:
        """When something is to be given back, by the monotonic clock."""
        return [due_s for due_s, _ in self._open]

    def note(self, death: Death, now_s: float, *, is_fenced: bool) -> None:
        """A worker died. With `is_fenced` what it had sent elsewhere may still go on there."""
        until_s = now_s + (self._fence_s if is_fenced else 0.0)
        if until_s > now_s:
            self._pool.slots[death.slot].note_fenced(until_s)
        self._open.append((until_s, death))

    def settle(self, now_s: float) -> None:
        """Give back what is due."""
        due = [death for until_s, death in self._open if until_s <= now_s]
        self._open = [(until_s, death) for until_s, death in self._open if until_s > now_s]
        for death in due:
            self._tracker.return_from_dead_worker(death.slot, death.range_id, death.words)
