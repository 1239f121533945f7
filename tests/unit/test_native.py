"""Both encoders write the same bytes for any rows, any form, and a stream cut anywhere."""

from __future__ import annotations

import json
import os
import struct
from array import array
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardload.encoding import (
    Conversion,
    Encoder,
    Field,
    Form,
    JsonType,
    Layout,
    Lookup,
    NullRule,
    Payload,
    Shape,
    Slot,
    is_native_built,
    make_encoder,
)
from shardload.encoding import payload as reference_payload
from shardload.encoding.conversions import shortest_float
from shardload.encoding.payload import crc64
from shardload.errors import MalformedPacket
from shardload.model.columns import Reading
from shardload.target.commands import words_of
from tests.layouts import straight

if not is_native_built() and not os.environ.get("CI"):
    pytest.skip("the native encoder is not built here", allow_module_level=True)

FORMS = [
    Form(),
    Form(fingerprints=True),
    Form(shape=Shape.JSON, dated=True, fingerprints=True),
    Form(dated=True, whole=True, ttl_ms=7),
    Form(dated=True),
    Form(Payload.LISTPACK, keeps=True, dated=True),
    Form(shape=Shape.JSON),
    Form(shape=Shape.JSON, ttl_ms=1000, jitter_ms=999, keeps=True),
    Form(shape=Shape.JSON, dated=True),
    Form(shape=Shape.REDISJSON),
    Form(shape=Shape.REDISJSON, whole=True, dated=True),
    Form(shape=Shape.REDISJSON, keeps=True),
    Form(ttl_ms=86_400_000, jitter_ms=8_640_000),
    Form(whole=True),
    Form(ttl_ms=5000, whole=True),
    Form(Payload.LISTPACK),
    Form(Payload.LISTPACK, ttl_ms=1000, jitter_ms=999),
    Form(Payload.PLAIN, ttl_ms=5000),
    Form(reads=True),
    Form(Payload.LISTPACK, reads=True, ttl_ms=1000, jitter_ms=999, fingerprints=True),
    Form(shape=Shape.JSON, reads=True, dated=True, ttl_ms=7),
    Form(shape=Shape.REDISJSON, reads=True, whole=True, dated=True),
    Form(Payload.LISTPACK, rdb=True),
    Form(Payload.LISTPACK, rdb=True, ttl_ms=1000, jitter_ms=999, fingerprints=True),
    Form(Payload.PLAIN, rdb=True, dated=True, ttl_ms=7, whole=True),
    Form(Payload.PLAIN, rdb=True, reads=True, ttl_ms=7),
    Form(Payload.PLAIN, shape=Shape.JSON, rdb=True, dated=True),
]
STRINGS = [Form(shape=Shape.STRING), Form(shape=Shape.STRING, keeps=True, reads=True),
           Form(shape=Shape.STRING, keeps=True), Form(shape=Shape.STRING, reads=True),
           Form(shape=Shape.STRING, rdb=True, dated=True, ttl_ms=5)]  # fmt: skip
NAMES = ("id", "name", "a" * 70, "42", "ünïcode")
INTEGERS = st.sampled_from(
    b"0|-0|00|01|-1|+1||-|127|128|-4096|-4097|4095|4096|32767|32768|-32768|-32769|8388607|8388608|-8388608|2147483647|"
    b"2147483648|-2147483648|-2147483649|9223372036854775807|9223372036854775808|-9223372036854775808|"
    b"-9223372036854775809|18446744073709551615|99999999999999999999|1.5|1e3| 1|1 ".split(b"|")
)
LENGTHS = st.sampled_from(
    [62, 63, 64, 65, 125, 126, 127, 250, 251, 255, 4090, 4095, 4096, 8170, 8192, 16383, 16384, 65536]
)
VALUES = st.one_of(
    st.none(), INTEGERS, st.binary(max_size=80), st.integers(-(2**64), 2**64).map(lambda n: b"%d" % n),
    st.builds(lambda length, byte: byte * length, LENGTHS, st.sampled_from([b"x", b"7", b"\xff"])),
)  # fmt: skip
ROWS = st.lists(st.tuples(*[VALUES] * len(NAMES)), max_size=6)


