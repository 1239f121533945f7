"""What is wrong with a key, from what Redis says of it and what its row says: tables of cases."""

from __future__ import annotations

from typing import Any

import pytest

from shardload.encoding.questions import Answer
from shardload.model.differences import Fault
from shardload.target import Ages
from shardload.worker.judge import FOREVER, GONE, Judge, Verdict

NOW_MS = 1_000_000


def verdict(wanted: Answer, value: Any, expiry: Any = FOREVER, *, most_ms: int | None = 5000, **judge: Any) -> Verdict:
    """The verdict on a key that one row wants."""
    ages = Ages() if most_ms is None else Ages(most_ms)
    return Judge(ages, NOW_MS, **judge).verdict([wanted], value, expiry)


@pytest.mark.parametrize(
    ("wanted", "most_ms", "is_expired"),
    [
        (Answer(b"x"), 5000, False),
        (Answer(b"x", left_of_ms=4000), 5000, True),
        (Answer(b"x", left_of_ms=6000), 5000, False),
        (Answer(b"x", left_of_ms=4000), None, False),  # nobody knows when keys were written
        (Answer(b"x", expires_at_ms=NOW_MS - 1), None, True),
        (Answer(b"x", expires_at_ms=NOW_MS + 1), 5000, False),
    ],
)
@pytest.mark.parametrize("value", [None, []])
def test_a_key_that_is_gone(wanted: Answer, most_ms: int | None, value: Any, *, is_expired: bool) -> None:
    """It has expired only if its time is known to have passed, perhaps."""
    found = verdict(wanted, value, GONE, most_ms=most_ms)
    assert (found.is_expired, found.fault) == (is_expired, None if is_expired else Fault.MISSING)


@pytest.mark.parametrize(
    ("wanted", "there", "detail"),
    [
        (b'{"a":1,"b":[1,{"c":null}]}', b'{"b":[1,{"c":null}],"a":1}', ""),
        (b"1", b"true", "different"),
        (b"1", b"1.0", "different"),
        (b"0", b"false", "different"),
        (b"1.50", b"1.5", ""),
        (b"1e2", b"100.0", ""),
        (b"-0", b"-0.0", ""),
        (b'{"a":1}', b'{"a":true}', "different in 'a'"),
        (b'{"a":[1,2]}', b'{"a":[1,2.0]}', "different in 'a'"),
        (b'{"a":{"b":1}}', b'{"a":{"b":1.0}}', "different in 'a'"),
        (b'{"a":null}', b"{}", "different in 'a'"),
        (b'{"a":1}', b'{"a":1,"b":null}', "different in 'b'"),
        (b'{"a":18446744073709551615}', b'{"a":18446744073709551614}', "different in 'a'"),
        (b"100000000000000000000", b"1e20", ""),
        (b"[1]", b"[1,1]", "different"),
        (b'{"a":1}', b"[" * 100_000, "different"),
        (b'{"a":1}', b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "different"),
        (b'{"a":1}', b"9" * 10_000, "different"),
        (b'{"a":1}', b"\xff", "different"),
    ],
)
def test_documents(wanted: bytes, there: bytes, detail: str) -> None:
    """JSON is compared with its types, and what nobody can compare differs."""
    assert verdict(Answer(wanted), there, has_documents=True).detail == detail
    assert verdict(Answer(wanted), there).detail == (detail or "different")  # as a text it is another one


def test_the_fields_that_differ() -> None:
    """They are named; of very many the first ones, of long ones the ends."""
    wanted = [b"id", b"1", b"name", b"x"]
    assert verdict(Answer(wanted), [b"id", b"2", b"name", b"x"]).detail == "different in id"
    assert verdict(Answer(wanted), [b"name", b"x", b"id", b"1"]).fault is None
    many = [text for number in range(300_000) for text in (b"f%06d" % number, b"")]
    found = verdict(Answer(wanted), many).detail
    assert found.startswith("different in f000000, f000001")
    assert found.endswith(" and 299,982 more")
    assert verdict(Answer(wanted), [*wanted, b"x" * 10**6, b""]).detail.startswith("different in " + "x" * 75)
    document = b'{"a":1,"' + b"y" * 10**6 + b'":1}'
    for detail in (found, verdict(Answer(wanted), [*wanted, b"\xff" * 10**6, b""]).detail,
                   verdict(Answer(b'{"a":1}'), document).detail):  # fmt: skip
        assert len(detail) < 4000
