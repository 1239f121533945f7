"""Rows as entries of an RDB file: exact bytes, from both encoders."""

from __future__ import annotations

import os
from array import array
from dataclasses import replace
from typing import Any

import pytest

from shardload.encoding import Batch, Field, Form, Layout, Lookup, Payload, Shape, Slot, is_native_built, make_encoder
from shardload.encoding.entries import entry
from shardload.encoding.payload import Fields, hash_payload, hash_value, string_value
from shardload.encoding.slots import slot_of
from shardload.model.columns import Reading
from tests.unit import wire

NATIVE = pytest.mark.skipif(not is_native_built() and not os.environ.get("CI"), reason="it is not built here")
ENCODERS = pytest.mark.parametrize("native", [False, pytest.param(True, marks=NATIVE)])
NOW_MS = 1_700_000_000_000
LISTPACK, PLAIN = Form(Payload.LISTPACK, rdb=True), Form(Payload.PLAIN, rdb=True)
JSON, STRING = Form(shape=Shape.JSON, rdb=True), Form(shape=Shape.STRING, rdb=True)
ADA = b"\x04\x03k:1\x01\x01n\x03Ada"  # a plain hash
COMPACT_ADA = b"\x0f" + b"\x0f\0\0\0\x02\0" + b"\x81n\x02" + b"\x83Ada\x04" + b"\xff"
COMPACT_7 = b"\x0c" + b"\x0c\0\0\0\x02\0" + b"\x81n\x02" + b"\x07\x01" + b"\xff"


def layout(shape: Shape = Shape.HASH, lookups: tuple[Lookup, ...] = (), *, dated: bool = False) -> Layout:
    """Keys `k:{id}` with the field n; the third column says when a key expires."""
    fields = (Field("n", 1),)
    return Layout(
        ("id", "n", "at"), (Reading.PLAIN,) * 3, fields, (b"k:", Slot(0)), (Slot(0),),
        lookups=lookups, expiry=2 if dated else None,
    )  # fmt: skip


def encoded(form: Form, rows: list[wire.Row], native: bool, routes: array[int] | None = None, **more: Any) -> Batch:
    """One batch of these rows."""
    encoder = make_encoder(layout(dated=form.dated, **more), form, native=native)
    encoder.route(routes)
    encoder.begin(0, NOW_MS)
    return encoder.encode(wire.stream([*map(wire.row, rows), wire.END])[0])


@ENCODERS
@pytest.mark.parametrize(
    ("form", "value", "expected"),
    [
        pytest.param(PLAIN, b"Ada", ADA, id="a plain hash"),
        pytest.param(LISTPACK, b"Ada", b"\x10\x03k:1" + COMPACT_ADA, id="listpack"),
        pytest.param(LISTPACK, b"7", b"\x10\x03k:1" + COMPACT_7, id="an integer in a listpack"),
        pytest.param(LISTPACK, b"x" * 9000, b"\x04\x03k:1\x01\x01n\x63\x28" + b"x" * 9000, id="beyond a listpack"),
        pytest.param(PLAIN, b"x" * 63, b"\x04\x03k:1\x01\x01n\x3f" + b"x" * 63, id="6 bits"),
        pytest.param(PLAIN, b"x" * 64, b"\x04\x03k:1\x01\x01n\x40\x40" + b"x" * 64, id="14 bits"),
        pytest.param(STRING, b"x" * 16384, b"\x00\x03k:1\x80\x00\x00\x40\x00" + b"x" * 16384, id="32 bits"),
        pytest.param(JSON, b"Ada", b'\x00\x03k:1\x0b{"n":"Ada"}', id="JSON"),
        pytest.param(STRING, b"42", b"\x00\x03k:1\x0242", id="a string that is a number"),
        pytest.param(STRING, b"", b"\x00\x03k:1\x00", id="an empty string"),
        pytest.param(replace(PLAIN, ttl_ms=5000), b"Ada",
                     b"\xfc" + (NOW_MS + 5000).to_bytes(8, "little") + ADA, id="a TTL counts from begin"),
        pytest.param(replace(PLAIN, whole=True), b"Ada", ADA, id="nobody sees half of it"),
    ],
)  # fmt: skip
def test_one_row(native: bool, form: Form, value: bytes, expected: bytes) -> None:
    """The entry, and what is counted: nobody replies."""
    batch = encoded(form, [[b"1", value, None]], native)
    (part,) = batch.parts
    assert bytes(part.commands) == expected
    assert (part.keys, part.replies, part.expiring) == (1, 0, int(form.expires))
    assert (batch.rows_read, batch.keys, batch.rows_skipped, batch.target_bytes) == (1, 1, 0, len(expected))


