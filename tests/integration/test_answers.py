"""Wrong or surplus bytes from MySQL: the connection is lost, and a short result never counts as complete."""

from __future__ import annotations

import select
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from shardload import source
from shardload.errors import ShardloadError, SourceBusy, SourceDoubtful, SourceLost, SpecError
from shardload.model.columns import KeyColumn, Kind
from shardload.source import stream as streams
from tests.played import OK, Answer, Played, Raw, framed, greeting, played
from tests.unit import wire

COLUMN = b"\x03def\0\0\0\x02id\x02id\x0c\x21\0\x0b\0\0\0\x03\0\0\0\0\0"
HEAD = (b"\x01", COLUMN, wire.END)
RESULT = (*HEAD, b"\x011", b"\x012", wire.END)


@contextmanager
def streaming(*answers: Answer) -> Iterator[tuple[Played, source.RangeStream]]:
    """A stream to a server that accepts the login and gives these answers."""
    with played(framed(greeting()), [OK, *answers]) as server:
        connection = source.connect(server.url, timeout_s=5)
        yield server, source.RangeStream(connection)
        source.abandon(connection)


def read_whole(stream: source.RangeStream) -> None:
    """Send a query, and read its answer up to the end packet."""
    stream.send_query("SELECT 1")
    stream.read_head()
    rest = wire.stream(RESULT[len(HEAD) :], 4)[0]
    read = b""
    while len(read) < len(rest):
        piece = bytes(stream.read())
        stream.consume(len(piece))
        read += piece
    assert read == rest


def wait_for_bytes(stream: source.RangeStream) -> None:
    """Wait until unread bytes have come."""
    assert select.select([stream._raw._sock], [], [], 10)[0]


STRAY = wire.stream([b"\x013", wire.END], 7)[0]
FAREWELL = framed(b"\xff\xbf\x0f#HY000The client was disconnected because of inactivity")


@pytest.mark.parametrize(
    ("unasked", "kind", "message"),
    [
        (STRAY, SourceDoubtful, "more came after the end of the last result (15 bytes or more)"),
        (FAREWELL, SourceBusy, "because of inactivity [4031]"),
        (b"", SourceBusy, "MySQL had closed the connection"),
    ],
    ids=["stray", "farewell", "closed"],
)
def test_bytes_before_the_next_query(unasked: bytes, kind: type[ShardloadError], message: str) -> None:
    """Rows after a result's end make it doubtful, also when check_end is called later. If the server closes an idle
    connection, that is no fault of the range."""
    with streaming(RESULT) as (server, stream):
        read_whole(stream)
        server.say(unasked)
        server.hang_up()
        wait_for_bytes(stream)
        with pytest.raises(ShardloadError) as caught:
            stream.send_query("SELECT 2")
        assert type(caught.value) is kind
        assert message in caught.value.message
        if kind is SourceDoubtful:
            with pytest.raises(SourceDoubtful):
                stream.check_end()
        else:
            stream.check_end()


@pytest.mark.parametrize(
    "head",
    [
        Raw(STRAY + wire.stream(RESULT, 1)[0]),
        Raw(wire.stream(RESULT, 2)[0]),
        Raw(wire.stream(RESULT[:2], 1)[0] + wire.stream(RESULT[2:], 7)[0]),
        (b"\xfd\xff\xff\xff", *RESULT[1:]),
        (b"\xfc\x01\x10", *RESULT[1:]),
        (b"\xfb/etc/passwd",),
        (b"\x01", COLUMN, COLUMN, wire.END),
        (b"\x01", COLUMN, wire.END + bytes(8)),
        (b"",),
        Raw(framed(b"\x01")),
        Raw(b"\xff\xff\x00\x07"),
    ],
    ids=[
        "stray",
        "from 2",
        "gap",
        "columns",
        "4097",
        "infile",
        "no end",
        "long end",
        "empty",
        "number 0",
        "a packet that never comes",
    ],
)
def test_bytes_that_do_not_begin_an_answer(head: Answer) -> None:
    """Bytes that are not the beginning of an answer may be the rest of the last result, which becomes doubtful."""
    with streaming(RESULT, head) as (_, stream):
        read_whole(stream)
        stream.send_query("SELECT 2")
        with pytest.raises(SourceDoubtful):
            stream.read_head()
        with pytest.raises(SourceDoubtful):
            stream.check_end()


@pytest.mark.parametrize(
    ("answer", "is_end"),
    [(OK, True), (Raw(STRAY + wire.stream([OK], 1)[0]), False), ((OK, OK), False), (Raw(b""), True)],
    ids=["ok", "stray", "more", "closed"],
)
def test_a_ping_shows_that_a_result_was_complete(answer: Answer, is_end: bool) -> None:
    """MySQL answers in order, so the rest of a result comes before the answer to a ping, and not after a close."""
    with streaming(RESULT, answer) as (server, stream):
        read_whole(stream)
        if answer == b"":
            server.hang_up()
        if is_end:
            stream.check_end()
            stream.check_end()  # a second call sends no ping
        else:
            with pytest.raises(SourceDoubtful):
                stream.check_end()
    assert (server.packets[-1] == b"\x0e") == (answer != b"")


def test_an_error_in_place_of_an_answer_raises_no_doubt() -> None:
    """An error packet with the right number comes in order, so the last result was complete."""
    with streaming(RESULT, b"\xff\x7a\x04#42S02no such table") as (_, stream):
        read_whole(stream)
        stream.send_query("SELECT 2")
        with pytest.raises(SpecError, match="no such table"):
            stream.read_head()
        stream.check_end()


def test_a_row_without_an_end_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endless row takes no more memory than the limit."""
    monkeypatch.setattr(streams, "MOST_ROW_BYTES", 2**20)
    endless = Raw(wire.stream(HEAD, 1)[0] + wire.packets(bytes(2**25), 4)[0])
    with streaming(endless) as (_, stream):
        stream.send_query("SELECT 1")
        stream.read_head()

        def read_all() -> None:
            while True:
                stream.read()

        with pytest.raises(SourceLost, match="a row of more than 1 MiB") as caught:
            read_all()
        assert "--columns" in caught.value.hint
        assert len(stream._buffer) == 2**20


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((b"\xfd\xff\xff\xff", *[COLUMN] * 40_000), "an answer of more than 16,384 KiB"),
        ((*HEAD, b"\x05ab", wire.END), "MySQL's answer cannot be understood (AssertionError"),
        ((b"",), "MySQL's answer cannot be understood (IndexError"),
        ((b"\xfb/etc/passwd",), "MySQL's answer cannot be understood (RuntimeError"),
        ((b"\x01", b"\x03def"), "MySQL's answer cannot be understood (IndexError"),
    ],
    ids=["endless", "short value", "empty", "infile", "short column"],
)
def test_answers_that_pymysql_reads(answer: Answer, message: str) -> None:
    """For queries that PyMySQL reads, an answer's size is limited; what PyMySQL cannot parse is a lost connection."""
    with played(framed(greeting()), [OK, answer]) as server:
        connection: Any = source.connect(server.url, timeout_s=5)
        with pytest.raises(SourceLost) as caught:
            source.TableKeys(
                connection, source.Selection("table t", "`t`", {}, (KeyColumn("id", Kind.INTEGER),))
            ).roots()
        assert message in caught.value.message
        assert len(str(caught.value)) < 700
        source.abandon(connection)
