"""Fuzz target: any bytes as MySQL's stream, and as Redis's answers. Both encoders must write the same commands, or
refuse with the same error, both comparisons find the same keys, and the native code must never read or write outside
its buffers.

Coverage comes from the reference, which atheris instruments. AddressSanitizer checks the native encoder if it was
built so (tests/integration/test_fuzz.py does both). To run it by hand:
    mkdir corpus && .venv/bin/python tests/fuzz/encoder.py corpus -max_len=16384 -max_total_time=60
"""

from __future__ import annotations

import sys
from array import array
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["shardload.encoding"]):
    from shardload.encoding import (
        Batch,
        Conversion,
        Field,
        Form,
        JsonType,
        Layout,
        Lookup,
        NullRule,
        Payload,
        Shape,
        Slot,
        commands,
        make_comparison,
        make_encoder,
        packets,
    )
    from shardload.encoding.native._native import CONTINUED_BYTES, LONGEST_VALUE_BYTES
    from shardload.errors import MalformedAnswer, MalformedPacket
    from shardload.model.columns import Reading

packets.CONTINUED = CONTINUED_BYTES  # smaller in a build for fuzzing
commands.MOST_VALUE_BYTES = LONGEST_VALUE_BYTES
ROUTES = array("H", [slot % 5 for slot in range(16384)])
FORMS = (
    Form(), Form(Payload.LISTPACK, 5000, 500), Form(Payload.PLAIN), Form(None, 5000, 0, True),
    Form(Payload.LISTPACK, keeps=True, dated=True), Form(whole=True, dated=True),
    Form(shape=Shape.JSON, ttl_ms=5000), Form(shape=Shape.JSON, keeps=True, dated=True),
    Form(shape=Shape.STRING), Form(shape=Shape.REDISJSON, whole=True, dated=True),
    Form(shape=Shape.REDISJSON, keeps=True), Form(whole=True, fingerprints=True),
    Form(reads=True, ttl_ms=5000), Form(shape=Shape.JSON, reads=True, dated=True), Form(shape=Shape.STRING, reads=True),
    Form(Payload.LISTPACK, 5000, 500, rdb=True), Form(Payload.PLAIN, rdb=True, dated=True),
    Form(shape=Shape.JSON, rdb=True), Form(shape=Shape.STRING, rdb=True, dated=True, ttl_ms=9),
)  # fmt: skip
ANSWERS = (
    b"*2\r\n$1\r\na\r\n$2\r\nbb\r\n:-1\r\n", b"$3\r\nabc\r\n~5000\r\n", b"*0\r\n:99\r\n", b"$-1\r\n:-2\r\n", b"",
)  # fmt: skip
NULLS = (NullRule(), NullRule(as_empty=True), NullRule(as_null=True))


def written(batch: Batch) -> list[object]:
    """The batch's parts, and the fingerprints of its keys."""
    parts = [
        (part.node, part.keys, bytes(part.commands), part.replies, part.is_lookup, bytes(part.answers), part.expiring)
        for part in batch.parts
    ]
    return [*parts, batch.fingerprints]


def layout_of(form: Form, columns: int, kinds: int) -> Layout:
    """A layout of so many columns. The bits of `kinds` say what is done with them; 0: each is a field as it is."""
    names = tuple("abcdefgh"[:columns])
    conversions, types = list(Conversion), list(JsonType)
    fields = [Field(name, at) for at, name in enumerate(names[: max(1, columns - 1)])]
    lookups: list[Lookup] = []
    if kinds:
        fields = [
            field._replace(conversion=conversions[(kinds + at) % 6], json=types[(kinds >> 2) + at & 3])
            for at, field in enumerate(fields)
        ]
        fields.append(Field('con"st', b"\x01\n", conversions[kinds % 6]))
        lookups = [Lookup((b"l:", Slot(columns - 1, conversions[kinds % 5])), (Slot(0),))] * (kinds >> 4 & 1)
    if form.shape is Shape.STRING:
        fields = fields[:1]
    expiry = columns - 1 if form.dated and kinds & 1 else None
    return Layout(
        names, (Reading.PLAIN,) * columns, tuple(fields), (b"k:", Slot(0, conversions[(kinds >> 5) % 6])),
        (Slot(0, Conversion.HEX),), NULLS[kinds % 3 if kinds else columns % 2], tuple(lookups), expiry,
    )  # fmt: skip


