"""RESTORE payloads on a real server: equal to its DUMP, right fields, encodings, TTLs, and rights."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from shardload.config.urls import TargetUrl
from shardload.encoding import Form, Payload, make_encoder
from shardload.encoding.payload import Fields, crc64, hash_payload
from shardload.errors import TargetDenied, TargetError
from shardload.target import TargetConnection, choose_payload
from tests.harness import World
from tests.layouts import straight

BOUNDARIES = [0, 1, 62, 63, 64, 65, 125, 126, 127, 128, 250, 1000, 4090, 4095, 4096, 4097, 8000]
NUMBERS = [
    n + d for n in (0, 127, 4095, -4096, 2**15, -(2**15), 2**23, -(2**23), 2**31, -(2**31)) for d in (-1, 0, 1)
] + [2**63 - 1, -(2**63)]  # fmt: skip
HASHES: list[Fields] = [
    [(b"f", b"v")],
    [(b"", b"")],
    [(b"n%d" % at, b"%d" % number) for at, number in enumerate(NUMBERS)],
    [
        (b"odd%d" % at, text)
        for at, text in enumerate([b"-0", b"00", b"01", b"+1", b"1.0", b" 1", b"9223372036854775808"])
    ],
    [(b"bytes", bytes(range(256)))],
    *[[(b"l%d" % length, b"x" * length)] for length in BOUNDARIES],
    [(b"%d" % n, b"v%d" % n) for n in range(512)],
    [(b"%d" % n, b"v%d" % n) for n in range(513)],
    [(b"a", b"y" * 70_000), (b"b", b"z" * 20)],
]


STRICT = {
    # Every payload is checked to its last byte. Valkey does so since 9.1 in any case, and has no such setting.
    "sanitize-dump-payload": "yes",
    "rdbcompression": "no",  # DUMP gives the bytes as they are
    "hash-max-listpack-entries": "512",  # the default; with the next, HSET makes what we make
    "hash-max-listpack-value": "1000000",
}


@pytest.fixture
def strict(world: World) -> Iterator[TargetConnection]:
    """The tests' Redis, set to check every byte of a payload and to dump without compression."""
    client = world.target()
    before = {name: str(value) for name in STRICT for value in client.config_get(name).values()}
    connection = TargetConnection(world.redis)
    try:
        for name in before:
            client.config_set(name, STRICT[name])
        yield connection
    finally:
        connection.close()
        for name, value in before.items():
            client.config_set(name, value)
        client.close()


@pytest.mark.parametrize("fields", HASHES, ids=lambda fields: f"{len(fields)} fields, {len(fields[0][1])} bytes")
@pytest.mark.parametrize("wish", list(Payload))
def test_the_payload_is_what_the_server_reads_and_writes(
    strict: TargetConnection, fields: Fields, wish: Payload
) -> None:
    """RESTORE with all checks gives the right hash; a listpack's body equals the server's own DUMP after HSET."""
    payload = hash_payload(fields, wish)
    assert strict.call("RESTORE", "k", 0, payload, "REPLACE") == b"OK"
    flat = strict.call("HGETALL", "k")
    assert dict(zip(flat[::2], flat[1::2], strict=True)) == dict(fields)
    strict.call("HSET", "by-hset", *[text for field in fields for text in field])
    if payload[0] == 16:
        assert strict.call("DUMP", "by-hset")[:-10] == payload[:-10]  # without version and checksum
    assert strict.call("OBJECT", "ENCODING", "k") == strict.call("OBJECT", "ENCODING", "by-hset")


def test_the_server_is_strict(strict: TargetConnection) -> None:
    """The server refuses a listpack with one wrong back-length and a right checksum, so it checks to the last byte."""
    data = hash_payload([(b"a", b"b")], Payload.LISTPACK)[:-8]
    wrong = data.replace(b"\x81a\x02", b"\x81a\x09")
    assert wrong != data
    with pytest.raises(TargetError, match="Bad data format"):
        strict.call("RESTORE", "k", 0, wrong + crc64(wrong).to_bytes(8, "little"))


def test_random_hashes(strict: TargetConnection) -> None:
    """Many random hashes of all kinds of values give the server's own bytes."""
    seed = random.randrange(1, 10**9)
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(300):
        fields = [
            (b"f%d" % at, rng.choice([b"%d" % rng.randrange(-(2**63), 2**63), rng.randbytes(rng.randrange(200))]))
            for at in range(rng.randrange(1, 30))
        ]
        payload = hash_payload(fields, Payload.LISTPACK)
        assert strict.call("RESTORE", "k", 0, payload, "REPLACE") == b"OK"
        assert strict.call("DUMP", "k")[:-10] == payload[:-10]


def test_layouts_differ_in_memory(world: World) -> None:
    """With a value of 100 bytes, compact stays a listpack; native is the hash table that HSET makes."""
    world.make_table("wide", "id INT PRIMARY KEY, body TEXT")
    world.execute(f"INSERT INTO wide VALUES (1, '{'x' * 100}'), (2, '{'x' * 9000}')")
    client = world.target()
    assert world.run("run", "--table", "wide", "--hash-layout", "compact").code == 0
    assert client.object("encoding", "wide:1") == b"listpack"
    assert client.object("encoding", "wide:2") == b"hashtable"  # beyond 8 KiB
    assert world.run("run", "--table", "wide", "--hash-layout", "native").code == 0
    assert client.object("encoding", "wide:1") == b"hashtable"
    world.assert_exact("wide", lambda row: f"wide:{(row['id'] or b'').decode()}")


