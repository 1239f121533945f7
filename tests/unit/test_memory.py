"""The arithmetic of keys and tables in a Redis's memory. The figures were measured on Redis 7.0 and Valkey 9.1."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardload.encoding import Payload, compact_bytes
from shardload.encoding.payload import MOST_LISTPACK_BYTES, hash_payload
from shardload.model.memory import (
    SLOTS,
    Family,
    Value,
    allocated,
    before_last_doubling,
    doubles,
    hash_value,
    key_bytes,
    table_bytes,
    text_bytes,
)


@pytest.mark.parametrize(
    ("asked", "given_bytes"),
    [(1, 8), (8, 8), (9, 16), (24, 32), (128, 128), (129, 160), (257, 320), (1024, 1024), (1025, 1280), (5000, 5120)],
)
def test_an_allocation_is_one_of_jemallocs_classes(asked: int, given_bytes: int) -> None:
    """Multiples of 16, then four classes for each doubling."""
    assert allocated(asked) == given_bytes


def test_a_text_has_a_head_by_its_length() -> None:
    """One byte, three, five; and one behind it."""
    assert [text_bytes(length) for length in (30, 31, 32, 255, 256)] == [32, 48, 48, 320, 320]


@pytest.mark.parametrize(
    ("family", "value", "expires", "size"),
    [
        (Family.CLASSIC, Value(60), False, 32 + 16 + 16 + 64),
        (Family.CLASSIC, Value(60), True, 32 + 32 + 16 + 16 + 64),
        (Family.CLASSIC, Value(40, is_string=True), False, 32 + 16 + 64),
        (Family.CLASSIC, Value(75, is_string=True), False, 144),
        (Family.BUCKETS, Value(60), False, 32 + 64),
        (Family.BUCKETS, Value(60), True, 48 + 64),
        (Family.BUCKETS, Value(75, is_string=True), False, 112),
        (Family.BUCKETS, Value(75, is_string=True), True, 112),
    ],
)
def test_a_key_is_the_sum_of_its_allocations(family: Family, value: Value, expires: bool, size: int) -> None:
    """An entry, a name, an object and what is in it; Valkey has the name inside of the object."""
    assert key_bytes(family, 11, value, expires=expires) == size


def test_a_hash_of_long_texts_is_a_table() -> None:
    """One text that is too long is enough; in a compact hash that was restored none is."""
    fields = [(2, 5), (4, 100)]
    assert hash_value(fields, 130, most_compact=64).fields == ((2, 5), (4, 100))
    assert hash_value(fields, 130, most_compact=8192) == Value(130)
    apart = key_bytes(Family.CLASSIC, 11, Value(fields=((2, 5), (4, 100))))
    assert apart > key_bytes(Family.CLASSIC, 11, Value(130))


@pytest.mark.parametrize(
    ("family", "keys", "size"),
    [
        (Family.CLASSIC, 0, 0),
        (Family.CLASSIC, 1, 32),
        (Family.CLASSIC, 4, 32),
        (Family.CLASSIC, 5, 64),
        (Family.CLASSIC, 65_536, 524_288),
        (Family.CLASSIC, 65_537, 1_048_576),
        (Family.CLASSIC, 16_777_217, 268_435_456),
        (Family.BUCKETS, 0, 0),
    ],
)
def test_a_table_is_a_power_of_two(family: Family, keys: int, size: int) -> None:
    """Of slots of 8 bytes: the one key too many doubles it."""
    assert table_bytes(family, keys) == size


def test_a_table_of_buckets_has_chained_ones() -> None:
    """8,192 buckets for 57,344 keys, and more behind the full ones: fewer where the keys are fewer."""
    plain = 8192 * 64
    assert 1.2 * plain < table_bytes(Family.BUCKETS, 57_344) < 1.6 * plain
    assert 1.0 * 16_384 * 64 <= table_bytes(Family.BUCKETS, 57_345) < 1.1 * 16_384 * 64


@pytest.mark.parametrize("family", Family)
def test_tables_of_slots_grow_at_different_times(family: Family) -> None:
    """One for each slot: all together grow about as the keys do."""
    few, many = (table_bytes(family, keys, SLOTS) for keys in (500_000, 1_000_000))
    assert 1.5 < many / few < 2.5


@given(st.sampled_from(Family), st.integers(5, 10**8))
def test_the_last_doubling(family: Family, keys: int) -> None:
    """A table with one key less than the last doubling is half as large; with one more as large as now."""
    before = before_last_doubling(family, keys)
    if before < 8:
        return
    assert before < keys
    assert doubles(family, before, before + 1)
    assert not doubles(family, before + 1, keys)
    if family is Family.CLASSIC:
        assert 2 * table_bytes(family, before) == table_bytes(family, before + 1) == table_bytes(family, keys)


TEXTS = st.one_of(st.binary(max_size=200), st.integers(-(2**70), 2**70).map(lambda one: b"%d" % one))


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=8))
def test_the_size_of_a_compact_hash(fields: list[tuple[bytes, bytes]]) -> None:
    """It is that of the payload that is made."""
    payload = hash_payload(fields, Payload.LISTPACK)
    if payload[0] == 16:
        size = compact_bytes(fields)
        head = 1 + (1 if size < 64 else 2 if size < 1 << 14 else 5)
        assert size <= MOST_LISTPACK_BYTES
        assert size == len(payload) - head - 10
