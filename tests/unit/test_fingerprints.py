"""Fingerprints of keys, and the tally of those that come more than once, in Python and in Cython."""

from __future__ import annotations

import os
import random
from array import array
from collections import Counter

import pytest

from shardload.encoding import Form, Lookup, Slot, fingerprint_of, is_native_built, make_encoder, make_tally, slots_in
from shardload.encoding.fingerprints import END, most_of
from tests.layouts import straight
from tests.unit.test_native import wire

NATIVE = [False, True] if is_native_built() or os.environ.get("CI") else [False]
SEED = int(os.environ.get("SHARDLOAD_TEST_SEED", "0")) or random.randrange(1, 2**31)
both = pytest.mark.parametrize("native", NATIVE)


def packed(numbers: list[int]) -> bytes:
    """Fingerprints, as a batch has them."""
    return array("Q", numbers).tobytes()


@both
def test_every_key_and_lookup_has_one(native: bool) -> None:
    """The row's own comes first; rows that are set aside have none; nothing unless it is asked for."""
    layout = straight(("id", "mail"), None, (b"u:", Slot(0)))
    layout = type(layout)(layout.columns, layout.readings, layout.fields, layout.key, layout.row_id,
                          lookups=(Lookup((b"m:", Slot(1)), (Slot(0),)),))  # fmt: skip
    stream = wire([[b"1", b"a"], [b"2", None], [None, b"c"]], 0)
    for wanted in (True, False):
        encoder = make_encoder(layout, Form(fingerprints=wanted), native=native)
        encoder.begin(0)
        batch = encoder.encode(stream)
        keys = [b"u:1", b"m:a", b"u:2"] if wanted else []
        assert batch.fingerprints == packed([fingerprint_of(key) for key in keys])


def test_leading_nuls_count() -> None:
    """A CRC that starts with 0 does not see them."""
    assert len({fingerprint_of(b"\0" * length) for length in range(9)}) == 9


@both
def test_the_ones_that_come_again_are_counted(native: bool) -> None:
    """Each once, however often it comes, and in whatever piece; the extremes, too."""
    tally = make_tally(1000, 3, native=native)
    assert tally.add(packed([0, 1 << 63, END - 1, 7, 7, 7, 8]))
    assert tally.add(packed([9, 0, END - 1, 8]))
    assert (tally.shared, tally.examples) == (4, [7, 1, END - 1])


@both
def test_a_pass_counts_its_own_alone(native: bool) -> None:
    """The lower end belongs to it, the upper does not; the pass before is forgotten."""
    tally = make_tally(1000, 9, native=native)
    tally.add(packed([5, 6, 19, 20]))
    tally.begin(6, 20)
    tally.add(packed([5, 5, 6, 6, 19, 19, 20, 20]))
    assert (tally.shared, tally.examples) == (2, [6, 19])
    tally.begin(20, END)
    tally.add(packed([5, 5, 20, END - 1, END - 1]))
    assert (tally.shared, tally.examples) == (1, [END - 1])


@both
def test_more_than_fit_are_refused(native: bool) -> None:
    """Different ones count, the same one again does not."""
    slots = 100
    tally = make_tally(slots, 9, native=native)
    assert tally.add(packed([n * 977 for n in range(most_of(slots))] * 3))
    assert tally.shared == most_of(slots)
    assert not tally.add(packed([2]))


def test_both_count_the_same() -> None:
    """Random ones, many of them twice or oftener, against a plain count."""
    print("seed", SEED)
    rng = random.Random(SEED)
    pool = [rng.randrange(END) for _ in range(3000)]
    numbers = [rng.choice(pool) for _ in range(4000)]
    shared = [number for number, times in Counter(numbers).items() if times > 1]
    for native in NATIVE:
        tally = make_tally(slots_in(40_000), 10_000, native=native)
        assert tally.add(packed(numbers))
        assert (tally.shared, set(tally.examples)) == (len(shared), set(shared))
