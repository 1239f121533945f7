"""How a key is asked for, and what comes back if it is right. Pure. `native/_questions.pxd` writes the same bytes.

Two commands ask for a key: what it holds (HGETALL, GET, JSON.GET), and when it expires. A compact hash answers with its
fields in the order in which they were written, so a right answer is known byte for byte, and nothing of it has to be
parsed. Another answer may still be right (a large hash has an order of its own): whoever compares looks again.

When a key expires is asked with PEXPIRETIME if its row says when, else with PTTL. What is left of a TTL depends on when
the key was written: in the place of that answer stands `~` and the TTL in ms.
DUMP would save one conversion, but costs Redis as much: it compresses, and sums up what it sends.
"""

from __future__ import annotations

from typing import NamedTuple

from shardload.encoding.commands import Expiry, packed
from shardload.encoding.comparison import LEFT_OF, end_of
from shardload.encoding.form import Shape
from shardload.encoding.payload import Fields

_READS = {Shape.HASH: b"HGETALL", Shape.JSON: b"GET", Shape.STRING: b"GET", Shape.REDISJSON: b"JSON.GET"}


class Answer(NamedTuple):
    """What a right key answers: a text, or a list of fields and values; and when it expires. `left_of_ms` is the TTL of
    which something is left; both are 0 for a key that does not expire."""

    value: bytes | list[bytes]
    expires_at_ms: int = 0
    left_of_ms: int = 0


def question(key: bytes, shape: Shape, expiry: Expiry) -> bytes:
    """The commands that ask for a key. A lookup has the shape of a string."""
    return packed(_READS[shape], key) + packed(b"PEXPIRETIME" if expiry.is_date else b"PTTL", key)


def hash_answer(fields: Fields) -> bytes:
    """What HGETALL answers."""
    return b"*%d\r\n%b" % (2 * len(fields), b"".join(text_answer(text) for field in fields for text in field))


def text_answer(value: bytes) -> bytes:
    """What GET answers."""
    return b"$%d\r\n%b\r\n" % (len(value), value)


def expiry_answer(expiry: Expiry) -> bytes:
    """What PEXPIRETIME or PTTL answers; of a TTL, what stands in its place."""
    if not expiry.ms:
        return b":-1\r\n"
    return b"%b%d\r\n" % (b":" if expiry.is_date else LEFT_OF, expiry.ms)


def parse_answer(answer: bytes) -> Answer:
    """From the answers about one key, as an encoder writes them."""
    end = end_of(answer, 0)
    kind, ms = answer[end : end + 1] if end else b"", int(answer[(end or 0) + 1 : -2])
    value = _texts(answer[:end])
    told = value if answer.startswith(b"*") else value[0]
    if ms < 0:
        return Answer(told)
    return Answer(told, left_of_ms=ms) if kind == LEFT_OF else Answer(told, expires_at_ms=ms)


def _texts(answer: bytes) -> list[bytes]:
    """The texts in a text or an array."""
    at = answer.index(b"\r\n") + 2 if answer.startswith(b"*") else 0
    texts = []
    while at < len(answer):
        end = answer.index(b"\r\n", at)
        size = int(answer[at + 1 : end])
        texts.append(answer[end + 2 : end + 2 + size])
        at = end + 4 + size
    return texts
