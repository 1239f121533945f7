"""What Redis answers to the commands that write one key, as regular expressions. Pure."""

from __future__ import annotations

import re

from shardload.encoding import Form, Shape
from shardload.target.refusals import FOLLOWED, error_word

_OK = rb"\+OK\r\n"
_ERROR = rb"-[^\r\n]*\r\n"
_NUMBER = rb":\d{1,5}\r\n"
_BUSY_KEY = rb"-BUSYKEY[^\r\n]*\r\n"
_NIL = rb"\$-1\r\n"


class KeyPattern:
    """The replies to one key of a batch.

    - `lines`: an expression for each reply line. `least_bytes`: the length of the shortest possible replies.
    - `kept`: what stands in a reply that says that the key was there before, and was left alone; empty if none does.
    """

    def __init__(self, lines: list[bytes], refused: bytes, least_bytes: int, kept: bytes = b"") -> None:
        self.lines = [re.compile(line) for line in lines]
        self.least_bytes = least_bytes
        self._key = re.compile(b"".join(lines))
        self._keys = re.compile(b"(?:%b)*" % b"".join(lines))
        self._refused = re.compile(refused)
        self._kept = kept

    @property
    def size(self) -> int:
        """How many lines answer a key."""
        return len(self.lines)

    def match_keys(self, data: bytes, at: int, most: int) -> tuple[int, int, int]:
        """How many of the next `most` keys are completely answered from `at` on, where their replies end, and how many
        of them were kept."""
        first = self._key.match(data, at)
        if first is None:
            return 0, at, 0
        one = first.group()
        alike = min(most, (len(data) - at) // len(one))
        if data.startswith(one * alike, at):
            end = at + alike * len(one)
            return alike, end, self._kept_in(data, at, end)
        match = self._keys.match(data, at)
        end = match.end() if match else at
        keys = data.count(b"\n", at, end) // self.size
        if keys > most:  # without a fence the match may go on into the next batch
            keys = most
            end = len(data) - len(data[at:].split(b"\n", keys * self.size)[-1])
        return keys, end, self._kept_in(data, at, end)

    def match_refused(self, data: bytes, at: int) -> tuple[str, int]:
        """The error that refused the key at `at` and that can be followed, and where its replies end; an empty error
        if it was not."""
        match = self._refused.match(data, at)
        if match is None:
            return "", at
        errors = [line.decode("utf-8", "replace") for line in match.group().split(b"\r\n") if line.startswith(b"-")]
        error = next((error[1:] for error in errors if error_word(error) != "-EXECABORT"), "")
        return (error, match.end()) if error_word(error) in FOLLOWED else ("", at)

    def _kept_in(self, data: bytes, at: int, end: int) -> int:
        return data.count(self._kept, at, end) if self._kept else 0


def row_pattern(form: Form, *, follows: bool = False) -> KeyPattern:
    """The replies to a row's own key. With `follows` a node of a cluster may refuse it.

    In a transaction the numbers are limited: DEL has just removed the key, so HSET answers with at least 1 new field,
    and PEXPIRE with 1; PERSIST, where it stands in its place, with 0.
    """
    if form.is_single:
        if not form.keeps:
            return _single(_OK, b"")
        return _single(_OK + b"|" + _BUSY_KEY, b"-BUSYKEY") if form.shape is Shape.HASH else lookup_pattern(form)
    lines = _lines_of(form)
    if not form.whole:
        refused = b"".join(b"(?:%b|%b)" % (line, _ERROR) for line in lines)
        return KeyPattern(lines, refused, len(lines) * len(":0\r\n"))
    commands = form.commands_per_key - 2
    queued = b"(?:%b|%b)(?:\\+QUEUED\\r\\n|%b){%d}" % (_OK, _ERROR, _ERROR, commands)
    refused = queued + b"(?:\\*%d\\r\\n(?:%b|%b|%b){%d}|%b)" % (commands, _NUMBER, _OK, _ERROR, commands, _ERROR)
    executed = len("*2\r\n") + commands * len(":0\r\n")
    if follows:
        executed = min(executed, len("-ASK 0 :1\r\n"))
    return KeyPattern(lines, refused, len("+OK\r\n") + commands * len("+QUEUED\r\n") + executed)


def lookup_pattern(form: Form) -> KeyPattern:
    """The reply to a lookup, or to another key that one SET or JSON.SET writes."""
    return _single(_OK + b"|" + _NIL, b"$-1") if form.keeps else _single(_OK, b"")


def _single(line: bytes, kept: bytes) -> KeyPattern:
    line = b"(?:%b)" % line
    return KeyPattern([line], line + b"|" + _ERROR, len("+OK\r\n"), kept)


def _lines_of(form: Form) -> list[bytes]:
    """The lines that answer a key of several commands."""
    writes = _NUMBER if form.shape is Shape.HASH else _OK
    expiry = _NUMBER
    if form.whole:
        writes = rb":[1-9]\d{0,4}\r\n" if form.shape is Shape.HASH else _OK
        expiry = rb":[01]\r\n" if form.dated else rb":1\r\n"
    answers = [rb":[01]\r\n" if form.whole else _NUMBER, writes, *([expiry] if form.expires else [])]
    if not form.whole:
        return answers
    return [_OK, *[rb"\+QUEUED\r\n"] * len(answers), rb"\*%d\r\n" % len(answers), *answers]
