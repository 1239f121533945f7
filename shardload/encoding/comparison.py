"""Compares what Redis answers about keys with what it answers if they are right. Pure.

This module defines the comparison; `native/_comparison.pxi` does the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from shardload.encoding.form import COMMANDS_PER_QUESTION
from shardload.errors import MalformedAnswer

LEFT_OF = b"~"
"""Stands before a TTL, in the place of what is left of it."""
_MOST_LINE_BYTES = 64 * 1024  # of a reply's first line, an error's for example
_MOST_DIGITS = 19


class Comparison(Protocol):
    """The answers about one batch's keys, as they arrive. `differing` has the places, in the order of the questions, of
    the keys whose answers are others than expected."""

    differing: list[int]
    answered: int
    """How many answers are dealt with."""

    def take(self, data: bytes | bytearray | memoryview, /) -> int:
        """Compare the next bytes of the answers. The result: how many are dealt with; pass the rest again, with what
        follows it. MalformedAnswer if the bytes are no answers."""
        ...

    @property
    def is_done(self) -> bool:
        """True if every question is answered."""
        ...


class ReferenceComparison:
    """See `Comparison`. `answers` are those of the batch's parts (`Part.answers`), in the order in which they were
    sent. What is left of a TTL may be less than it by up to `most_age_ms`."""

    def __init__(self, answers: Sequence[bytes | memoryview], most_age_ms: int) -> None:
        self.differing: list[int] = []
        self._expected = b"".join(bytes(one) for one in answers)
        self._most_age_ms = most_age_ms
        self._at = 0
        self.answered = 0

    @property
    def is_done(self) -> bool:
        """See `Comparison`."""
        return self._at == len(self._expected)

    def take(self, data: bytes | bytearray | memoryview) -> int:
        """See `Comparison`."""
        found = bytes(data)
        at = 0
        while not self.is_done:
            end = end_of(found, at)
            if end is None:
                break
            expected_end = end_of(self._expected, self._at)
            assert expected_end is not None
            if not self._is_right(found[at:end], self._expected[self._at : expected_end]):
                self._note()
            at, self._at = end, expected_end
            self.answered += 1
        return at

    def _is_right(self, answer: bytes, expected: bytes) -> bool:
        if not expected.startswith(LEFT_OF):
            return answer == expected
        left, ttl_ms = _number(answer), int(expected[1:-2])
        return left is not None and ttl_ms - self._most_age_ms <= left <= ttl_ms

    def _note(self) -> None:
        place = self.answered // COMMANDS_PER_QUESTION
        if self.differing[-1:] != [place]:
            self.differing.append(place)


def ends_of(data: bytes | memoryview, count: int) -> list[int]:
    """Where each group of `count` answers (or commands) ends. MalformedAnswer if the data are none."""
    found, ends, at, left = bytes(data), [], 0, count
    while at < len(found) and (end := end_of(found, at)) is not None:
        at, left = end, left - 1
        if not left:
            left = count
            ends.append(at)
    return ends


def end_of(data: bytes, at: int) -> int | None:
    """Where the answer that begins at `at` ends; None if it is not whole. MalformedAnswer if it is no answer."""
    left = 1
    while left:
        end = data.find(b"\r\n", at, at + _MOST_LINE_BYTES)
        if end < 0:
            if len(data) - at >= _MOST_LINE_BYTES:
                raise MalformedAnswer("an answer of Redis whose line has no end")
            return None
        kind, text = data[at : at + 1], data[at + 1 : end]
        at, left = end + 2, left - 1
        if kind in (b"$", b"*"):
            size = _size(text)
            if kind == b"*":
                left += max(0, size)
            elif size >= 0:
                at += size + 2
                if at > len(data):
                    return None
        elif kind not in (b":", b"+", b"-", LEFT_OF):
            raise MalformedAnswer(f"an answer of Redis that begins with {kind!r}")
    return at


def _size(text: bytes) -> int:
    """The size of a text or an array; -1 if there is none."""
    if text == b"-1":
        return -1
    if not text.isdigit() or len(text) > _MOST_DIGITS - 9:
        raise MalformedAnswer(f"an answer of Redis of the size {text[:40]!r}")
    return int(text)


def _number(answer: bytes) -> int | None:
    """The number in an integer's answer that is not negative; None for another answer."""
    text = answer[1:-2]
    return int(text) if answer.startswith(b":") and text.isdigit() and len(text) <= _MOST_DIGITS else None
