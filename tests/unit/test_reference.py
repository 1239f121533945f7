"""The reference encoder's HSET form: exact bytes."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardload.encoding import Form, ReferenceEncoder, Rules, make_layout, parse_template
from shardload.errors import MalformedPacket
from shardload.model.counts import SetAside
from tests.unit import wire


def encoder(columns: str, key: str = "u:{id}", null: str = "omit") -> ReferenceEncoder:
    """An encoder for these columns, separated by commas, of a table whose primary key is `id`."""
    return ReferenceEncoder(make_layout(columns.split(","), parse_template(key), ["id"], Rules(null=null)))


def resp(*words: bytes) -> bytes:
    """A command as Redis reads it."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


@pytest.mark.parametrize(
    ("columns", "key", "null", "row", "commands"),
    [
        pytest.param(
            "id,name", "u:{id}", "omit", [b"1", b"Ada"],
            b"*2\r\n$3\r\nDEL\r\n$3\r\nu:1\r\n*6\r\n$4\r\nHSET\r\n$3\r\nu:1\r\n$2\r\nid\r\n$1\r\n1\r\n$4\r\nname\r\n$3\r\nAda\r\n",
            id="byte for byte",
        ),
        pytest.param(
            "id,name", "u:{id}", "omit", [b"1", None],
            resp(b"DEL", b"u:1") + resp(b"HSET", b"u:1", b"id", b"1"), id="NULL is omitted",
        ),
        pytest.param(
            "id,name", "u:{id}", "empty", [b"1", None],
            resp(b"DEL", b"u:1") + resp(b"HSET", b"u:1", b"id", b"1", b"name", b""), id="NULL as empty",
        ),
        pytest.param(
            "id,name", "u:{id}", "omit", [b"1", b""],
            resp(b"DEL", b"u:1") + resp(b"HSET", b"u:1", b"id", b"1", b"name", b""), id="empty string",
        ),
        pytest.param(
            "id,body", "u:{id}", "omit", [b"1", b"a\r\nb\0c\xff\xfe$3\r\n*1"],
            resp(b"DEL", b"u:1") + resp(b"HSET", b"u:1", b"id", b"1", b"body", b"a\r\nb\0c\xff\xfe$3\r\n*1"),
            id="CR LF NUL FF and bytes that look like Redis's own",
        ),
        pytest.param(
            "name", "{{t}}:{id}:{name}", "omit", [b"Ada", b"7"],
            resp(b"DEL", b"{t}:7:Ada") + resp(b"HSET", b"{t}:7:Ada", b"name", b"Ada"),
            id="key from a column not written",
        ),
        pytest.param(
            "id,größe", "ü:{id}", "omit", [b"1", "ß".encode()],
            resp(b"DEL", "ü:1".encode()) + resp(b"HSET", "ü:1".encode(), b"id", b"1", "größe".encode(), "ß".encode()),
            id="lengths are of bytes",
        ),
        pytest.param(
            "id,v", "u:{id}", "omit", [b"1", b"x" * 70_000],
            resp(b"DEL", b"u:1") + resp(b"HSET", b"u:1", b"id", b"1", b"v", b"x" * 70_000), id="a long value",
        ),
    ],
)  # fmt: skip
def test_one_row(columns: str, key: str, null: str, row: list[bytes | None], commands: bytes) -> None:
    """The commands delete the key, then write all its fields with the bytes of the row's values."""
    data, _, _ = wire.stream([wire.row(row)], 9)
    one = encoder(columns, key, null)
    one.begin(9)
    batch = one.encode(data)
    assert bytes(batch.commands) == commands
    assert (batch.rows_read, batch.keys, batch.rows_skipped, batch.set_aside) == (1, 1, 0, [])
    assert (batch.consumed_bytes, batch.ended, batch.error_packet) == (len(data), False, None)
    assert one.replies_per_key == 2


@pytest.mark.parametrize(
    ("columns", "key", "null", "row", "told"),
    [
        ("id,name", "u:{name}", "omit", [b"42", None], SetAside("id=42", "column name of the key is NULL")),
        ("id,name", "u:{name}", "empty", [b"42", None], SetAside("id=42", "column name of the key is NULL")),
        ("a,b", "{b}:{a}", "omit", [None, None, b"5"], SetAside("id=5", "column b of the key is NULL")),
        ("a", "{a}", "omit", [None, b"\xff"], SetAside("id=\\xff", "column a of the key is NULL")),
    ],
)
def test_a_null_in_the_key_sets_the_row_aside(
    columns: str, key: str, null: str, row: list[bytes | None], told: SetAside
) -> None:
    """No command is written; the row's primary key and the first NULL column of its key are reported."""
    one = encoder(columns, key, null)
    one.begin(0)
    batch = one.encode(wire.stream([wire.row(row)])[0])
    assert (bytes(batch.commands), batch.keys, batch.rows_read, batch.rows_skipped) == (b"", 0, 1, 0)
    assert batch.set_aside == [told]


