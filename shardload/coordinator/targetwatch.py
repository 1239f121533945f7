"""Looks at the target: is it still the one that confirmed the ranges, and has it all their keys?

The last look is made when every range is acknowledged. A target with replicas is looked at once a second before, to
know what a failover loses. A child of the coordinator asks, for the coordinator's loop waits for no server; the answer
comes through a pipe.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict

from shardload import errors
from shardload.errors import NoProcess, ShardloadError, TargetDenied, TargetLost, TargetMoved
from shardload.model import backoff
from shardload.model.nodes import NodeFacts
from shardload.target import TargetFacts

LOOK_EVERY_S = 1.0
ANSWER_WITHIN_S = 45.0  # the child's own time-outs end sooner; a child that was stopped or killed says nothing


class TargetGuard:
    """Asks the target, one question after another; after one that was not answered, again after a pause.

    `ask` runs in a child that `fork` makes, with the one descriptor that it keeps, and `end` ends. It is told the nodes
    that the target had before. `before` is what the target was when the run began. `keys_stay` says that each row has a
    key of its own, for good: then there cannot be fewer keys than were written.
    """

    def __init__(
        self,
        ask: Callable[[Sequence[NodeFacts]], TargetFacts],
        before: TargetFacts,
        *,
        keys_stay: bool,
        fork: Callable[[Callable[[], int], int], int],
        end: Callable[[int], None],
    ) -> None:
        self._ask = ask
        self._last = before
        self._evicted_before = before.evicted_keys
        self._keys_stay = keys_stay
        self._fork = fork
        self._end = end
        self._losses = 0
        self._not_before_s = 0.0
        self._pid = 0  # of the child that asks; 0: nobody asks
        self._number = 0  # of its question
        self._give_up_s = 0.0
        self._next_look_s = 0.0
        self._heard = b""
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)

    @property
    def is_asking(self) -> bool:
        """True while an answer is outstanding."""
        return self._pid != 0

    @property
    def is_watching(self) -> bool:
        """True if the target may be replaced by a replica, so that it is looked at while ranges are loaded."""
        return self._last.kind != "standalone" or self._last.replicas > 0

    def fileno(self) -> int:
        """Readable when there is an answer."""
        return self._reading

    def descriptors(self) -> tuple[int, ...]:
        """What workers have to close."""
        return self._reading, self._writing

    def due_s(self) -> float:
        """The monotonic time of the next look, or at which the answer to a question is not waited for any more."""
        return self._give_up_s if self._pid else max(self._not_before_s, self._next_look_s)

    def ask(self, now_s: float, *, at_once: bool) -> bool:
        """Begin a question, unless one is outstanding, or it is too early: `at_once` leaves out the pause between two
        looks, but not the one after a question without an answer. True if a question was begun. NoProcess if the system
        refuses a child."""
        if self._pid or now_s < self._not_before_s or (now_s < self._next_look_s and not at_once):
            return False
        self._begin(now_s)
        return True

    def answer(self, now_s: float) -> TargetFacts | None:
        """What the target is now, when the answer is there; None if it is outstanding, or nobody asked.

        TargetLost if the target cannot be reached. Another TargetError if the target refuses.
        """
        if not self._pid:
            return None
        found = self._received()
        if found is None and now_s < self._give_up_s:
            return None
        self._end_child()
        try:
            if found is None:
                raise TargetLost(f"Redis did not answer within {ANSWER_WITHIN_S:g} s", "see that it runs")
            if isinstance(found, ShardloadError):
                raise found
        except TargetLost:
            self.hold_off(now_s)
            raise
        self._last = found
        return found

    def note_success(self) -> None:
        """The last answer was of use: the next question without one is the first again."""
        self._losses = 0

    def hold_off(self, now_s: float) -> None:
        """Wait before the next question, longer each time: there was no answer, or one of no use."""
        self._losses += 1
        self._not_before_s = now_s + backoff.delay_s(self._losses, random.random())

    def close(self) -> None:
        """Kill the child that asks, if there is one, and close the pipe."""
        self._end_child()
        os.close(self._reading)
        os.close(self._writing)

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

    def _begin(self, now_s: float) -> None:
        self._number += 1
        self._received()  # what a child left that was killed while it wrote is no part of the next answer
        self._heard = b""
        self._give_up_s = now_s + ANSWER_WITHIN_S
        self._next_look_s = now_s + LOOK_EVERY_S
        try:
            self._pid = self._fork(self._ask_and_tell, self._writing)
        except NoProcess:
            self.hold_off(now_s)
            raise

    def _ask_and_tell(self) -> int:
        """The child: ask, and write the answer, or why there is none, into the pipe."""
        told: dict[str, object] = {"number": self._number}
        try:
            told["facts"] = asdict(self._ask(self._last.nodes))
        except ShardloadError as error:
            kind = TargetDenied if isinstance(error, TargetMoved) else type(error)
            told |= {"error": kind.__name__, "message": error.message, "hint": error.hint}
        os.write(self._writing, json.dumps(told).encode() + b"\n")
        return 0

    def _received(self) -> TargetFacts | ShardloadError | None:
        """The answer to the present question, if it is there. Answers to earlier ones are dropped."""
        with suppress(BlockingIOError):
            while True:
                self._heard += os.read(self._reading, 65536)
        *lines, self._heard = self._heard.split(b"\n")
        for told in map(json.loads, lines):
            if told["number"] == self._number:
                if "facts" in told:
                    return TargetFacts.from_json(told["facts"])
                kind: type[ShardloadError] = getattr(errors, told["error"])
                return kind(told["message"], told["hint"])
        return None

    def _end_child(self) -> None:
        if self._pid:
            self._end(self._pid)
            self._pid = 0
