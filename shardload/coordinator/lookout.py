"""When the target is looked at, and what the tracker is told of it."""

from __future__ import annotations

from shardload.coordinator.targetwatch import TargetGuard
from shardload.errors import NoProcess, TargetBusy, TargetLost
from shardload.ranges.tracker import Tracker
from shardload.target import TargetFacts


class Lookout:
    """One run's lookout. The guard looks once a second if the target may be replaced by a replica, at once if a worker
    met other servers, and at the end, when every range is acknowledged (`at_end`)."""

    def __init__(self, guard: TargetGuard, tracker: Tracker) -> None:
        self._guard = guard
        self._tracker = tracker
        self._number = 0  # of the last look
        self._is_last = False  # it was begun at the end

    def due_s(self, *, at_end: bool) -> float | None:
        """The monotonic time at which `look` has something to do, at the latest; None: never."""
        wanted = at_end or self._tracker.wants_look or self._guard.is_asking or self._guard.is_watching
        return self._guard.due_s() if wanted else None

    def look(self, now_s: float, *, at_end: bool) -> TargetFacts | None:
        """Begin a look if it is time, and tell the tracker what the last one saw; ranges may be to do again then.

        The result is what a look saw that was begun at the end, if nothing is to do after it. At the end TargetLost if
        the target cannot be reached, NoProcess if the system refuses the child that looks: it is tried again after a
        pause. Before, the workers tell of the target.
        """
        at_once = at_end or self._tracker.wants_look
        try:
            if (at_once or self._guard.is_watching) and self._guard.ask(now_s, at_once=at_once):
                self._number = self._tracker.begin_look()
                self._is_last = at_end
            target = self._guard.answer(now_s)
            if target is None:
                return None
            self._note(target, now_s)
        except (TargetLost, NoProcess):
            if at_end:
                raise
            return None
        return target if self._is_last and not self._tracker.open_ranges else None

    def _note(self, target: TargetFacts, now_s: float) -> None:
        try:
            self._tracker.note_target(self._number, target.epoch, target.nodes)
        except TargetBusy:
            self._guard.hold_off(now_s)
            raise
        self._guard.note_success()