NULLS = st.sampled_from([NullRule(), NullRule(as_empty=True), NullRule(as_null=True)])
CONVERSIONS = st.sampled_from(Conversion)
COLUMNS = st.integers(0, len(NAMES) - 1)
TEXTS = st.lists(
    st.one_of(st.binary(max_size=5), st.builds(Slot, COLUMNS, CONVERSIONS)), min_size=1, max_size=4
).map(tuple)  # fmt: skip
FIELDS = st.lists(
    st.builds(Field, st.text(max_size=40), st.one_of(COLUMNS, COLUMNS, st.binary(max_size=9)), CONVERSIONS,
              st.sampled_from(JsonType)),
    min_size=1, max_size=6,
).map(tuple)  # fmt: skip
LOOKUPS = st.lists(st.builds(Lookup, TEXTS, TEXTS), max_size=2).map(tuple)
FLOATS = st.one_of(
    st.floats(width=32, allow_nan=False).map(lambda number: repr(number).encode()),
    st.sampled_from(b"0|-0|-0.0|1e20|1.5e-7|340282346638528860000000000000000000000|3.4028236e38|1e999|1e|e1|1e+|-|.|"
                    b"1.1.1|--1|1e-400|16777217|0.1|1_0|nan|inf| 1|1e5 |9e9|1234567|0.0001|0.00001|1e16|"
                    b"0.00011490920587675646|1.1674979581036527e-11|-123456792|299999995297792|-3e14".split(b"|")),
)  # fmt: skip


def test_a_layout_that_uses_more_columns_than_it_has_is_refused() -> None:
    """The native encoder trusts its layout while it encodes, so a layout is checked when it is made."""
    good = straight(["id"], 1, (Slot(0),))
    for wrong in (
        {"fields": (Field("id", 1),)}, {"key": (Slot(1),)}, {"row_id": (Slot(1),)}, {"expiry": 1}, {"expiry": -1},
        {"lookups": (Lookup((b"",), (Slot(7),)),)}, {"key": (Slot(-1),)}, {"readings": ()},
    ):  # fmt: skip
        with pytest.raises(ValueError, match="a layout of 1 columns"):
            replace(good, **wrong)
    for native in (False, True):
        with pytest.raises(ValueError, match="a string of 2 fields"):
            make_encoder(straight(["a", "b"], 2, (Slot(0),)), Form(shape=Shape.STRING), native=native)


def length_encoded(length: int) -> bytes:
    """A length as MySQL's protocol encodes it."""
    if length < 0xFB:
        return bytes([length])
    if length < 1 << 16:
        return b"\xfc" + length.to_bytes(2, "little")
    if length < 1 << 24:
        return b"\xfd" + length.to_bytes(3, "little")
    return b"\xfe" + length.to_bytes(8, "little")


def wire(rows: Sequence[Sequence[bytes | None]], sequence: int) -> bytes:
    """The rows and a clean end, as MySQL sends them."""
    stream = b""
    payloads = [b"".join(b"\xfb" if v is None else length_encoded(len(v)) + v for v in row) for row in rows]
    for payload in [*payloads, b"\xfe\x00\x00\x02\x00"]:
        while True:
            piece, payload = payload[:0xFFFFFF], payload[0xFFFFFF:]
            stream += len(piece).to_bytes(3, "little") + bytes([sequence]) + piece
            sequence = (sequence + 1) & 0xFF
            if len(piece) < 0xFFFFFF:
                break
    return stream


def fed(encoder: Encoder, stream: bytes, sequence: int, cuts: Sequence[int], now_ms: int = 0) -> tuple[object, ...]:
    """Everything that an encoder makes of the stream, which it gets in pieces that end at `cuts`."""
    encoder.begin(sequence, now_ms)
    commands: list[object] = []
    rows, skipped, keys, told, ended = 0, 0, 0, [], False
    start = 0
    for cut in sorted({min(cut, len(stream)) for cut in cuts} | {len(stream)}):
        batch = encoder.encode(stream[start:cut])
        start += batch.consumed_bytes
        commands += [
            (
                part.node,
                part.keys,
                bytes(part.commands),
                part.replies,
                part.is_lookup,
                bytes(part.answers),
                part.expiring,
            )
            for part in batch.parts
        ]
        commands.append(batch.fingerprints)
        assert sum(part.keys for part in batch.parts) == batch.keys + batch.lookups
        rows, skipped, keys = rows + batch.rows_read, skipped + batch.rows_skipped, keys + batch.keys
        told += batch.set_aside
        ended = batch.ended
    return commands, rows, skipped, keys, told, ended, start


