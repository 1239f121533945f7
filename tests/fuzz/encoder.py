"""Fuzz target: any bytes as MySQL's stream. The native encoder must do what the reference does: the same commands, or
the same refusal, and never read or write outside its buffers.

Coverage comes from the reference, which atheris instruments; AddressSanitizer watches the native one if it was built
with it (tests/integration/test_fuzz.py does both). By hand:
    .venv/bin/python tests/fuzz/encoder.py -max_total_time=60
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["shardload.encoding"]):
    from shardload.encoding import Form, Layout, Payload, make_encoder
    from shardload.errors import MalformedPacket

FORMS = (Form(), Form(Payload.LISTPACK, 5000, 500), Form(Payload.PLAIN), Form(None, 5000))


def encoded(data: bytes, form: Form, cut: int, columns: int, *, native: bool) -> object:
    """What an encoder makes of the bytes, given in two pieces."""
    layout = Layout(tuple("abcdefgh"[:columns]), max(1, columns - 1), (b"k:", 0), 0, columns % 2 == 0)
    encoder = make_encoder(layout, form, native=native)
    encoder.begin(0)
    try:
        first = encoder.encode(data[:cut])
        commands = bytes(first.commands)
        if first.ended or first.error_packet is not None:
            return commands, first.rows_read, first.keys, first.set_aside, first.error_packet
        second = encoder.encode(data[first.consumed_bytes :])
        return (
            commands + bytes(second.commands), first.rows_read + second.rows_read, first.keys + second.keys,
            first.set_aside + second.set_aside, second.error_packet, second.consumed_bytes,
        )  # fmt: skip
    except MalformedPacket as error:
        return str(error)


def packets(data: bytes) -> bytes:
    """The bytes as payloads of packets with right headers, cut where a byte says so: past the header checks."""
    stream, sequence = b"", 0
    while data:
        size, data = data[0], data[1:]
        payload, data = data[:size], data[size:]
        stream += len(payload).to_bytes(3, "little") + bytes([sequence & 0xFF]) + payload
        sequence += 1
    return stream


def one_input(data: bytes) -> None:
    """Both encoders, on raw bytes or on packets made of them."""
    if len(data) < 4:
        return
    form, columns, cut, mode = FORMS[data[0] % len(FORMS)], 1 + data[1] % 8, data[2], data[3]
    stream = packets(data[4:]) if mode % 4 else data[4:]
    results = [encoded(stream, form, cut, columns, native=native) for native in (False, True)]
    if results[0] != results[1]:
        raise AssertionError(f"reference {results[0]!r}\nnative {results[1]!r}")


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