@pytest.mark.parametrize(("ttl_ms", "lines"), [(0, 6), (5000, 8)])
def test_a_transaction_makes_a_key_whole(ttl_ms: int, lines: int) -> None:
    """The same commands stand between MULTI and EXEC, and the number of reply lines is right."""
    data = wire.stream([wire.row([b"x", None, b"1"])])[0]
    commands = {}
    for whole in (False, True):
        layout = make_layout(["a", "b"], parse_template("u:{id}"), ["id"])
        one = ReferenceEncoder(layout, Form(ttl_ms=ttl_ms, whole=whole))
        one.begin(0)
        commands[whole] = bytes(one.encode(data).commands)
    assert commands[True] == resp(b"MULTI") + commands[False] + resp(b"EXEC")
    assert one.replies_per_key == lines


def test_a_row_without_a_field_is_skipped() -> None:
    """Redis has no hash without fields: no command is written, and the row counts as skipped."""
    one = encoder("a,b")
    one.begin(0)
    batch = one.encode(wire.stream([wire.row([None, None, b"1"]), wire.row([b"x", None, b"2"])])[0])
    assert (batch.rows_read, batch.keys, batch.rows_skipped) == (2, 1, 1)
    assert bytes(batch.commands) == resp(b"DEL", b"u:2") + resp(b"HSET", b"u:2", b"a", b"x")


def test_begin_sets_the_next_packets_number() -> None:
    """After `begin`, the first packet must have the given number; any other is refused."""
    one = encoder("id")
    for sequence in (3, 200, 0):
        one.begin(sequence)
        assert one.encode(wire.stream([wire.row([b"1"]), wire.END], sequence)[0]).ended
    one.begin(5)
    with pytest.raises(MalformedPacket, match="packet number 6 at offset 0, expected 5"):
        one.encode(wire.stream([wire.row([b"1"])], 6)[0])


def test_an_error_packet_is_handed_on() -> None:
    """The batch has the error packet, and the rows before it."""
    one = encoder("id")
    one.begin(0)
    batch = one.encode(wire.stream([wire.row([b"1"]), b"\xff\x25\x07oh"])[0])
    assert (batch.keys, batch.error_packet, batch.ended) == (1, b"\xff\x25\x07oh", False)


@dataclass
class Sum:
    """The sum of several batches."""

    commands: bytes = b""
    rows_read: int = 0
    keys: int = 0
    rows_skipped: int = 0
    set_aside: list[SetAside] = field(default_factory=list)
    ended: bool = False


def fed(one: ReferenceEncoder, data: bytes, cuts: list[int]) -> Sum:
    """Feed a stream in pieces that end at these offsets, as a worker does: it passes unconsumed bytes again."""
    total, start = Sum(), 0
    one.begin(0)
    for end in [*sorted(cuts), len(data)]:
        batch = one.encode(memoryview(data)[start:end])
        start += batch.consumed_bytes
        total.commands += bytes(batch.commands)
        total.rows_read += batch.rows_read
        total.keys += batch.keys
        total.rows_skipped += batch.rows_skipped
        total.set_aside += batch.set_aside
        total.ended |= batch.ended
    assert start == len(data)
    return total


values = st.none() | st.binary(max_size=20) | st.sampled_from([250, 251, 300]).map(bytes)


@given(st.lists(st.tuples(values, values, st.binary(min_size=1, max_size=4)), max_size=8), st.data())
@settings(deadline=None, max_examples=80)
def test_the_pieces_of_the_stream_do_not_matter(rows: list[wire.Row], data: st.DataObject) -> None:
    """Commands and counts are the same wherever reads end, and each row is in exactly one count."""
    encoded, _, _ = wire.stream([*map(wire.row, rows), wire.END])
    cuts = data.draw(st.lists(st.integers(0, len(encoded) - 1), max_size=8))
    one = encoder("a,b", "k:{b}:{id}")
    whole, pieces = fed(one, encoded, []), fed(one, encoded, cuts)
    assert pieces == whole
    assert whole.ended
    assert whole.rows_read == len(rows) == whole.keys + whole.rows_skipped + len(whole.set_aside)
