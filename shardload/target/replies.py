"""Check the replies to written keys against the bytes that must come. Pure.

All possible replies to a key's commands are known, so nothing is parsed. If many keys have the same reply, all are
compared at once with its repeated bytes; else one regular expression matches them. After each batch comes a fence: the
answer to a PING with a unique text. If a reply is missing or there is one too many, the fence does not match, and the
batch does not count as confirmed.

A batch has rows' own keys first, then lookups. In a job that keeps keys, the replies also say which ones were kept.

A node of a cluster may refuse a key because another node has it, or because it cannot write it yet. With `follows` such
a key is noted in `refused`, and the replies to the others count.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from shardload.encoding import Form
from shardload.errors import TargetError, TargetLost
from shardload.target.patterns import KeyPattern, lookup_pattern, row_pattern
from shardload.target.refusals import FOLLOWED, error_from_reply, error_word, excerpt

WRITING = "writing to Redis"
_MOST_LINE_BYTES = 8 * 1024  # an error reply; all others are short
_HINT = "Redis, or a proxy before it, is broken; the same keys will be written again"


@dataclass(slots=True)
class _Section:
    """The keys of a batch that are answered alike: `first` is the place of the first one in the batch."""

    pattern: KeyPattern
    keys: int
    keys_left: int
    first: int
    kept: int = 0


@dataclass(slots=True)
class _Batch:
    replies: int
    sections: tuple[_Section, ...]
    fence: bytes

    def section(self) -> _Section | None:
        """The keys whose replies come next; None if all are answered."""
        return next((section for section in self.sections if section.keys_left), None)

    def lines_answered(self) -> int:
        """How many lines of whole keys have come."""
        return sum((one.keys - one.keys_left) * one.pattern.size for one in self.sections)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A key that a node did not write: the number of its batch (of all that were ever expected), its place there, and
    why."""

    batch: int
    key: int
    error: TargetError


Kept = tuple[int, int]
"""How many of the rows' own keys, and how many lookups, were there before and left alone."""


class Replies:
    """The replies that are still to come on one connection. `batches_done` counts those that were answered.

    `outstanding` is their number of lines. It goes down by whole batches; after an error reply also by the lines of its
    batch that came before it, and by the error itself. `kept` has an entry for each batch that was answered, the oldest
    first, if the job keeps keys; whoever takes one out removes it.
    """

    def __init__(self, form: Form, *, follows: bool = False) -> None:
        self._rows, self._lookups = row_pattern(form, follows=follows), lookup_pattern(form)
        self._follows = follows
        self._keeps = form.keeps
        self.refused: list[Refusal] = []
        self.kept: deque[Kept] = deque()
        self.batches_done = 0
        self._batches: deque[_Batch] = deque()
        self._rest = b""  # the first part of a key's replies, or of a fence
        self.outstanding = 0

    def expect(self, replies: int, fence: bytes, lookups: int = 0) -> None:
        """Expect one more batch: `replies` lines for its keys, then one for each of its `lookups`, then the fence,
        which may be empty."""
        keys = replies // self._rows.size
        sections = [_Section(self._rows, keys, keys, 0)]
        if lookups:
            sections.append(_Section(self._lookups, lookups, lookups, keys))
        self._batches.append(_Batch(replies + lookups, tuple(sections), fence))
        self.outstanding += replies + lookups

    def least_bytes(self, leave: int, most: int) -> int:
        """The least bytes that must come until `leave` lines are outstanding; at least 1, at most `most`."""
        least, left = -len(self._rest), self.outstanding
        for batch in self._batches:
            if left <= leave or least >= most:
                break
            least += sum([one.keys_left * one.pattern.least_bytes for one in batch.sections]) + len(batch.fence)
            left -= batch.replies
        return max(1, min(least, most))

    def take(self, data: bytes) -> None:
        """Check the next bytes from Redis, and count what they confirm.

        TargetError, TargetDenied or TargetBusy if a line is an error. TargetLost if a line is neither an error nor the
        expected reply; then none of these bytes count. After any of these errors the connection must be closed.
        """
        data = self._rest + data if self._rest else data
        at = done = 0
        while self._batches:
            batch = self._batches[0]
            section = batch.section()
            if section is not None:
                keys, at, kept = section.pattern.match_keys(data, at, section.keys_left)
                if not keys:
                    keys, at = self._match_refused(data, at, section)
                if not keys:
                    break
                section.keys_left -= keys
                section.kept += kept
            elif data.startswith(batch.fence, at):
                at += len(batch.fence)
                done += batch.replies
                self._end_batch()
            else:
                break
        self._rest = data[at:]
        if self._rest and (error := self._first_error()):
            batch = self._batches[0]
            self.outstanding -= done + min(batch.lines_answered() + 1, batch.replies)
            raise error_from_reply(WRITING, error[1:].decode("utf-8", "replace").rstrip("\r\n"))
        self.outstanding -= done

    def _end_batch(self) -> None:
        batch = self._batches.popleft()
        self.batches_done += 1
        if self._keeps:
            rows, *lookups = batch.sections
            self.kept.append((rows.kept, sum(one.kept for one in lookups)))

    def _match_refused(self, data: bytes, at: int, section: _Section) -> tuple[int, int]:
        """1 and the end of its replies, if the key at `at` was refused for a reason that can be followed."""
        error, end = section.pattern.match_refused(data, at) if self._follows else ("", at)
        if not error:
            return 0, at
        key = section.first + section.keys - section.keys_left
        self.refused.append(Refusal(self.batches_done, key, error_from_reply(WRITING, error)))
        return 1, end

    def _first_error(self) -> bytes | None:
        """The first error line in the unmatched rest; None if the rest is the beginning of expected replies.

        TargetLost if the rest is something else.
        """
        if not self._batches:
            raise TargetLost(f"Redis sent more replies than it got commands: '{excerpt(self._rest)}'", _HINT)
        batch = self._batches[0]
        section = batch.section()
        *whole, last = self._rest.split(b"\n", section.pattern.size if section else 1)
        if section is not None:
            lines = section.pattern.lines
            matches = [expected.fullmatch(line + b"\n") for line, expected in zip(whole, lines, strict=False)]
            wrong = next((line for line, match in zip(whole, matches, strict=True) if not match), None)
        else:
            wrong = None if batch.fence.startswith(self._rest) or not whole else whole[0]
        if wrong is None and len(last) > _MOST_LINE_BYTES:
            raise TargetLost(f"Redis sent a line without an end: '{excerpt(last)}'", _HINT)
        if wrong is not None and self._follows and error_word(wrong[1:].decode("utf-8", "replace")) in FOLLOWED:
            return None  # the rest of this key's replies is still to come
        if wrong is not None and not wrong.startswith(b"-"):
            raise TargetLost(f"Redis answered a write with '{excerpt(wrong)}'", _HINT)
        return wrong
