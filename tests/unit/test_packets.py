"""MySQL's text protocol: every row is found whole, and nothing else is taken for a row."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardload.encoding.packets import has_packet, split_rows
from shardload.errors import MalformedPacket
from tests.unit import wire

# Every class of length and its borders.
LENGTHS = [0, 1, 249, 250, 251, 252, 253, 254, 255, 256, 65535, 65536]

values = st.none() | st.binary(max_size=40) | st.sampled_from(LENGTHS).map(bytes)


@st.composite
def tables(draw: st.DrawFn) -> tuple[int, list[list[bytes | None]]]:
    """A number of columns, and rows with that many values."""
    columns = draw(st.integers(1, 4))
    return columns, draw(st.lists(st.lists(values, min_size=columns, max_size=columns), max_size=6))


@given(tables(), st.integers(0, 255))
@settings(deadline=None, max_examples=150)
def test_every_value_comes_back(table: tuple[int, list[list[bytes | None]]], sequence: int) -> None:
    """Rows and the end are found for any values and any first packet number."""
    columns, rows = table
    data, _, after = wire.stream([*map(wire.row, rows), wire.END], sequence)
    found = split_rows(data, columns, sequence)
    assert found.rows == rows
    assert (found.consumed_bytes, found.sequence, found.ended, found.error_packet) == (len(data), after, True, None)


@pytest.mark.parametrize("size", LENGTHS)
def test_each_class_of_length(size: int) -> None:
    """Lengths of one, three and four bytes are read, at their borders too; none of them is taken for NULL."""
    row = [bytes([size % 256]) * size, None, b""]
    found = split_rows(wire.stream([wire.row(row)])[0], 3, 0)
    assert found.rows == [row]


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (b"\xfc\x03\x00abc", b"abc"),
        (b"\xfd\x03\x00\x00abc", b"abc"),
        (b"\xfe\x03\x00\x00\x00\x00\x00\x00\x00abc", b"abc"),
        (b"\xfe\x00\x00\x00\x00\x00\x00\x00\x00", b""),  # nine bytes: the shortest row that starts like an end
    ],
)
def test_lengths_longer_than_needed(payload: bytes, value: bytes) -> None:
    """A server may write a small length with more bytes."""
    found = split_rows(wire.stream([payload])[0], 1, 0)
    assert (found.rows, found.ended) == ([[value]], False)


@pytest.mark.parametrize("size", range(1, 9))
def test_a_short_packet_that_begins_with_fe_is_the_end(size: int) -> None:
    """A packet of fewer than nine bytes that starts with 0xFE cannot be a row."""
    found = split_rows(wire.stream([b"\xfe" + bytes(size - 1)])[0], 1, 0)
    assert (found.rows, found.ended) == ([], True)


def test_packet_numbers_wrap() -> None:
    """The number after 255 is 0."""
    rows = [[b"%d" % number] for number in range(600)]
    data, _, after = wire.stream([wire.row(row) for row in rows], 250)
    found = split_rows(data, 1, 250)
    assert found.rows == rows
    assert found.sequence == after == (250 + 600) % 256


def test_a_row_of_exactly_one_full_packet() -> None:
    """An empty packet continues it; that packet is part of the row, not a row of its own."""
    value = b"x" * (wire.CONTINUED - 4)  # and four bytes of length
    data, ends, after = wire.stream([wire.row([value]), wire.row([b"next"]), wire.END])
    assert data[ends[0] - 4 : ends[0]] == b"\0\0\0\x01"
    found = split_rows(data, 1, 0)
    assert [len(row[0] or b"") for row in found.rows] == [len(value), 4]
    assert found.rows[0] == [value]
    assert (found.ended, found.sequence) == (True, after)
    for cut in (wire.CONTINUED + 3, wire.CONTINUED + 4, wire.CONTINUED + 5, ends[0] - 1):
        early = split_rows(data[:cut], 1, 0)
        assert (early.rows, early.consumed_bytes, early.sequence) == ([], 0, 0)


def test_when_a_packet_is_whole() -> None:
    """Also one that goes on in the next one, and whatever is behind it."""
    for whole in (raw(b"x" * 300), raw(b"x" * 0xFFFFFF), raw(b"x" * 0xFFFFFF + b"xy")):
        assert has_packet(whole)
        assert has_packet(memoryview(whole + b"abc"))
        assert not any(has_packet(whole[:size]) for size in (0, 3, 4, 299, len(whole) - 1))


def test_a_row_that_begins_like_an_end() -> None:
    """A row whose first value has 16 MiB or more starts with 0xFE like an end. Its packet is long, so it is a row; a
    second packet continues it."""
    value = b"\xfe" * (1 << 24)
    data, ends, _ = wire.stream([wire.row([value, b"tail"]), wire.END], 7)
    assert data[4] == 0xFE
    found = split_rows(data, 2, 7)
    assert found.rows == [[value, b"tail"]]
    assert (found.ended, found.sequence) == (True, 10)
    early = split_rows(data[: ends[0] - 1], 2, 7)
    assert (early.rows, early.consumed_bytes, early.sequence, early.ended) == ([], 0, 7, False)


def test_cut_off_anywhere() -> None:
    """Of a stream that is cut anywhere, exactly the whole packets are consumed; the rest can follow later."""
    rows: list[list[bytes | None]] = [[b"1", None, b""], [b"22", b"x" * 300, None], [None, None, None]]
    data, ends, after = wire.stream([*map(wire.row, rows), wire.END], 254)
    for cut in range(len(data) + 1):
        whole = sum(end <= cut for end in ends)
        first = split_rows(data[:cut], 3, 254)
        assert first.rows == rows[:whole]
        assert first.consumed_bytes == max([0, *(end for end in ends if end <= cut)])
        assert first.ended == (cut == len(data))
        if not first.ended:
            rest = split_rows(data[first.consumed_bytes :], 3, first.sequence)
            assert (first.rows + rest.rows, rest.sequence, rest.ended) == (rows, after, True)


def test_an_error_in_the_middle_of_a_result() -> None:
    """The rows before it are returned, then the error packet; nothing after it is consumed."""
    error = b"\xff\x25\x07#70100Query execution was interrupted"
    data, ends, _ = wire.stream([wire.row([b"1"]), error, wire.row([b"2"])])
    found = split_rows(data, 1, 0)
    assert (found.rows, found.error_packet, found.ended) == ([[b"1"]], error, False)
    assert found.consumed_bytes == ends[1]


def raw(payload: bytes, sequence: int = 0) -> bytes:
    """One packet."""
    return wire.packets(payload, sequence)[0]


@pytest.mark.parametrize(
    ("data", "columns", "message"),
    [
        (raw(b""), 1, "an empty packet at offset 4"),
        (raw(b"\x01a", 5), 1, "packet number 5 at offset 0, expected 0"),
        (raw(b"\x01a") + raw(b"\x01b", 0), 1, "packet number 0 at offset 6, expected 1"),
        (raw(b"\x01a"), 2, "a row of 1 values at offset 4, expected 2"),
        (raw(b"\x01a\x01b"), 1, "2 bytes too many in the row at offset 4"),
        (raw(b"\x01a") + raw(b"\x01b\x00", 1), 1, "1 bytes too many in the row at offset 10"),
        (raw(b"\x05abc"), 1, "a value of 5 bytes at offset 5 is longer than its packet"),
        (raw(b"\xfc\x05"), 1, "an incomplete length at offset 4"),
        (raw(b"\xfd\x05\x00"), 1, "an incomplete length at offset 4"),
        (raw(b"\x01a\xfe\x05\x00\x00"), 2, "an incomplete length at offset 6"),
        (raw(b"\x01a\xff"), 2, "an incomplete length at offset 6"),
        (raw(b"\xfe" + b"\xff" * 8), 1, f"a value of {2**64 - 1} bytes at offset 13 is longer than its packet"),
        (raw(wire.END) + b"\0", 1, "1 bytes after the end of the result set"),
        (raw(b"\xfe\0\0\x0a\0"), 1, "the end at offset 4 announces another result set"),
        (raw(wire.END) + raw(b"\x01a", 1), 1, "6 bytes after the end of the result set"),
    ],
)  # fmt: skip
def test_what_the_protocol_does_not_allow(data: bytes, columns: int, message: str) -> None:
    """It is refused with an error that has the offset."""
    with pytest.raises(MalformedPacket) as caught:
        split_rows(data, columns, 0)
    assert caught.value.message == message


@given(st.binary(max_size=60), st.integers(1, 3))
@settings(deadline=None, max_examples=300)
def test_any_bytes_are_rows_or_refused(data: bytes, columns: int) -> None:
    """Any bytes give rows or MalformedPacket, no other error, and never consume more than there is."""
    try:
        found = split_rows(data, columns, data[3] if len(data) > 3 else 0)
    except MalformedPacket:
        return
    assert 0 <= found.consumed_bytes <= len(data)
    assert all(len(row) == columns for row in found.rows)
