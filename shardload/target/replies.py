"""Check the replies to written keys against the bytes that must come. Pure.

All possible replies to a key's commands are known, so nothing is parsed. If many keys have the same reply, all are
compared at once with its repeated bytes; else one regular expression matches them. After each batch comes a fence: the
answer to a PING with a unique text. If a reply is missing or there is one too many, the fence does not match, and the
batch does not count as confirmed.

A node of a cluster may refuse a key because another node has it, or because it cannot write it yet. With `follows` such
a key is noted in `refused`, and the replies to the others count.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass

from shardload.encoding import Form
from shardload.errors import TargetError, TargetLost
from shardload.target.refusals import FOLLOWED, error_from_reply, error_word, excerpt

WRITING = "writing to Redis"
_MOST_LINE_BYTES = 8 * 1024  # an error reply; all others are short
_HINT = "Redis, or a proxy before it, is broken; the same keys will be written again"


@dataclass(slots=True)
class _Batch:
    replies: int
    keys_left: int
    fence: bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """A key that a node did not write: the number of its batch (of all that were ever expected), its place there, and
    why."""

    batch: int
    key: int
    error: TargetError


class Replies:
    """The replies that are still to come on one connection. `batches_done` counts those that were answered.

    `outstanding` is their number of lines. It goes down by whole batches; after an error reply also by the lines of its
    batch that came before it, and by the error itself.
    """

    def __init__(self, form: Form, *, follows: bool = False) -> None:
        lines = _lines_of(form)
        self._refused_key = re.compile(_refused_key_of(form)) if follows else None
        self.refused: list[Refusal] = []
        self.batches_done = 0
        self._lines = [re.compile(line) for line in lines]
        self._key = re.compile(b"".join(lines))
        self._keys = re.compile(b"(?:%b)*" % b"".join(lines))
        self._least_bytes = _least_bytes_of(form, follows=follows)
        self._batches: deque[_Batch] = deque()
        self._rest = b""  # the first part of a key's replies, or of a fence
        self.outstanding = 0

    def expect(self, replies: int, fence: bytes) -> None:
        """Expect one more batch: `replies` lines for its keys, then the fence, which may be empty."""
        self._batches.append(_Batch(replies, replies // len(self._lines), fence))
        self.outstanding += replies

    def least_bytes(self, leave: int, most: int) -> int:
        """The least bytes that must come until `leave` lines are outstanding; at least 1, at most `most`."""
        least, left = -len(self._rest), self.outstanding
        for batch in self._batches:
            if left <= leave or least >= most:
                break
            least += batch.keys_left * self._least_bytes + len(batch.fence)
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
            if batch.keys_left:
                keys, at = self._match_keys(data, at, batch)
                if not keys:
                    keys, at = self._match_refused(data, at, batch)
                if not keys:
                    break
                batch.keys_left -= keys
            elif data.startswith(batch.fence, at):
                at += len(batch.fence)
                done += batch.replies
                self.batches_done += 1
                self._batches.popleft()
            else:
                break
        self._rest = data[at:]
        if self._rest and (error := self._first_error()):
            batch = self._batches[0]
            whole_keys = batch.replies // len(self._lines) - batch.keys_left
            self.outstanding -= done + min(whole_keys * len(self._lines) + 1, batch.replies)
            raise error_from_reply(WRITING, error[1:].decode("utf-8", "replace").rstrip("\r\n"))
        self.outstanding -= done

    def _match_keys(self, data: bytes, at: int, batch: _Batch) -> tuple[int, int]:
        """How many of the batch's keys are completely answered from `at` on, and where their replies end."""
        first = self._key.match(data, at)
        if first is None:
            return 0, at
        one = first.group()
        alike = min(batch.keys_left, (len(data) - at) // len(one))
        if data.startswith(one * alike, at):
            return alike, at + alike * len(one)
        match = self._keys.match(data, at)
        end = match.end() if match else at
        keys = data.count(b"\n", at, end) // len(self._lines)
        if keys > batch.keys_left:  # without a fence the match may go on into the next batch
            keys = batch.keys_left
            end = len(data) - len(data[at:].split(b"\n", keys * len(self._lines))[-1])
        return keys, end

    def _match_refused(self, data: bytes, at: int, batch: _Batch) -> tuple[int, int]:
        """1 and the end of its replies, if the key at `at` was refused for a reason that can be followed."""
        match = self._refused_key.match(data, at) if self._refused_key else None
        if match is None:
            return 0, at
        errors = [line.decode("utf-8", "replace") for line in match.group().split(b"\r\n") if line.startswith(b"-")]
        error = next((error for error in errors if error_word(error) != "-EXECABORT"), "")
        if error_word(error[1:]) not in FOLLOWED:
            return 0, at
        key = batch.replies // len(self._lines) - batch.keys_left
        self.refused.append(Refusal(self.batches_done, key, error_from_reply(WRITING, error[1:])))
        return 1, match.end()

    def _first_error(self) -> bytes | None:
        """The first error line in the unmatched rest; None if the rest is the beginning of expected replies.

        TargetLost if the rest is something else.
        """
        if not self._batches:
            raise TargetLost(f"Redis sent more replies than it got commands: '{excerpt(self._rest)}'", _HINT)
        *whole, last = self._rest.split(b"\n", len(self._lines))
        batch = self._batches[0]
        if batch.keys_left:
            matches = [expected.fullmatch(line + b"\n") for line, expected in zip(whole, self._lines, strict=False)]
            wrong = next((line for line, match in zip(whole, matches, strict=True) if not match), None)
        else:
            wrong = None if batch.fence.startswith(self._rest) or not whole else whole[0]
        if wrong is None and len(last) > _MOST_LINE_BYTES:
            raise TargetLost(f"Redis sent a line without an end: '{excerpt(last)}'", _HINT)
        if wrong is not None and self._refused_key and error_word(wrong[1:].decode("utf-8", "replace")) in FOLLOWED:
            return None  # the rest of this key's replies is still to come
        if wrong is not None and not wrong.startswith(b"-"):
            raise TargetLost(f"Redis answered a write with '{excerpt(wrong)}'", _HINT)
        return wrong


def _lines_of(form: Form) -> list[bytes]:
    """A regular expression for each reply line of one key.

    In a transaction the numbers are limited: DEL has just removed the key, so HSET answers with at least 1 new field,
    and PEXPIRE with 1.
    """
    if form.payload is not None:
        return [rb"\+OK\r\n"]
    number = rb":\d{1,5}\r\n"
    if not form.whole:
        return [number] * form.replies_per_key
    numbers = [rb":[01]\r\n", rb":[1-9]\d{0,4}\r\n", rb":1\r\n"][: 3 if form.ttl_ms else 2]
    return [rb"\+OK\r\n", *[rb"\+QUEUED\r\n"] * len(numbers), rb"\*%d\r\n" % len(numbers), *numbers]


def _refused_key_of(form: Form) -> bytes:
    """A regular expression for the replies to one key of which one or several are errors."""
    error = rb"-[^\r\n]*\r\n"
    if not form.whole or form.payload is not None:
        return b"".join(rb"(?:%b|%b)" % (line, error) for line in _lines_of(form))
    commands = form.commands_per_key - 2
    queued = rb"(?:\+OK\r\n|%b)(?:\+QUEUED\r\n|%b){%d}" % (error, error, commands)
    return queued + rb"(?:\*%d\r\n(?::\d{1,5}\r\n|%b){%d}|%b)" % (commands, error, commands, error)


def _least_bytes_of(form: Form, *, follows: bool) -> int:
    """The length of the shortest possible replies to one key."""
    if form.payload is not None:
        return len("+OK\r\n")
    commands = 3 if form.ttl_ms else 2
    numbers = commands * len(":0\r\n")
    if not form.whole:
        return numbers
    executed = len("*2\r\n") + numbers
    if follows:
        executed = min(executed, len("-ASK 0 :1\r\n"))
    return len("+OK\r\n") + commands * len("+QUEUED\r\n") + executed
