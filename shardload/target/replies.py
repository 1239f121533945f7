"""The replies to written keys: which bytes must come, and whether they came. Pure.

All that a key's commands may be answered with is known, so nothing is parsed: keys that are answered alike are compared
with one another's bytes at once, others by one regular expression. Behind each batch stands a fence: the answer to a
PING with a text that nobody else knows. So a reply too many or too few is noticed before its batch counts as confirmed.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass

from shardload.encoding import Form
from shardload.errors import TargetLost
from shardload.target.refusals import refusal, shown

WRITING = "writing to Redis"
_MOST_LINE_BYTES = 8 * 1024  # an error's; all others are short
_ODD_HINT = "what is between here and Redis, or that server, is broken: the same keys are written again"


@dataclass(slots=True)
class _Batch:
    replies: int
    keys_left: int
    fence: bytes


class Replies:
    """What is outstanding on one connection. `outstanding` counts lines, of whole batches; after a refusal, less what
    came of its batch, and the refusal itself."""

    def __init__(self, form: Form) -> None:
        lines = _lines_of(form)
        self._lines = [re.compile(line) for line in lines]
        self._key = re.compile(b"".join(lines))
        self._keys = re.compile(b"(?:%b)*" % b"".join(lines))
        self._least_bytes = _least_bytes_of(form)
        self._batches: deque[_Batch] = deque()
        self._rest = b""  # of a key's replies, or of a fence, that came in part
        self.outstanding = 0

    def expect(self, replies: int, fence: bytes) -> None:
        """One more batch, with so many lines of reply to its keys and then the fence, which may be empty."""
        self._batches.append(_Batch(replies, replies // len(self._lines), fence))
        self.outstanding += replies

    def least_bytes(self, leave: int, most: int) -> int:
        """How many bytes are sure to come before only `leave` lines are outstanding: from 1 to `most`."""
        least, left = -len(self._rest), self.outstanding
        for batch in self._batches:
            if left <= leave or least >= most:
                break
            least += batch.keys_left * self._least_bytes + len(batch.fence)
            left -= batch.replies
        return max(1, min(least, most))

    def take(self, data: bytes) -> None:
        """More bytes have come.

        TargetError or TargetBusy if a line is an error. TargetLost if anything else comes than what must come: then
        nothing of these bytes counts. After either of them the connection is of no more use.
        """
        data = self._rest + data if self._rest else data
        at = done = 0
        while self._batches:
            batch = self._batches[0]
            if batch.keys_left:
                keys, at = self._pass_keys(data, at, batch)
                if not keys:
                    break
                batch.keys_left -= keys
            elif data.startswith(batch.fence, at):
                at += len(batch.fence)
                done += batch.replies
                self._batches.popleft()
            else:
                break
        self._rest = data[at:]
        if self._rest and (error := self._first_error()):
            batch = self._batches[0]
            whole_keys = batch.replies // len(self._lines) - batch.keys_left
            self.outstanding -= done + min(whole_keys * len(self._lines) + 1, batch.replies)
            raise refusal(WRITING, error[1:].decode("utf-8", "replace").rstrip("\r\n"))
        self.outstanding -= done

    def _pass_keys(self, data: bytes, at: int, batch: _Batch) -> tuple[int, int]:
        """How many of the batch's keys are answered from here on, and where that ends."""
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
        if keys > batch.keys_left:  # the next batch's too: there is no fence between them
            keys = batch.keys_left
            end = len(data) - len(data[at:].split(b"\n", keys * len(self._lines))[-1])
        return keys, end

    def _first_error(self) -> bytes | None:
        """The first line of what was not passed that is an error; None if more of what must come is still to come."""
        if not self._batches:
            raise TargetLost(f"Redis sent more replies than it got commands: '{shown(self._rest)}'", _ODD_HINT)
        *whole, last = self._rest.split(b"\n", len(self._lines))
        batch = self._batches[0]
        if batch.keys_left:
            rights = [right.fullmatch(line + b"\n") for line, right in zip(whole, self._lines, strict=False)]
            odd = next((line for line, right in zip(whole, rights, strict=True) if not right), None)
        else:
            odd = None if batch.fence.startswith(self._rest) or not whole else whole[0]
        if odd is None and len(last) > _MOST_LINE_BYTES:
            raise TargetLost(f"Redis sent a line without an end: '{shown(last)}'", _ODD_HINT)
        if odd is not None and not odd.startswith(b"-"):
            raise TargetLost(f"Redis answered a write with '{shown(odd)}'", _ODD_HINT)
        return odd


def _lines_of(form: Form) -> list[bytes]:
    """A regular expression for each line of the replies to one key.

    In a transaction nobody comes between: the key is new, so HSET counts fields that are new, and PEXPIRE finds it.
    """
    if form.payload is not None:
        return [rb"\+OK\r\n"]
    number = rb":\d{1,5}\r\n"
    if not form.whole:
        return [number] * form.replies_per_key
    numbers = [rb":[01]\r\n", rb":[1-9]\d{0,4}\r\n", rb":1\r\n"][: 3 if form.ttl_ms else 2]
    return [rb"\+OK\r\n", *[rb"\+QUEUED\r\n"] * len(numbers), rb"\*%d\r\n" % len(numbers), *numbers]


def _least_bytes_of(form: Form) -> int:
    """What the replies to one key are not shorter than."""
    if form.payload is not None:
        return len("+OK\r\n")
    numbers = (3 if form.ttl_ms else 2) * len(":0\r\n")
    return numbers if not form.whole else len("+OK\r\n*2\r\n") + numbers + numbers // 4 * len("+QUEUED\r\n")
