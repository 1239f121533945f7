"""RDB files on a real server: what it has after a start with one is what commands would have written."""

from __future__ import annotations

import random
import subprocess
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from shardload.encoding import (
    Conversion,
    Field,
    Form,
    JsonType,
    Layout,
    Lookup,
    NullRule,
    Part,
    Payload,
    Shape,
    Slot,
    checksum_of,
    is_native_built,
    make_encoder,
    slot_of,
)
from shardload.encoding.entries import entry
from shardload.encoding.payload import hash_value, string_value
from shardload.encoding.rdbfile import head, tail
from shardload.errors import MissingServer, ShardloadError
from shardload.model.columns import Reading
from shardload.sandbox import RedisServer
from shardload.sandbox.servers import find_program
from shardload.target import TargetConnection
from tests.unit import wire

ROWS = 1500
HOUR_MS = 3_600_000
FORMS = {
    "compact": Form(Payload.LISTPACK, rdb=True),
    "plain": Form(Payload.PLAIN, rdb=True),
    "brief": Form(Payload.LISTPACK, ttl_ms=HOUR_MS, jitter_ms=HOUR_MS // 10, rdb=True),
    "dated": Form(Payload.LISTPACK, ttl_ms=HOUR_MS, dated=True, rdb=True),
    "json": Form(shape=Shape.JSON, dated=True, rdb=True),
    "string": Form(shape=Shape.STRING, ttl_ms=HOUR_MS, rdb=True),
}
ODD = [b"", b"0", b"-1", b"007", b"12345678901234567890", b"-9223372036854775808", b"x" * 63, b"x" * 64, b"y" * 8192,
       b"z" * 20_000, bytes(range(256)), "grün\n\"".encode(), None]  # fmt: skip


def layout(name: str, form: Form) -> Layout:
    """Keys `name:{id}` of two columns, and a lookup; the fourth column is a time."""
    fields: tuple[Field, ...] = (Field("text", 1), Field("n", 2, json=JsonType.NUMBER), Field("kind", name.encode()))
    if form.shape is Shape.STRING:
        fields = fields[:1]
    return Layout(
        ("id", "text", "n", "at"), (Reading.PLAIN,) * 4, fields, (name.encode() + b":", Slot(0)), (Slot(0),),
        NullRule(as_empty=True), (Lookup((b"by:", name.encode(), b":", Slot(0, Conversion.HEX)), (Slot(0),)),),
        3 if form.dated else None,
    )  # fmt: skip


def rows(now_ms: int) -> list[wire.Row]:
    """All odd values, then random ones. Every third row has a time, and every thirtieth one that has just passed."""
    rng = random.Random(7)
    found: list[wire.Row] = []
    for at in range(ROWS):
        text = ODD[at] if at < len(ODD) else rng.randbytes(rng.randrange(150))
        left_ms = -5000 if at % 30 == 0 else rng.randrange(HOUR_MS, 90 * 24 * HOUR_MS)
        number = b"%d" % rng.randrange(-(2 ** rng.randrange(63)), 2**40)
        found.append([b"%d" % at, text, number, b"%d" % (now_ms + left_ms) if at % 3 == 0 else None])
    return found


def encoded(name: str, form: Form, now_ms: int, routes: array[int] | None = None) -> Iterator[list[Part]]:
    """The rows as parts, in several batches. They began ten seconds ago."""
    encoder = make_encoder(layout(name, form), form, native=is_native_built())
    encoder.route(routes)
    encoder.begin(0, now_ms - 10_000)
    stream, ends, _ = wire.stream([*map(wire.row, rows(now_ms)), wire.END])
    at = 0
    for end in (ends[10], ends[600] + 7, len(stream)):
        batch = encoder.encode(stream[at:end])
        at += batch.consumed_bytes
        assert batch.rows_read == batch.keys
        yield batch.parts


def rdb_file(parts: Sequence[Part], *, version: int = 10, database: int = 0) -> bytes:
    """A file of the parts, which nobody sums up again."""
    keys, expiring = sum(part.keys for part in parts), sum(part.expiring for part in parts)
    start = head(version, database, keys, expiring, int(time.time()))
    checksum = checksum_of(start)
    for part in parts:
        checksum += checksum_of(part.commands)
    return start + b"".join(bytes(part.commands) for part in parts) + tail(checksum)


def checked(file: Path) -> tuple[int, str]:
    """The exit code of redis-check-rdb, and what it says."""
    try:
        program = find_program(("redis-check-rdb", "valkey-check-rdb"), "redis-tools")
    except MissingServer as error:
        pytest.skip(str(error))
    done = subprocess.run([program, str(file)], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def started(directory: Path, file: bytes) -> RedisServer:
    """A server that has loaded the file at its start."""
    server = RedisServer(directory, ["--dbfilename", "made.rdb"])
    (directory / "made.rdb").write_bytes(file)
    return server.start()


class Held(NamedTuple):
    """What a server has under a key."""

    kind: bytes
    encoding: bytes
    value: object
    expires_ms: int


def held(server: RedisServer) -> dict[bytes, Held]:
    """Everything that a server has. Values are as DUMP gives them, except a table's, whose fields have no order."""
    connection = TargetConnection(server.url)
    try:
        found = {}
        for key in connection.call("KEYS", "*"):
            kind, encoding = connection.call("TYPE", key), connection.call("OBJECT", "ENCODING", key)
            value = connection.call("DUMP", key)
            if encoding == b"hashtable":
                flat = connection.call("HGETALL", key)
                value = sorted(zip(flat[::2], flat[1::2], strict=True))
            found[key] = Held(kind, encoding, value, connection.call("PEXPIRETIME", key))
        return found
    finally:
        connection.close()


def expiries(now_ms: int) -> dict[bytes, int]:
    """When each key of all forms expires, as its row and its form say; -1: never."""
    found: dict[bytes, int] = {}
    for name, form in FORMS.items():
        for row in rows(now_ms):
            number, at = row[0] or b"", row[3]
            key = name.encode() + b":" + number
            at_ms = now_ms - 10_000 + form.ttl_of(key) if form.ttl_ms else -1
            if form.dated and at:
                at_ms = int(at)
            found |= dict.fromkeys((key, b"by:%b:%b" % (name.encode(), number.hex().upper().encode())), at_ms)
    return found


@pytest.fixture
def servers_of_both(tmp_path: Path) -> Iterator[tuple[RedisServer, RedisServer, int]]:
    """A server that was started with a file of all forms, one that has had their commands, and when that was."""
    now_ms = int(time.time() * 1000)
    parts = [part for name, form in FORMS.items() for batch in encoded(name, form, now_ms) for part in batch]
    from_file = started(tmp_path / "from-file", rdb_file(parts))
    by_commands = RedisServer(tmp_path / "by-commands")
    try:
        by_commands.start()
        connection = TargetConnection(by_commands.url)
        for name, form in FORMS.items():
            for batch in encoded(name, replace(form, rdb=False), now_ms):
                for part in batch:
                    connection.send(part.commands, part.replies)
                connection.confirm()
        connection.close()
        yield from_file, by_commands, now_ms
    finally:
        by_commands.stop()
        from_file.stop()


def test_every_key_is_what_commands_write(servers_of_both: tuple[RedisServer, RedisServer, int]) -> None:
    """Type, encoding and value; what has expired since is not there; a TTL counts from when it was encoded."""
    from_file, by_commands = map(held, servers_of_both[:2])
    now_ms = servers_of_both[2]
    expected = {key: at_ms for key, at_ms in expiries(now_ms).items() if not 0 < at_ms < now_ms}
    assert len(expected) == 2 * len(FORMS) * ROWS - 4 * (ROWS // 30)
    assert {key: one.expires_ms for key, one in from_file.items()} == expected
    assert {(one.kind, one.encoding) for one in from_file.values()} >= {
        (b"hash", b"listpack"), (b"hash", b"hashtable"), (b"string", b"int"), (b"string", b"raw"),
    }  # fmt: skip
    assert set(by_commands) == set(from_file)
    for key, one in from_file.items():
        other = by_commands[key]
        assert one._replace(expires_ms=0) == other._replace(expires_ms=0), key
        assert (one.expires_ms == -1) == (other.expires_ms == -1), key
        assert abs(one.expires_ms - other.expires_ms) < 120_000, key  # commands' TTLs count from when they come


def test_a_file_for_each_node(tmp_path: Path) -> None:
    """Each has its own keys, and its head says how many, and how many of them expire."""
    now_ms = int(time.time() * 1000)
    form = FORMS["dated"]
    parts = [
        part
        for batch in encoded("dated", form, now_ms, array("H", [slot % 3 for slot in range(16384)]))
        for part in batch
    ]
    servers = []
    try:
        for node in range(3):
            mine = [part for part in parts if part.node == node]
            file = rdb_file(mine)
            servers.append(started(tmp_path / f"node{node}", file))
            code, told = checked(tmp_path / f"node{node}" / "made.rdb")
            assert code == 0, told
            assert f"{sum(part.keys for part in mine)} keys read" in told
            assert f"{sum(part.expiring for part in mine)} expires" in told
            keys = servers[-1].call("KEYS", "*")
            assert {slot_of(key) % 3 for key in keys} == {node}
        assert sum(server.call("DBSIZE") for server in servers) == 2 * ROWS - 2 * ROWS // 30
    finally:
        for server in servers:
            server.stop()


def test_old_versions_and_other_databases(tmp_path: Path) -> None:
    """Without listpacks the version of servers before Redis 7 will do; a file's database is where its keys are."""
    value = hash_value([(b"f", b"v")], Payload.PLAIN)
    part = Part(0, 1, entry(b"k", value), 0)
    server = started(tmp_path / "server", rdb_file([part], version=9, database=5))
    try:
        assert server.info("keyspace")["db5"].startswith("keys=1,expires=0")
    finally:
        server.stop()


def test_the_checker_checks(tmp_path: Path) -> None:
    """A wrong checksum, and a listpack with one wrong back-length and a right checksum: so it checks every byte."""
    file, right = tmp_path / "file.rdb", hash_value([(b"a", b"b")], Payload.LISTPACK)
    file.write_bytes(rdb_file([Part(0, 1, entry(b"k", right), 0)]))
    code, told = checked(file)
    assert (code, "Checksum OK" in told) == (0, True), told
    wrong = bytearray(file.read_bytes())
    wrong[-1] ^= 1
    file.write_bytes(wrong)
    code, told = checked(file)
    assert (code, "RDB CRC error" in told) == (1, True), told
    broken = right.replace(b"\x81a\x02", b"\x81a\x09")
    assert broken != right
    file.write_bytes(rdb_file([Part(0, 1, entry(b"k", broken), 0)]))
    assert checked(file)[0] == 1


def test_a_key_that_comes_twice(tmp_path: Path) -> None:
    """The server ends: whoever makes a file has to know that no key does. The checker does not see it."""
    file = rdb_file([Part(0, 2, 2 * entry(b"k", string_value(b"v")), 0)])
    with pytest.raises(ShardloadError, match="did not start"):
        started(tmp_path / "server", file)
    assert "duplicated key 'k'" in (tmp_path / "server" / "server.log").read_text(errors="replace")
    assert checked(tmp_path / "server" / "made.rdb")[0] == 0