@pytest.mark.parametrize("encoding", ["restore", "commands"])
def test_keys_expire_spread_evenly(world: World, encoding: str) -> None:
    """With --ttl 1h --ttl-jitter 10% each key expires within 54 and 66 minutes, at the same time in a second load."""
    world.make_table("brief", "id INT PRIMARY KEY")
    world.execute("INSERT INTO brief VALUES " + ",".join(f"({n})" for n in range(1000)))
    form = Form(None, 3_600_000, 360_000)
    words = ("run", "--table", "brief", "--ttl", "1h", "--ttl-jitter", "10%", "--encoding", encoding)
    done = world.run(*words)
    assert done.code == 0, done.err
    client = world.target()
    left = {n: client.pttl(f"brief:{n}") for n in range(1000)}
    assert all(form.ttl_of(b"brief:%d" % n) - 60_000 < ttl <= form.ttl_of(b"brief:%d" % n) for n, ttl in left.items())
    tenths = [sum(1 for ttl in left.values() if 3_240_000 + t * 72_000 <= ttl + 5_000 < 3_312_000 + t * 72_000)
              for t in range(10)]  # fmt: skip
    assert min(tenths) > 60, tenths


def test_both_encoders_are_chosen_by_name(world: World) -> None:
    """--encoder reference is named in the summary, and writes the same keys."""
    world.make_table("few", "id INT PRIMARY KEY, name TEXT")
    world.execute("INSERT INTO few VALUES (1, 'a'), (2, NULL)")
    for words, encoder in (
        (("--encoder", "reference"), "reference, HSET"),
        (("--encoder", "reference", "--encoding", "restore"), "reference, RESTORE listpack"),
        (("--encoder", "native"), "native, RESTORE listpack"),
        (("--encoding", "commands"), "native, HSET"),
        (("--hash-layout", "native"), "native, RESTORE plain"),
    ):
        world.target().flushdb()
        done = world.run("run", "--table", "few", "--json", *words)
        assert done.code == 0, done.err
        assert done.summary["encoder"] == encoder
        world.assert_exact("few", lambda row: f"few:{(row['id'] or b'').decode()}")


@pytest.fixture
def narrow(world: World) -> Iterator[TargetUrl]:
    """A user who may write, but not use RESTORE, which is in @dangerous."""
    admin = world.target()
    commands = ["+@read", "+@write", "+@connection", "-@dangerous"]
    admin.acl_setuser("narrow", enabled=True, passwords=["+pw"], keys=["*"], commands=commands)
    yield TargetUrl(world.redis.host, world.redis.port, "narrow", "pw", world.redis.database)
    admin.acl_deluser("narrow")


def test_auto_falls_back_where_restore_is_refused(world: World, narrow: TargetUrl) -> None:
    """`auto` gives the reason and writes commands; `restore` is an error. The scratch key is removed in both cases."""
    connection = TargetConnection(narrow)
    choice = choose_payload(connection, b"scratch", "auto", [Payload.LISTPACK, Payload.PLAIN])
    assert choice.payload is None
    assert "NOPERM" in choice.reason
    with pytest.raises(TargetError, match="does not accept RESTORE"):
        choose_payload(connection, b"scratch", "restore", [Payload.LISTPACK])
    connection.close()
    assert world.target().dbsize() == 0
    world.make_table("few", "id INT PRIMARY KEY")
    world.execute("INSERT INTO few VALUES (1)")
    done = world.run("run", "--table", "few", "--redis", narrow.with_password())
    assert done.code == 0, done.err
    assert "native, HSET (RESTORE is unavailable" in done.out
    assert "NOPERM" in done.out


def test_a_user_who_may_not_write(world: World) -> None:
    """The probe raises TargetDenied and leaves no key."""
    admin = world.target()
    admin.acl_setuser("reader", enabled=True, passwords=["+pw"], keys=["*"], commands=["+@read", "+@connection"])
    connection = TargetConnection(TargetUrl(world.redis.host, world.redis.port, "reader", "pw", "0"))
    try:
        with pytest.raises(TargetDenied):
            choose_payload(connection, b"scratch", "auto", [Payload.LISTPACK])
    finally:
        connection.close()
        admin.acl_deluser("reader")


def test_counted_replies_are_the_servers(world: World) -> None:
    """Thousands of replies arrive in pieces of all sizes, then one error: all are counted, and the error is raised."""
    connection = TargetConnection(world.redis)
    encoder = make_encoder(straight(), Form(Payload.LISTPACK), native=True)
    encoder.begin(0)
    stream = b""
    for n in range(5000):
        value = b"%d" % n
        stream += (len(value) + 1).to_bytes(3, "little") + bytes([n & 255, len(value)]) + value
    batch = encoder.encode(stream)
    for _ in range(2):
        connection.send(batch.commands, batch.keys)
    connection.confirm(leave=5000)
    assert connection.outstanding_replies <= 5000
    connection.confirm()
    assert connection.outstanding_replies == 0
    connection.send(batch.commands, batch.keys)
    connection.send(b"*1\r\n$7\r\nNONSENS\r\n", 1)
    with pytest.raises(TargetError, match="unknown command"):
        connection.confirm()
    assert world.target().dbsize() == 5000
    connection.close()
