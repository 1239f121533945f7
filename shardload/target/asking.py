"""Asks one node for keys, batch after batch, and finds those that answer otherwise than right ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

from shardload.encoding import Comparison, Part, find_ends, make_comparison
from shardload.encoding.form import COMMANDS_PER_QUESTION
from shardload.target.commands import words_of
from shardload.target.connection import TargetConnection

_LEAST_ANSWER_BYTES = 4  # of an integer, or an empty array
UNKNOWN_MS = 1 << 62  # longer than any TTL


@dataclass(frozen=True)
class Ages:
    """How long ago, in ms, keys were written at most: so much less may be left of their TTL. `native` says which
    comparison is used."""

    most_ms: int = UNKNOWN_MS
    native: bool = True

    @property
    def are_known(self) -> bool:
        """False if keys may be of any age."""
        return self.most_ms < UNKNOWN_MS


@dataclass(frozen=True)
class _Asked:
    """A batch whose answers are outstanding."""

    parts: list[Part]
    comparison: Comparison

    @property
    def answers_left(self) -> int:
        """How many are outstanding."""
        return sum(part.replies for part in self.parts) - self.comparison.answered

    def keys(self) -> list[bytes]:
        """The keys that differ."""
        if not (places := self.comparison.differing):
            return []
        questions: list[bytes] = []
        for part in self.parts:
            packed, ends = bytes(part.commands), find_ends(part.commands, COMMANDS_PER_QUESTION)
            questions += [packed[start:end] for start, end in pairwise([0, *ends])]
        return [words_of(questions[place])[1] for place in places]


class Asker:
    """What is asked over one connection. Nothing else may be in flight on it meanwhile."""

    def __init__(self, connection: TargetConnection) -> None:
        self._connection = connection
        self._asked: deque[_Asked] = deque()
        self._rest = bytearray()  # of an answer that is not whole

    def ask(self, parts: Iterable[Part], ages: Ages) -> None:
        """Send the questions of parts as one batch. TargetLost if the connection breaks."""
        several = list(parts)
        self._connection.post([part.commands for part in several])
        answers = [part.answers for part in several]
        comparison = make_comparison(answers, ages.most_ms, native=ages.native)
        self._asked.append(_Asked(several, comparison))

    def answers(self, leave: int, on_wait: Callable[[], None]) -> list[bytes]:
        """Read answers until at most `leave` batches are outstanding. The result: the keys of the others that answered
        otherwise. TargetLost if the connection breaks, or if what comes is no answer."""
        differing: list[bytes] = []
        while len(self._asked) > leave:
            asked = self._asked[0]
            taken = asked.comparison.take(self._rest)
            del self._rest[:taken]
            if asked.comparison.is_done:
                differing += asked.keys()
                self._asked.popleft()
                continue
            on_wait()
            least_bytes = asked.answers_left * _LEAST_ANSWER_BYTES - len(self._rest)
            self._rest += self._connection.receive(least_bytes)
        return differing
