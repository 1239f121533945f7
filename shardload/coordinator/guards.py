"""The last question of a run: is the target still the one that confirmed every range, and has it all those keys?"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from shardload.errors import TargetLost
from shardload.model import backoff
from shardload.target import TargetFacts


class Confirmation:
    """Asked for when every range is acknowledged; again, with growing pauses, while nobody answers.

    `before` is what the target was when the run began. `keys_stay` says that each row has a key of its own, for good:
    then there cannot be fewer keys than were written. `not_before_s` is a monotonic clock reading.
    """

    def __init__(self, ask: Callable[[], TargetFacts], before: TargetFacts, *, keys_stay: bool) -> None:
        self.not_before_s = 0.0
        self._ask = ask
        self._evicted_before = before.evicted_keys
        self._keys_stay = keys_stay
        self._losses = 0

    def ask(self, clock: Callable[[], float]) -> TargetFacts:
        """What the target is now. TargetLost if it cannot be reached: to be asked again at `not_before_s`, by the clock
        that is read afterwards, for asking takes its time."""
        try:
            found = self._ask()
        except TargetLost:
            self._losses += 1
            self.not_before_s = clock() + backoff.delay_s(self._losses, random.random())
            raise
        self._losses = 0
        return found

    def doubts(self, found: TargetFacts, keys_written: int) -> Iterator[str]:
        """What a person should know, although every key was confirmed."""
        evicted = found.evicted_keys - self._evicted_before
        if evicted > 0:
            yield f"Redis evicted {evicted:,} keys meanwhile, perhaps of these; raise its maxmemory"
        if self._keys_stay and found.keys is not None and found.keys < keys_written:
            yield (
                f"Redis has {found.keys:,} keys, and {keys_written:,} were confirmed: others were removed meanwhile "
                "(FLUSHALL, DEL, eviction); shardload verify names them"
            )