@settings(deadline=None, max_examples=300)
@given(
    ROWS, st.sampled_from(FORMS), NULLS, st.integers(1, len(NAMES)), st.integers(0, 255),
    st.lists(st.integers(0, 4000), max_size=4),
)  # fmt: skip
def test_the_same_bytes(
    rows: list[tuple[bytes | None, ...]], form: Form, null: NullRule, written: int, sequence: int, cuts: list[int]
) -> None:
    """Commands, counts and rows set aside are equal for any rows, any form, and any cuts."""
    layout = straight(NAMES, written, (b"k:", Slot(0), b":", Slot(1)), null)
    stream = wire(rows, sequence)
    reference, native = (make_encoder(layout, form, native=native) for native in (False, True))
    assert reference.replies_per_key == native.replies_per_key
    assert fed(native, stream, sequence, cuts) == fed(reference, stream, sequence, cuts)


@settings(deadline=None, max_examples=500)
@given(ROWS, st.sampled_from([*FORMS, *STRINGS]), FIELDS,
       TEXTS, LOOKUPS, NULLS, st.sampled_from([None, 0, 2]), st.sampled_from([0, 127, 32768]))  # fmt: skip
def test_the_same_bytes_for_any_layout(
    rows: list[tuple[bytes | None, ...]], form: Form, fields: tuple[Field, ...], key: tuple[bytes | Slot, ...],
    lookups: tuple[Lookup, ...], null: NullRule, expiry: int | None, now_ms: int,
) -> None:  # fmt: skip
    """Conversions, constants, lookups and dates: both encoders write the same, and every node its part."""
    if form.shape is Shape.STRING:
        fields = fields[:1]
    layout = Layout(NAMES, (Reading.PLAIN,) * len(NAMES), fields, key, (Slot(0, Conversion.HEX), Slot(1)), null,
                    lookups, expiry)  # fmt: skip
    reference, native = (make_encoder(layout, form, native=native) for native in (False, True))
    stream = wire(rows, 0)
    assert fed(native, stream, 0, [], now_ms) == fed(reference, stream, 0, [], now_ms)
    routes = array("H", [slot % 3 for slot in range(16384)])
    for encoder in (reference, native):
        encoder.route(routes)
    assert fed(native, stream, 0, [], now_ms) == fed(reference, stream, 0, [], now_ms)


@settings(deadline=None, max_examples=500)
@given(st.lists(FLOATS, min_size=1))
def test_the_same_floats(texts: list[bytes]) -> None:
    """Both write the same shortest text, which gives the same FLOAT again."""
    layout = Layout(("f",), (Reading.DOUBLE,), (Field("f", 0, Conversion.FLOAT),), (b"k",))
    form = Form(shape=Shape.STRING)
    reference, native = (make_encoder(layout, form, native=native) for native in (False, True))
    stream = wire([[text] for text in texts], 0)
    assert fed(native, stream, 0, []) == fed(reference, stream, 0, [])


@settings(deadline=None)
@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float_is_shortest_and_exact(number: float) -> None:
    """What MySQL would write with fewer digits would be another FLOAT."""
    text = shortest_float(repr(number).encode())
    assert struct.pack("<f", float(text)) == struct.pack("<f", number)
    assert len(text) <= max(16, len(b"%.9g" % number))


@settings(deadline=None)
@given(st.text(max_size=60), st.sampled_from(["", "x" * 7, "y" * 8, "z" * 100]))
def test_json_reads_as_it_was(text: str, more: str) -> None:
    """Python's parser reads the same text, from both encoders."""
    value = (more + text + more).encode("utf-8", "replace")
    layout = straight(["a"], 1, (b"k",))
    for native in (False, True):
        encoder = make_encoder(layout, Form(shape=Shape.JSON), native=native)
        encoder.begin(0)
        written = words_of(bytes(encoder.encode(wire([[value]], 0)).commands))
        assert json.loads(written[2]) == {"a": value.decode()}


