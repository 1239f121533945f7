"""Both encoders write the same bytes for any rows, any form, and a stream cut anywhere."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardload.encoding import Encoder, Form, Layout, Payload, is_native_built, make_encoder
from shardload.encoding import payload as reference_payload
from shardload.encoding.payload import crc64
from shardload.errors import MalformedPacket

if not is_native_built() and not os.environ.get("CI"):
    pytest.skip("the native encoder is not built here", allow_module_level=True)

FORMS = [
    Form(),
    Form(ttl_ms=86_400_000, jitter_ms=8_640_000),
    Form(whole=True),
    Form(ttl_ms=5000, whole=True),
    Form(Payload.LISTPACK),
    Form(Payload.LISTPACK, ttl_ms=1000, jitter_ms=999),
    Form(Payload.PLAIN, ttl_ms=5000),
]
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


def test_a_layout_that_uses_more_columns_than_it_has_is_refused() -> None:
    """The native encoder trusts its layout while it encodes, so it checks the layout when it is made."""
    for layout in (
        Layout(("id",), 2, (0,), (0,), False),
        Layout(("id",), 1, (1,), (0,), False),
        Layout(("id",), 1, (0,), (1,), False),
    ):
        with pytest.raises(ValueError, match="a layout of 1 columns"):
            make_encoder(layout, Form(), native=True)


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


def fed(encoder: Encoder, stream: bytes, sequence: int, cuts: Sequence[int]) -> tuple[object, ...]:
    """Everything that an encoder makes of the stream, which it gets in pieces that end at `cuts`."""
    encoder.begin(sequence)
    commands, rows, skipped, keys, told, ended = b"", 0, 0, 0, [], False
    start = 0
    for cut in sorted({min(cut, len(stream)) for cut in cuts} | {len(stream)}):
        batch = encoder.encode(stream[start:cut])
        start += batch.consumed_bytes
        commands += bytes(batch.commands)
        rows, skipped, keys = rows + batch.rows_read, skipped + batch.rows_skipped, keys + batch.keys
        told += batch.set_aside
        ended = batch.ended
    return commands, rows, skipped, keys, told, ended, start


@settings(deadline=None, max_examples=300)
@given(
    ROWS, st.sampled_from(FORMS), st.booleans(), st.integers(1, len(NAMES)), st.integers(0, 255),
    st.lists(st.integers(0, 4000), max_size=4),
)  # fmt: skip
def test_the_same_bytes(
    rows: list[tuple[bytes | None, ...]], form: Form, empty: bool, written: int, sequence: int, cuts: list[int]
) -> None:
    """Commands, counts and rows set aside are equal for any rows, any form, and any cuts."""
    layout = Layout(NAMES, written, (b"k:", 0, b":", 1), (0,), empty)
    stream = wire(rows, sequence)
    reference, native = (make_encoder(layout, form, native=native) for native in (False, True))
    assert reference.replies_per_key == native.replies_per_key
    assert fed(native, stream, sequence, cuts) == fed(reference, stream, sequence, cuts)


@settings(deadline=None, max_examples=500)
@given(ROWS, st.sampled_from(FORMS), st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=3),
       st.integers(0, 3000))  # fmt: skip
def test_the_same_errors(
    rows: list[tuple[bytes | None, ...]], form: Form, damage: list[tuple[int, int]], length: int
) -> None:
    """Both encoders accept a damaged stream with the same result, or refuse it with the same error."""
    layout = Layout(NAMES, 3, (b"k:", 0), (0,), False)
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
    encoder = make_encoder(Layout(NAMES, 3, (b"k:", 0), (0,), False), FORMS[0], native=native)
    encoder.begin(0)
    with pytest.raises(MalformedPacket, match="the end at offset 4 announces another result set"):
        encoder.encode(b"\x05\0\0\0\xfe\0\0\x0a\0")


@pytest.mark.parametrize("form", FORMS)
def test_continued_packets(form: Form, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both agree on rows of 16 MiB - 1 and more, and on a first value of 16 MiB, which starts with 0xFE."""
    # Over so many bytes the reference's checksum takes half a minute; test_both_checksums holds that this one is equal.
    from shardload.encoding.native._native import checksums

    monkeypatch.setattr(reference_payload, "crc64", lambda data: checksums(data)[1])
    layout = Layout(("id", "body"), 2, (b"k:", 0), (0,), False)
    rows: list[list[bytes | None]] = [[b"1", b"x" * (0xFFFFFF - 6)], [b"2", b"y" * (1 << 24)], [b"3", None]]
    stream = wire(rows, 250)
    reference, native = (make_encoder(layout, form, native=native) for native in (False, True))
    cuts = [3, 100, 1 << 24, (1 << 24) + 2, len(stream) - 3]
    assert fed(native, stream, 250, cuts) == fed(reference, stream, 250, cuts)
    first = wire([[b"z" * (1 << 24), b"1"]], 0)
    swapped = Layout(("body", "id"), 2, (b"k:", 1), (1,), False)
    reference, native = (make_encoder(swapped, form, native=native) for native in (False, True))
    assert fed(native, first, 0, []) == fed(reference, first, 0, [])


def test_more_fields_than_a_listpack_takes() -> None:
    """Both write 512 fields as a listpack, and 513 as a plain hash."""
    for count in (511, 512, 513):
        names = tuple(f"f{n}" for n in range(count))
        layout = Layout(names, count, (b"k",), (0,), False)
        stream = wire([[b"1"] * count], 0)
        form = Form(Payload.LISTPACK)
        reference, native = (make_encoder(layout, form, native=native) for native in (False, True))
        assert fed(native, stream, 0, []) == fed(reference, stream, 0, [])


def test_a_batch_outlives_the_next() -> None:
    """The commands of a batch that is still referenced do not change with the next batch."""
    encoder = make_encoder(Layout(("id",), 1, (b"k:", 0), (0,), False), Form(), native=True)
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
