"""What stands around an RDB file's entries: exact bytes, and checksums that add up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardload.encoding import Checksum, checksum_of
from shardload.encoding.payload import crc64
from shardload.encoding.rdbfile import head, reference_checksum, tail

ENTRY = b"\x00\x01k\x01v"


def test_a_whole_file() -> None:
    """Byte for byte."""
    start = head(10, 3, 1, 0, 1_700_000_000)
    assert start == (
        b"REDIS0010"
        b"\xfa\x0aredis-bits\x0264"
        b"\xfa\x05ctime\x0a1700000000"
        b"\xfe\x03"
        b"\xfb\x81\0\0\0\0\0\0\0\x01\x81\0\0\0\0\0\0\0\0"
    )
    end = tail(reference_checksum(start + ENTRY))
    assert end == b"\xff" + crc64(start + ENTRY + b"\xff").to_bytes(8, "little")
    assert end.hex() == "ffa106df46a8d597fd"  # with which redis-check-rdb 7.0 is content


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_a_head_can_be_written_last(keys: int, expiring: int) -> None:
    """It has the same size whatever it counts."""
    assert len(head(9, 0, keys, expiring, 1_700_000_000)) == len(head(9, 0, 0, 0, 1_700_000_000))


@pytest.mark.parametrize("version", [0, 8, 12, 80])
def test_versions(version: int) -> None:
    """Those whose entries are known; each has four digits."""
    assert head(9, 0, 0, 0, 0)[:9] == b"REDIS0009"
    assert head(11, 0, 0, 0, 0)[:9] == b"REDIS0011"
    with pytest.raises(ValueError, match=f"RDB version {version}"):
        head(version, 0, 0, 0, 0)


def test_a_database_with_a_large_number() -> None:
    """It is a length."""
    assert b"\xfe\x40\x40\xfb" in head(10, 64, 0, 0, 0)


@given(st.lists(st.binary(max_size=300), max_size=6))
def test_checksums_add_up(pieces: list[bytes]) -> None:
    """In whichever order they are summed up, and piece behind piece; the fast one is the reference's."""
    whole = b"".join(pieces)
    expected = Checksum(crc64(whole), len(whole))
    forwards, backwards, running = Checksum(), Checksum(), Checksum()
    for piece in pieces:
        forwards += checksum_of(piece)
        running = checksum_of(memoryview(piece), running)
    for piece in reversed(pieces):
        backwards = reference_checksum(piece) + backwards
    assert forwards == backwards == running == expected == reference_checksum(whole) == checksum_of(whole)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 31, 32, 33, 47, 48, 100, 1000])
def test_a_checksum_goes_on(size: int) -> None:
    """Whichever way the data behind is summed up: long data is folded."""
    before, data = reference_checksum(b"what is there"), bytes(at % 251 for at in range(size))
    assert checksum_of(data, before) == reference_checksum(data, before) == before + checksum_of(data)


@given(st.binary(min_size=1, max_size=40), st.integers(0, 14))
def test_many_bytes_behind(first: bytes, exponent: int) -> None:
    """Zeros behind it move a checksum, as many as there are."""
    zeros = bytes((1 << exponent) + 3)
    assert reference_checksum(first) + reference_checksum(zeros) == reference_checksum(first + zeros)


def test_the_size_counts_beyond_memory() -> None:
    """Two halves of 2^40 zeros behind a byte are 2^41 zeros behind it."""
    first, half = reference_checksum(b"x"), Checksum(0, 1 << 40)
    assert first + half + half == first + Checksum(0, 1 << 41)
    assert (first + half).crc != first.crc
