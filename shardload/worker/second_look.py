"""Looks again at the keys of a range that answered otherwise than right ones: some are right all the same, and some of
their rows have changed meanwhile. What is left differs; `repair.py` writes it again.

A key counts as different if its row was the same before and after Redis was asked. Rows are read again, and keys asked
again, until each is right or different. One whose row still changes after some looks is left alone.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise

from shardload.encoding import Answer, Batch, Form, Part, Shape, find_ends, parse_answer
from shardload.encoding.form import COMMANDS_PER_QUESTION
from shardload.errors import TargetError
from shardload.model.differences import Difference, Fault
from shardload.model.keys import KeyRange
from shardload.target import Ages, split_keys, words_of
from shardload.worker.judge import FOREVER, Judge, Verdict
from shardload.worker.link import Link

MOST_LOOKS = 5  # at a key whose row changes all the time
_PIPELINE_KEYS = 500
_PIPELINE_BYTES = 4 * 1024 * 1024  # of values, so that a pipeline of large keys stays small
_MOST_ANSWER_BYTES = 1 << 30  # to a pipeline: the keys may hold anything now

_KEY = re.compile(rb"\*(?:[2-9]|[1-9][0-9]+)\r\n\$[0-9]+\r\n[A-Z.]+\r\n\$([0-9]+)\r\n")  # what stands before it


@dataclass(frozen=True)
class Item:
    """A key that a row makes: its node, the commands that ask for it or write it, and what a right one answers."""

    node: int
    is_lookup: bool
    commands: list[bytes]
    answer: bytes


@dataclass
class Found:
    """What became of the keys. `rows_gone` are keys whose row is gone; `kept` hold something else, and the job keeps
    what is there; of those that are `changing` the row changed from look to look."""

    differences: list[Difference] = field(default_factory=list)
    expired: int = 0
    kept: int = 0
    rows_gone: int = 0
    changing: int = 0

    @property
    def not_right(self) -> int:
        """How many keys were not found right."""
        return len(self.differences) + self.expired + self.kept + self.rows_gone + self.changing


class SecondLook:
    """One worker's. `read(keys, form)` reads the rows of a range again and encodes them, batch by batch; `on_wait` is
    called before each wait for Redis."""

    def __init__(
        self, link: Link, form: Form, *, read: Callable[[KeyRange, Form], Iterator[Batch]], on_wait: Callable[[], None]
    ) -> None:
        self._link = link
        self._form = form
        self.asks = replace(form, reads=True, fingerprints=False)
        self._read = read
        self._on_wait = on_wait

    def look(self, keys: KeyRange, suspects: Collection[bytes], ages: Ages) -> Found:
        """What became of these keys of the range. SourceError or TargetError if a server cannot say."""
        found = Found()
        left = set(suspects)
        before: dict[bytes, list[Item]] = {}
        for _ in range(MOST_LOOKS):
            rows = self.items(keys, self.asks, left)
            found.rows_gone += len(left - rows.keys())
            left = set()
            for key, verdict in self.verdicts(rows, ages).items():
                if verdict.is_expired:
                    found.expired += 1
                elif verdict.fault is None:
                    continue
                elif self._form.keeps and verdict.fault is not Fault.MISSING:
                    found.kept += 1
                elif rows[key] == before.get(key):
                    found.differences.append(Difference(key, verdict.fault, verdict.detail))
                else:
                    left.add(key)
            before = rows
            if not left:
                break
        found.changing = len(left)
        return found

    def items(self, keys: KeyRange, form: Form, wanted: Collection[bytes]) -> dict[bytes, list[Item]]:
        """What the rows of the range make of these keys now; nothing for a key that no row makes."""
        items: dict[bytes, list[Item]] = {}
        for batch in self._read(keys, form):
            for part in batch.parts:
                for key, item in _items_of(part, form, wanted):
                    items.setdefault(key, []).append(item)
        return items

    def verdicts(self, items: dict[bytes, list[Item]], ages: Ages) -> dict[bytes, Verdict]:
        """Ask Redis for these keys, and judge what it answers."""
        verdicts: dict[bytes, Verdict] = {}
        for several in _pipelines(items):
            self._on_wait()
            commands = [tuple(words_of(command)) for key in several for command in items[key][0].commands]
            replies = self._link.target.call_keys(commands, errors=True, most_bytes=_MOST_ANSWER_BYTES)
            judge = Judge(ages, int(time.time() * 1000), self._form.shape is Shape.REDISJSON)
            for at, key in enumerate(several):
                value, expiry = replies[2 * at : 2 * at + 2]
                wanted = [parse_answer(item.answer) for item in items[key]]
                verdicts[key] = judge.verdict(wanted, value, self._expiry(key, expiry, wanted))
        return verdicts

    def _expiry(self, key: bytes, told: object, wanted: list[Answer]) -> object:
        """When the key expires. A server that does not know PEXPIRETIME (before 7.0) says no more than whether."""
        is_unknown = isinstance(told, TargetError) and "unknown command" in told.message.lower()
        if not is_unknown:
            return told
        left = self._link.target.call_keys([("PTTL", key)])[0]
        return left if left == FOREVER else wanted[0].expires_at_ms


def _items_of(part: Part, form: Form, wanted: Collection[bytes]) -> Iterator[tuple[bytes, Item]]:
    """The wanted keys in a part."""
    packed = bytes(part.commands)
    if len(wanted) < _PIPELINE_KEYS and not any(key in packed for key in wanted):
        return
    per_key = 1 if part.is_lookup and not form.reads else form.commands_per_key
    ends = find_ends(packed, per_key)
    answer_ends = find_ends(part.answers, COMMANDS_PER_QUESTION) if form.reads else [0] * len(ends)
    for (start, end), (answer, answer_end) in zip(pairwise([0, *ends]), pairwise([0, *answer_ends]), strict=True):
        found = _KEY.search(packed, start, end)
        assert found
        key = packed[found.end() : found.end() + int(found[1])]
        if key in wanted:
            (mine,) = split_keys(packed[start:end], per_key)
            yield key, Item(part.node, part.is_lookup, mine, bytes(part.answers[answer:answer_end]))


def _pipelines(items: dict[bytes, list[Item]]) -> Iterator[list[bytes]]:
    """The keys, in groups that are not too large."""
    several: list[bytes] = []
    size = 0
    for key, same in items.items():
        several.append(key)
        size += sum(len(item.answer) + sum(map(len, item.commands)) for item in same)
        if len(several) >= _PIPELINE_KEYS or size >= _PIPELINE_BYTES:
            yield several
            several, size = [], 0
    if several:
        yield several