@ENCODERS
def test_when_keys_expire(native: bool) -> None:
    """A row says when; one that does not has the TTL; one whose time has come is skipped, as in commands."""
    form = Form(Payload.PLAIN, ttl_ms=9, dated=True, rdb=True)
    rows: list[wire.Row] = [
        [b"1", b"Ada", b"%d" % (NOW_MS + 1)], [b"2", b"Eve", b"%d" % NOW_MS], [b"3", b"Bob", None], [b"4", b"Al", b"x"],
    ]  # fmt: skip
    batch = encoded(form, rows, native)
    times = [b"\xfc" + (NOW_MS + left).to_bytes(8, "little") for left in (1, 9)]
    assert bytes(batch.commands) == times[0] + ADA + times[1] + b"\x04\x03k:3\x01\x01n\x03Bob"
    assert (batch.keys, batch.rows_skipped, batch.parts[0].expiring) == (2, 1, 2)
    by_commands = encoded(replace(form, rdb=False), rows, native)
    for name in ("rows_read", "rows_skipped", "keys", "set_aside", "consumed_bytes"):
        assert getattr(batch, name) == getattr(by_commands, name)
    assert by_commands.parts[0].expiring == 0
    never = encoded(replace(form, ttl_ms=0), rows, native)
    assert (never.keys, never.parts[0].expiring) == (2, 1)


@ENCODERS
def test_a_jitter_is_the_keys_own(native: bool) -> None:
    """It is that of the TTL in commands."""
    form = Form(Payload.PLAIN, ttl_ms=3_600_000, jitter_ms=360_000, rdb=True)
    entries = bytes(encoded(form, [[b"1", b"Ada", None]], native).commands)
    assert int.from_bytes(entries[1:9], "little") == NOW_MS + form.ttl_of(b"k:1")
    assert form.ttl_of(b"k:1") != form.ttl_ms


@ENCODERS
def test_lookups_are_strings(native: bool) -> None:
    """They are in parts of their own, and expire with their row's key."""
    lookups = (Lookup((b"l:", Slot(1)), (b"k:", Slot(0))),)
    batch = encoded(replace(PLAIN, ttl_ms=5), [[b"1", b"Ada", None], [b"2", None, None]], native, lookups=lookups)
    rows, more = batch.parts
    time = b"\xfc" + (NOW_MS + 5).to_bytes(8, "little")
    assert bytes(rows.commands) == time + ADA
    assert bytes(more.commands) == time + b"\x00\x05l:Ada\x03k:1"
    assert (more.is_lookup, more.keys, more.replies, more.expiring) == (True, 1, 0, 1)
    assert (batch.keys, batch.lookups, batch.rows_skipped) == (1, 1, 1)


@ENCODERS
def test_every_node_has_its_entries(native: bool) -> None:
    """By the key's slot, as commands; each part counts its keys and those that expire."""
    form = Form(Payload.PLAIN, dated=True, rdb=True)
    rows: list[wire.Row] = [[b"%d" % n, b"x", b"%d" % (NOW_MS + n) if n % 3 else None] for n in range(1, 200)]
    batch = encoded(form, rows, native, array("H", [slot % 7 for slot in range(16384)]))
    assert [part.node for part in batch.parts] == list(range(7))
    for part in batch.parts:
        mine = [n for n in range(1, 200) if slot_of(b"k:%d" % n) % 7 == part.node]
        value = hash_value([(b"n", b"x")], Payload.PLAIN)
        assert bytes(part.commands) == b"".join(
            entry(b"k:%d" % n, value, NOW_MS + n if n % 3 else 0) for n in mine
        )  # fmt: skip
        assert (part.keys, part.expiring) == (len(mine), sum(1 for n in mine if n % 3))


@ENCODERS
def test_a_form_that_reads_asks_all_the_same(native: bool) -> None:
    """What was loaded from a file is asked for as what was written by commands."""
    rows: list[wire.Row] = [[b"1", b"Ada", None]]
    asked, expected = (
        encoded(Form(Payload.PLAIN, ttl_ms=5, reads=True, rdb=rdb), rows, native).parts for rdb in (True, False)
    )
    assert [(bytes(part.commands), part.replies, bytes(part.answers), part.expiring) for part in asked] == [
        (bytes(part.commands), part.replies, bytes(part.answers), 0) for part in expected
    ]
    assert Form(Payload.PLAIN, rdb=True, reads=True).replies_per_lookup == 2


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({}, "no layout"), ({"shape": Shape.REDISJSON}, "documents"),
        ({"payload": Payload.PLAIN, "keeps": True}, "keeps nothing"),
        ({"shape": Shape.JSON, "keeps": True}, "keeps nothing"),
    ],
)  # fmt: skip
def test_what_a_file_cannot_have(settings: dict[str, Any], what: str) -> None:
    """Hashes without a layout, documents of the JSON module; nor can it leave a key as it is."""
    with pytest.raises(ValueError, match=what):
        Form(rdb=True, **settings)


@pytest.mark.parametrize("fields", [[(b"a", b"1")], [(b"a", b"x" * 9000), (b"", b"")]])
@pytest.mark.parametrize("wish", list(Payload))
def test_a_value_is_a_payload_without_its_footer(fields: Fields, wish: Payload) -> None:
    """Two bytes of version, eight of checksum."""
    assert hash_value(fields, wish) == hash_payload(fields, wish)[:-10]


def test_a_time_is_a_signed_number() -> None:
    """As Redis reads it; 0 stands for none."""
    assert entry(b"k", string_value(b"v"), -1) == b"\xfc" + b"\xff" * 8 + b"\x00\x01k\x01v"
    assert entry(b"k", string_value(b"v")) == b"\x00\x01k\x01v"
