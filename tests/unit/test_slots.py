"""The hash slots of a Redis Cluster, and how both encoders share keys out to its nodes."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardload.encoding import SLOTS, Form, Payload, make_encoder, make_routes, slot_of
from tests.layouts import straight
from tests.unit import wire


@pytest.mark.parametrize(
    ("key", "slot"),
    [
        (b"123456789", 0x31C3),  # the specification's example
        (b"foo", 12182),  # CLUSTER KEYSLOT says so, here and below
        (b"", 0),
        (b"foo{}{bar}", 8363),
        (b"{user1000}.following", 3443),
        (b"{user1000}.followers", 3443),
        (b"foo{{bar}}zap", 4015),
        (b"foo{bar}{zap}", 5061),
        (b"{bar", 4015),
        (b"a}b{c", 13587),
    ],
)
def test_the_slot_of_a_key(key: bytes, slot: int) -> None:
    """CRC16 of the key, or of its hash tag."""
    assert slot_of(key) == slot


def test_routes() -> None:
    """Each slot has the node of its interval."""
    routes = make_routes([(0, 99, 2), (100, 100, 1)])
    assert (len(routes), routes[0], routes[99], routes[100], routes[101]) == (SLOTS, 2, 2, 1, 0)


TAGGED = st.lists(st.sampled_from([b"{", b"}", b"a", b"b7", b"", b"\xff"]), max_size=6).map(b"".join)


@settings(deadline=None)
@given(
    st.lists(st.tuples(TAGGED, st.none() | TAGGED), max_size=30),
    st.integers(1, 40),
    st.sampled_from(
        [Form(), Form(Payload.LISTPACK, 5000, 500), Form(None, 5000, 0, True), Form(Payload.PLAIN, rdb=True)]
    ),
)
def test_both_encoders_write_the_same_parts(rows: list[tuple[bytes, bytes | None]], nodes: int, form: Form) -> None:
    """Every key goes to the node of its slot, hash tags that come out of the data too, and both encoders agree."""
    layout = straight(("name", "id"))
    routes = array("H", [slot % nodes for slot in range(SLOTS)])
    parts = []
    for native in (False, True):
        encoder = make_encoder(layout, form, native=native)
        encoder.route(routes)
        encoder.begin(0)
        batch = encoder.encode(wire.stream([*(wire.row(list(row)) for row in rows), wire.END])[0])
        assert batch.keys == sum(part.keys for part in batch.parts)
        parts.append([(part.node, part.keys, bytes(part.commands)) for part in batch.parts])
    assert parts[0] == parts[1]
    keys = [slot_of(b"k:" + name) % nodes for name, _ in rows]
    assert [(node, count) for node, count, _ in parts[0]] == [(node, keys.count(node)) for node in sorted(set(keys))]


def test_parts_outlive_later_batches() -> None:
    """What is held of earlier batches does not change, and what was released is written into again."""
    encoder = make_encoder(straight(), Form(), native=True)
    encoder.route(make_routes([(0, SLOTS // 2, 0), (SLOTS // 2 + 1, SLOTS - 1, 1)]))
    held = []
    for number in range(20):
        encoder.begin(0)
        batch = encoder.encode(wire.stream([wire.row([b"%d" % (100 * number + row)]) for row in range(50)])[0])
        held += [(part.commands, bytes(part.commands)) for part in batch.parts]
        if number % 3 == 0:
            del held[:2]
    assert all(bytes(commands) == was for commands, was in held)
    encoder.route(None)
    encoder.begin(0)
    assert [part.node for part in encoder.encode(wire.stream([wire.row([b"1"])])[0]).parts] == [0]


def test_routes_of_the_wrong_length() -> None:
    """They are refused: the native encoder would read behind them."""
    encoder = make_encoder(straight(), Form(), native=True)
    with pytest.raises(ValueError, match="routes of 3 slots"):
        encoder.route(array("H", [0, 0, 0]))
