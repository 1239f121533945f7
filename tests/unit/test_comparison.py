"""Both comparisons find the keys whose answers differ, wherever the answers are cut, and refuse what is no answer."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardload.encoding import Expiry, Shape, find_ends, is_native_built, make_comparison
from shardload.encoding.comparison import ends_of
from shardload.encoding.questions import expiry_answer, hash_answer, question, text_answer
from shardload.errors import MalformedAnswer

NATIVE = [False, True] if is_native_built() or os.environ.get("CI") else [False]
TEXTS = st.binary(max_size=30)
VALUES = st.one_of(
    TEXTS.map(text_answer),
    st.lists(st.tuples(TEXTS, TEXTS), max_size=4).map(hash_answer),
    st.sampled_from(
        [b"$-1\r\n", b"*-1\r\n", b"*0\r\n", b"-MOVED 1 a:1\r\n", b"+OK\r\n", b"*2\r\n*1\r\n:1\r\n$1\r\n\r\r\n"]
    ),
)
OFF = st.sampled_from([0, 1, 5, 10, 1000, 1001, -3])
LIVES = st.sampled_from([0, 1, 999, 1000, 1001, 5000])


def told(answers: list[bytes], data: bytes, cuts: list[int], *, native: bool) -> object:
    """What a comparison finds in the data, which comes in pieces that end at the cuts."""
    comparison = make_comparison(answers, 1000, native=native)
    rest = b""
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        rest += data[start:end]
        rest = rest[comparison.take(rest) :]
    return comparison.differing, comparison.is_done, rest


@settings(deadline=None, max_examples=500)
@given(
    st.lists(st.tuples(VALUES, LIVES, st.booleans(), VALUES, OFF), max_size=6),
    st.integers(0, 3), st.lists(st.integers(0, 300), max_size=3),
)  # fmt: skip
def test_what_differs(keys: list[tuple[bytes, int, bool, bytes, int]], parts: int, cuts: list[int]) -> None:
    """A key differs if its value does, or when it expires: a date exactly, what is left of a TTL within its bounds."""
    expected, data, differing = [], b"", []
    for place, (value, life_ms, is_date, other, off_ms) in enumerate(keys):
        is_other = place % 2 == 1
        answer = other if is_other else value
        expected.append(value + expiry_answer(Expiry(life_ms, is_date)))
        left_ms = life_ms - off_ms
        data += answer + (b":-1\r\n" if not life_ms else b":%d\r\n" % left_ms)
        is_late = bool(life_ms) and (off_ms != 0 if is_date else left_ms < 0 or not 0 <= off_ms <= 1000)
        if answer != value or is_late:
            differing.append(place)
    answers = [b"".join(expected[:parts]), b"", b"".join(expected[parts:])]
    cuts = sorted({min(cut, len(data)) for cut in cuts})
    for native in NATIVE:
        assert told(answers, data + b"more", cuts, native=native) == (differing, True, b"more")


@settings(deadline=None, max_examples=500)
@given(st.binary(max_size=60), st.lists(st.sampled_from(b"$*:+-~\r\n0123456789a"), max_size=40))
def test_the_same_of_any_bytes(raw: bytes, likely: list[int]) -> None:
    """Both take as many bytes, or refuse them in the same words."""
    for data in (raw, bytes(likely)):
        found = []
        for native in (False, NATIVE[-1]):
            try:
                found.append(told([text_answer(b"x") + b"~5\r\n:-1\r\n"], data, [], native=native))
            except MalformedAnswer as error:
                found.append(str(error))
        assert found[0] == found[1]


@pytest.mark.parametrize("native", NATIVE)
@pytest.mark.parametrize(
    ("data", "message"),
    [(b"HTTP/1.1 400\r\n", "begins with b'H'"), (b"$1x\r\n", "size b'1x'"), (b":" + b"1" * 70_000, "no end")],
)
def test_what_is_no_answer(native: bool, data: bytes, message: str) -> None:
    """A server that is no Redis, or a proxy that is broken."""
    with pytest.raises(MalformedAnswer, match=message):
        make_comparison([b":1\r\n"], 0, native=native).take(data)


def test_what_is_asked() -> None:
    """What the key holds, and when it expires."""
    assert question(b"k", Shape.HASH, Expiry()) == b"*2\r\n$7\r\nHGETALL\r\n$1\r\nk\r\n*2\r\n$4\r\nPTTL\r\n$1\r\nk\r\n"
    dated = question(b"k", Shape.STRING, Expiry(5, is_date=True))
    assert dated == b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*2\r\n$11\r\nPEXPIRETIME\r\n$1\r\nk\r\n"


@settings(deadline=None)
@given(st.lists(VALUES, max_size=7), st.integers(1, 3), st.integers(0, 60))
def test_where_answers_end(values: list[bytes], count: int, cut: int) -> None:
    """The ends of whole groups; what is cut off has none."""
    data = b"".join(values)[: cut or None]
    sizes = [len(b"".join(values[:end])) for end in range(count, len(values) + 1, count)]
    expected = [size for size in sizes if size <= len(data)]
    assert ends_of(data, count) == find_ends(data, count) == expected