@settings(deadline=None, max_examples=500)
@given(ROWS, st.sampled_from(FORMS), st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=3),
       st.integers(0, 3000))  # fmt: skip
def test_the_same_errors(
    rows: list[tuple[bytes | None, ...]], form: Form, damage: list[tuple[int, int]], length: int
) -> None:
    """Both encoders accept a damaged stream with the same result, or refuse it with the same error."""
    layout = straight(NAMES, 3, (b"k:", Slot(0)))
    damaged = bytearray(wire(rows, 0))
    for at, byte in damage:
        if at < len(damaged):
            damaged[at] = byte
    stream = bytes(damaged[:length] if length < 2500 else damaged)
    results = []
    for native in (False, True):
        try:
            results.append(fed(make_encoder(layout, form, native=native), stream, 0, []))
        except MalformedPacket as error:
            results.append((str(error),))
    assert results[0] == results[1]


@pytest.mark.parametrize("native", [False, True])
def test_an_end_that_announces_another_result(native: bool) -> None:
    """SERVER_MORE_RESULTS_EXISTS is refused: no query of shardload's has two results."""
    encoder = make_encoder(straight(NAMES, 3, (b"k:", Slot(0))), FORMS[0], native=native)
    encoder.begin(0)
    with pytest.raises(MalformedPacket, match="the end at offset 4 announces another result set"):
        encoder.encode(b"\x05\0\0\0\xfe\0\0\x0a\0")


@pytest.mark.parametrize("form", FORMS)
def test_continued_packets(form: Form, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both agree on rows of 16 MiB - 1 and more, and on a first value of 16 MiB, which starts with 0xFE."""
    # Over so many bytes the reference's checksum takes half a minute; test_both_checksums holds that this one is equal.
    from shardload.encoding.native._native import checksums

    monkeypatch.setattr(reference_payload, "crc64", lambda data: checksums(data)[1])
    layout = straight(("id", "body"), 2, (b"k:", Slot(0)))
    rows: list[list[bytes | None]] = [[b"1", b"x" * (0xFFFFFF - 6)], [b"2", b"y" * (1 << 24)], [b"3", None]]
    stream = wire(rows, 250)
    reference, native = (make_encoder(layout, form, native=native) for native in (False, True))
    cuts = [3, 100, 1 << 24, (1 << 24) + 2, len(stream) - 3]
    assert fed(native, stream, 250, cuts) == fed(reference, stream, 250, cuts)
    first = wire([[b"z" * (1 << 24), b"1"]], 0)
    swapped = straight(("body", "id"), 2, (b"k:", Slot(1)))
    reference, native = (make_encoder(swapped, form, native=native) for native in (False, True))
    assert fed(native, first, 0, []) == fed(reference, first, 0, [])


def test_more_fields_than_a_listpack_takes() -> None:
    """Both write 512 fields as a listpack, and 513 as a plain hash."""
    for count in (511, 512, 513):
        names = tuple(f"f{n}" for n in range(count))
        layout = straight(names, count, (b"k",))
        stream = wire([[b"1"] * count], 0)
        form = Form(Payload.LISTPACK)
        reference, native = (make_encoder(layout, form, native=native) for native in (False, True))
        assert fed(native, stream, 0, []) == fed(reference, stream, 0, [])


def test_a_batch_outlives_the_next() -> None:
    """The commands of a batch that is still referenced do not change with the next batch."""
    encoder = make_encoder(straight(("id",), 1, (b"k:", Slot(0))), Form(), native=True)
    encoder.begin(0)
    first = encoder.encode(wire([[b"1"]], 0)[:6])
    kept = bytes(first.commands)
    encoder.encode(wire([[b"2" * 5000]] * 900, 1))
    assert bytes(first.commands) == kept


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_both_checksums(data: bytes) -> None:
    """Folding and slicing give the same checksum as the reference's table."""
    from shardload.encoding.native._native import checksums

    assert checksums(data) == (crc64(data), crc64(data))
