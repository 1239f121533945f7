"""Judges one key: what Redis has of it, against what its row says. Pure, but for the clock that it is told."""

from __future__ import annotations

import heapq
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shardload.encoding import Answer
from shardload.errors import ShardloadError
from shardload.model.differences import Fault
from shardload.model.printable import bounded, shown_bytes
from shardload.target import Ages, parse_hash

GONE, FOREVER = -2, -1  # what PTTL and PEXPIRETIME answer for no key, and for one that does not expire
_DIFFERENT = "different"
_MOST_NAMES = 20  # of fields
_MOST_NAME = 100  # characters of one
_LARGE = 2**63  # an integer that Redis's JSON module may have as a double


@dataclass(frozen=True)
class Verdict:
    """What is wrong with a key, if something is. `is_expired` says that it is gone because its time may have passed."""

    fault: Fault | None = None
    detail: str = ""
    is_expired: bool = False


_RIGHT = Verdict()


@dataclass(frozen=True)
class Judge:
    """What holds for all keys that are judged at one moment: how old they may be, the Unix time, and whether a text is
    a document of the JSON module, which has its own way to write one."""

    ages: Ages
    now_ms: int
    has_documents: bool = False

    def verdict(self, wanted: Sequence[Answer], value: Any, expiry: Any) -> Verdict:
        """The verdict on a key that rows want to be `wanted`; of several rows one is enough. `value` and `expiry` are
        Redis's answers, None where it cannot say when the key expires. ShardloadError if an answer is an error that
        says nothing about the key."""
        verdicts = [self._verdict(one, value, expiry) for one in wanted]
        return next((one for one in verdicts if one.fault is None), verdicts[-1])

    def _verdict(self, wanted: Answer, value: Any, expiry: Any) -> Verdict:
        if isinstance(value, ShardloadError):
            if "WRONGTYPE" not in value.message and "wrong Redis type" not in value.message:
                raise value
            return Verdict(Fault.TYPE, f"is not {self._kind(wanted)}")
        if isinstance(expiry, ShardloadError):
            raise expiry
        if value is None or value == []:
            may_have_expired = self.ages.are_known and 0 < wanted.left_of_ms <= self.ages.most_ms
            is_past = wanted.expires_at_ms and wanted.expires_at_ms <= self.now_ms
            return Verdict(is_expired=True) if may_have_expired or is_past else Verdict(Fault.MISSING, "missing")
        if detail := _difference(wanted.value, value, is_document=self.has_documents):
            return Verdict(Fault.DIFFERENT, detail)
        if detail := _expiry_difference(wanted, expiry, self.ages):
            return Verdict(Fault.EXPIRY, detail)
        return _RIGHT

    def _kind(self, wanted: Answer) -> str:
        """What the key should be, in words."""
        if self.has_documents and isinstance(wanted.value, bytes) and wanted.value[:1] == b"{":
            return "a JSON document"
        return "a hash" if isinstance(wanted.value, list) else "a string"


def _difference(wanted: bytes | list[bytes], value: Any, *, is_document: bool) -> str:
    """In words how a value differs; empty if it does not."""
    if value == wanted:
        return ""
    if isinstance(wanted, list):
        return _in_fields(parse_hash(value), parse_hash(wanted))
    try:
        there, should = (json.loads(text, parse_int=_integer) for text in (value, wanted))
        if is_document and _is_same(there, should):
            return ""
        told = _in_fields(there, should) if isinstance(there, dict) and isinstance(should, dict) else ""
    except (ValueError, TypeError, RecursionError):  # no JSON, or nested deeper than a row's can be
        return _DIFFERENT
    return told or _DIFFERENT


def _integer(text: str) -> int | float:
    """A number without a point; -0 (a FLOAT can be that) is a double to Redis's JSON module."""
    return -0.0 if text == "-0" else int(text)


def _is_same(there: Any, wanted: Any) -> bool:
    """Whether these are the same JSON: 1, 1.0 and true are not. An integer that takes more than 64 bits is, and is told
    as, a number with an exponent."""
    if isinstance(there, dict) and isinstance(wanted, dict):
        return there.keys() == wanted.keys() and all(_is_same(value, wanted[name]) for name, value in there.items())
    if isinstance(there, list) and isinstance(wanted, list):
        return len(there) == len(wanted) and all(map(_is_same, there, wanted))
    if type(there) is float and type(wanted) is int and abs(wanted) >= _LARGE:
        return there == wanted
    return type(there) is type(wanted) and bool(there == wanted)


def _in_fields(there: dict[Any, Any], wanted: dict[Any, Any]) -> str:
    """In which fields they differ: the first ones, each cut short, and how many more."""
    both = there.keys() & wanted.keys()
    names = [
        name for name in there.keys() | wanted.keys() if name not in both or not _is_same(there[name], wanted[name])
    ]
    told = [_shown_name(name) for name in heapq.nsmallest(_MOST_NAMES, names)]
    more = f" and {len(names) - len(told):,} more" if len(names) > len(told) else ""
    return f"{_DIFFERENT} in {', '.join(told)}{more}" if names else ""


def _shown_name(name: str | bytes) -> str:
    """A field's name for people, without its middle if it is long."""
    return bounded(shown_bytes(name) if isinstance(name, bytes) else repr(name), _MOST_NAME)


def _expiry_difference(wanted: Answer, expiry: Any, ages: Ages) -> str:
    if expiry is None:
        return ""
    if not wanted.expires_at_ms and not wanted.left_of_ms:
        return "" if expiry == FOREVER else "expires, and should not"
    if expiry == FOREVER:
        return "does not expire, and should"
    if wanted.expires_at_ms:
        return "" if expiry == wanted.expires_at_ms else "expires at another time"
    is_within = wanted.left_of_ms - ages.most_ms <= expiry <= wanted.left_of_ms
    return "" if is_within else "expires at another time"
