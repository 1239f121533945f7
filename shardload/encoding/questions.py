"""How a key is asked for, and what comes back if it is right. Pure. `native/_questions.pxd` writes the same bytes.

Two commands ask for a key: what it holds (HGETALL, GET, JSON.GET), and when it expires. A compact hash answers with its
fields in the order in which they were written, so a right answer is known byte for byte, and nothing of it has to be
parsed. Another answer may still be right (a large hash has an order of its own): whoever compares looks again.

When a key expires is asked with PEXPIRETIME if its row says when, else with PTTL. What is left of a TTL depends on when
the key was written: in the place of that answer stands `~` and the TTL in ms.
DUMP would save one conversion, but costs Redis as much: it compresses, and sums up what it sends.
"""

from __future__ import annotations

from shardload.encoding.commands import Expiry, packed
from shardload.encoding.form import Shape
from shardload.encoding.payload import Fields

READS = {Shape.HASH: b"HGETALL", Shape.JSON: b"GET", Shape.STRING: b"GET", Shape.REDISJSON: b"JSON.GET"}
LEFT_OF = b"~"


def question(key: bytes, shape: Shape, expiry: Expiry) -> bytes:
    """The commands that ask for a key. A lookup has the shape of a string."""
    return packed(READS[shape], key) + packed(b"PEXPIRETIME" if expiry.is_date else b"PTTL", key)


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