def encoded(data: bytes, form: Form, cut: int, columns: int, kinds: int, *, native: bool) -> object:
    """What an encoder makes of the bytes, which it gets in two pieces."""
    encoder = make_encoder(layout_of(form, columns, kinds), form, native=native)
    encoder.route(ROUTES if columns % 3 == 0 else None)
    encoder.begin(0, 99)
    try:
        first = encoder.encode(data[:cut])
        commands = written(first)
        if first.ended or first.error_packet is not None:
            return (
                commands,
                first.rows_read,
                first.keys,
                first.lookups,
                first.set_aside,
                first.error_packet,
                first.consumed_bytes,
            )
        second = encoder.encode(data[first.consumed_bytes :])
        return (
            commands + written(second), first.rows_read + second.rows_read, first.keys + second.keys,
            first.lookups + second.lookups,
            first.set_aside + second.set_aside, second.error_packet, second.consumed_bytes,
        )  # fmt: skip
    except MalformedPacket as error:
        return str(error)


def compared(data: bytes, cut: int, answers: list[bytes], *, native: bool) -> object:
    """What a comparison makes of the bytes, which it gets in two pieces, as Redis's answers."""
    comparison = make_comparison(answers, 1000, native=native)
    try:
        taken = comparison.take(data[:cut])
        return taken + comparison.take(data[taken:]), comparison.differing, comparison.is_done
    except MalformedAnswer as error:
        return str(error)


def packed(data: bytes) -> bytes:
    """Put the bytes into packets with correct headers, which pass the checks. Some bytes are the packets' sizes."""
    stream, sequence = b"", 0
    while data:
        size, data = data[0], data[1:]
        payload, data = data[:size], data[size:]
        stream += len(payload).to_bytes(3, "little") + bytes([sequence & 0xFF]) + payload
        sequence += 1
    return stream


def long_row(size: int, form: int, kinds: int = 0) -> bytes:
    """An input with a value about as long as a listpack, or any value, may be: fuzzing alone would take long to find
    one."""
    row = b"\xfc" + size.to_bytes(2, "little") + b"x" * size + b"\x017"
    stream, sequence = b"", 0
    for payload in (row, b"\xfe\x00\x00\x02\x00"):
        for at in range(0, len(payload) + 1, CONTINUED_BYTES):
            piece = payload[at : at + CONTINUED_BYTES]
            stream += len(piece).to_bytes(3, "little") + bytes([sequence & 0xFF]) + piece
            sequence += 1
    return bytes([form, 1, 99, 0, kinds]) + stream


def one_input(data: bytes) -> None:
    """Compare both encoders on the raw bytes, or on packets made of them."""
    if len(data) < 5:
        return
    form, columns, cut, mode, kinds = FORMS[data[0] % len(FORMS)], 1 + data[1] % 8, data[2], data[3], data[4]
    stream = packed(data[5:]) if mode % 4 else data[5:]
    results = [encoded(stream, form, cut, columns, kinds, native=native) for native in (False, True)]
    if results[0] != results[1]:
        raise AssertionError(f"reference {results[0]!r}\nnative {results[1]!r}")
    answers = [ANSWERS[data[0] % len(ANSWERS)], ANSWERS[data[1] % len(ANSWERS)]]
    results = [compared(data[5:], cut, answers, native=native) for native in (False, True)]
    if results[0] != results[1]:
        raise AssertionError(f"reference {results[0]!r}\nnative {results[1]!r}")


if __name__ == "__main__":
    for size, form in ((4000, 0), (8100, 1), (8192, 1), (4000, 6), (8192, 15), (8192, 16), (4000, 17)):
        Path(sys.argv[1], f"long{size}.{form}").write_bytes(long_row(size, form))
    for form in range(len(FORMS)):  # written as hexadecimal digits, too long for any value
        Path(sys.argv[1], f"hex.{form}").write_bytes(long_row(LONGEST_VALUE_BYTES * 3 // 5, form, 2))
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
