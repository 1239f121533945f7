"""Redis: replies are counted, errors have the right class, and a probe leaves nothing behind."""

from __future__ import annotations

import dataclasses
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from shardload.config.urls import TargetUrl
from shardload.encoding import Form, Payload, make_encoder
from shardload.errors import TargetBusy, TargetDenied, TargetError, TargetLost
from shardload.sandbox import RedisServer
from shardload.target import Choice, Needs, TargetConnection, choose_payload, describe_server
from shardload.target.connection import IO_TIMEOUT_S
from shardload.target.replies import Replies
from tests.harness import World, wait_until
from tests.layouts import straight
from tests.unit import wire


def resp(*words: str) -> bytes:
    """A command as Redis reads it."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word.encode()) for word in words)


@pytest.fixture
def target(world: World) -> Iterator[TargetConnection]:
    """A connection to the tests' Redis."""
    connection = TargetConnection(world.redis)
    yield connection
    connection.close()


def as_user(world: World, name: str, rights: list[str], keys: list[str]) -> TargetUrl:
    """The URL of a user with these rights only."""
    world.target().acl_setuser(name, enabled=True, passwords=["+secret"], commands=rights, keys=keys, reset=True)
    return TargetUrl(world.redis.host, world.redis.port, name, "secret", world.redis.database)


# ---- replies


def test_replies_are_counted(target: TargetConnection, world: World) -> None:
    """Replies that were not read are outstanding; confirm reads until at most `leave` are."""
    for batch in range(10):
        target.send(b"".join(resp("SET", f"k{batch}.{n}", "v") for n in range(100)), 100)
    assert target.outstanding_replies == 1000
    target.confirm(leave=1000)
    assert target.outstanding_replies == 1000
    target.confirm(leave=399)
    left = target.outstanding_replies
    assert left in (0, 100, 200, 300)
    target.send(resp("SET", "k", "v"), 1)
    assert target.outstanding_replies == left + 1
    target.confirm(leave=500)
    assert target.outstanding_replies == left + 1
    target.confirm()
    assert target.outstanding_replies == 0
    assert world.target().dbsize() == 1001


def test_a_batch_larger_than_the_sockets_hold(target: TargetConnection) -> None:
    """The rest of a batch is sent when the socket has room again."""
    target.send(resp("SET", "k", "v" * 30_000_000), 1)
    target.confirm()
    assert target.call("STRLEN", "k") == 30_000_000


class Chopper:
    """A proxy to the tests' Redis that delivers each reply in two pieces: the second after the first has been read."""

    def __init__(self, world: World, last_bytes: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._there = (world.redis.host, world.redis.port)
        self._last_bytes = last_bytes
        self.url = dataclasses.replace(world.redis, host="127.0.0.1", port=self._listener.getsockname()[1])
        self.is_chopping = False
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def _carry(self) -> None:
        client, (_, port) = self._listener.accept()
        with client, socket.create_connection(self._there) as server:
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    data = ready.recv(1 << 16)
                    if not data:
                        return
                    if ready is client:
                        server.sendall(data)
                    elif self.is_chopping:
                        client.sendall(data[: -self._last_bytes])
                        wait_until(lambda: self._unread_bytes(port) == 0, "the first piece is read")
                        client.sendall(data[-self._last_bytes :])
                    else:
                        client.sendall(data)

    @staticmethod
    def _unread_bytes(port: int) -> int:
        """The bytes in the receive queue of the socket with this local port (proc_net_tcp(5))."""
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, _, state, queues, *_ = line.split()
            if state == "01" and int(local.partition(":")[2], 16) == port:
                return int(queues.partition(":")[2], 16)
        return 0

    def close(self) -> None:
        """Wait until the client has closed its end, then stop."""
        self._thread.join()
        self._listener.close()


@pytest.mark.skipif(sys.platform != "linux", reason="it looks into Linux's /proc/net/tcp")
@pytest.mark.parametrize("last_bytes", [1, 2, 3, 24, 25, 26, 27])  # of a fence; of a key's replies before it
def test_a_reply_that_comes_in_pieces_is_not_waited_for_in_vain(world: World, last_bytes: int) -> None:
    """However the network cuts a reply, the least number of bytes to wait for is never more than will come."""
    chopper = Chopper(world, last_bytes)
    target = TargetConnection(chopper.url, form=Form())
    chopper.is_chopping = True
    target.send(resp("SETRANGE", "k", "10000", "v") * 16, 16)  # long replies: the first piece is enough to wake for
    began_s = time.monotonic()
    target.confirm()
    target.close()
    chopper.close()
    assert time.monotonic() - began_s < IO_TIMEOUT_S / 2


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisServer]:
    """One of two nodes of a Redis Cluster; it has the lower half of the slots."""
    nodes = []
    for number in range(2):
        with socket.create_server(("127.0.0.1", 0)) as free:
            bus = free.getsockname()[1]
        words = ["--cluster-enabled", "yes", "--cluster-port", str(bus)]
        nodes.append((RedisServer(tmp_path / f"node{number}", words).start(), bus))
    clients = [redis.Redis(port=node.port) for node, _ in nodes]
    clients[0].execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 8191)  # type: ignore[no-untyped-call]
    clients[1].execute_command("CLUSTER", "ADDSLOTSRANGE", 8192, 16383)  # type: ignore[no-untyped-call]
    clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[1][0].port, nodes[1][1])  # type: ignore[no-untyped-call]
    wait_until(
        lambda: all(b"cluster_state:ok" in bytes(client.execute_command("CLUSTER", "INFO")) for client in clients),  # type: ignore[no-untyped-call]
        "the cluster is up",
    )
    yield nodes[0][0]
    for node, _ in nodes:
        node.stop(kill=True)


def test_a_node_of_a_cluster_is_recognised(cluster: RedisServer) -> None:
    """A key of another node raises TargetDenied, which ends the job and blames no row; the hint gives the reason."""
    target = TargetConnection(cluster.url)
    target.send(b"".join(resp("SET", f"k{number}", "v") for number in range(100)), 100)
    with pytest.raises(
        TargetDenied, match=r"MOVED .* \(this is a node of a Redis Cluster: write redis\+cluster:// in --redis"
    ):
        target.confirm()
    target.close()


def test_a_call_after_a_confirmed_batch_gets_its_own_reply(target: TargetConnection) -> None:
    """The batch's replies are all read, and no more: the next command gets its own reply."""
    target.send(resp("SET", "a", "1") + resp("RENAME", "a", "b") + resp("HMSET", "h", "f", "v"), 3)
    target.confirm()
    assert target.call("ECHO", "mine") == b"mine"
    assert target.call_many([("GET", "a"), ("HGETALL", "h"), ("STRLEN", "h2")]) == [None, [b"f", b"v"], 0]


@pytest.mark.parametrize("position", [0, 1, 499, 998, 999])
def test_an_error_anywhere_in_a_batch_is_seen(target: TargetConnection, world: World, position: int) -> None:
    """One error among a thousand replies is raised, wherever it is."""
    world.target().rpush("list", "x")
    commands = [resp("SET", f"k{n}", "v") for n in range(1000)]
    commands[position] = resp("HSET", "list", "f", "v")
    target.send(b"".join(commands), 1000)
    with pytest.raises(TargetError, match="writing to Redis: WRONGTYPE") as caught:
        target.confirm()
    assert not isinstance(caught.value, (TargetLost, TargetDenied))


def test_an_error_within_a_transaction_is_seen(world: World) -> None:
    """An error that Redis reports only in EXEC's list of replies is raised too."""
    world.target().set("s", "v")
    target = TargetConnection(world.redis, form=Form(whole=True))
    target.send(resp("MULTI") + resp("DEL", "t") + resp("HSET", "s", "f", "v") + resp("EXEC"), 6)
    with pytest.raises(TargetError, match="writing to Redis: WRONGTYPE"):
        target.confirm()
    target.close()


def test_errors_can_stand_among_the_replies(target: TargetConnection, world: World) -> None:
    """With errors=True the result shows which command was refused."""
    world.target().set("string", "x")
    replies = target.call_many([("HGETALL", "string"), ("HGETALL", "none"), ("GET", "string")], errors=True)
    assert isinstance(replies[0], TargetError)
    assert "HGETALL was refused: WRONGTYPE" in replies[0].message
    assert replies[1:] == [[], b"x"]


def test_keys_and_values_are_bytes(target: TargetConnection) -> None:
    """Keys and values may have any bytes, in both directions."""
    name, value = bytes(range(256)), b"\r\n$-1\r\n\0\xff"
    assert target.call("HSET", name, value, value) == 1
    assert target.call("HGETALL", name) == [value, value]


# ---- error replies


@pytest.mark.parametrize(
    ("rights", "keys", "denied", "word"),
    [
        (["+@read", "+@connection"], ["*"], True, "NOPERM"),
        (["+@all"], ["mine:*"], False, "NOPERM"),
    ],
    ids=["the command", "the key"],
)
def test_a_missing_right(world: World, rights: list[str], keys: list[str], denied: bool, word: str) -> None:
    """A missing right to a command ends the job (TargetDenied); a missing right to a key fails one row."""
    url = as_user(world, "narrow", rights, keys)
    connection = TargetConnection(url)
    try:
        connection.send(resp("HSET", "k", "f", "v"), 1)
        with pytest.raises(TargetError, match=word) as caught:
            connection.confirm()
        assert isinstance(caught.value, TargetDenied) is denied
        assert not isinstance(caught.value, TargetLost)
        assert "ACL SETUSER" in caught.value.hint
        assert "secret" not in str(caught.value)
    finally:
        connection.close()
        world.target().acl_deluser("narrow")


def test_a_users_name_does_not_decide(world: World) -> None:
    """`User accessor has no permissions to run ...` is about the command, although it contains "access"."""
    connection = TargetConnection(as_user(world, "accessor", ["+@read", "+@connection"], ["*"]))
    try:
        with pytest.raises(TargetDenied):
            connection.call("HSET", "k", "f", "v")
    finally:
        connection.close()
        world.target().acl_deluser("accessor")


@pytest.mark.parametrize(("user", "password"), [("narrow", "wrong-secret"), ("nobody", "secret"), ("", "no-secret")])
def test_a_wrong_login(world: World, user: str, password: str) -> None:
    """A wrong login, or a password that is not expected, raises TargetDenied without the password."""
    as_user(world, "narrow", ["+@all"], ["*"])
    url = TargetUrl(world.redis.host, world.redis.port, user, password, world.redis.database)
    try:
        with pytest.raises(TargetError, match="cannot connect to redis://") as caught:
            TargetConnection(url)
        assert not isinstance(caught.value, TargetLost)
        assert "secret" not in str(caught.value)
    finally:
        world.target().acl_deluser("narrow")


def test_a_database_that_is_not_there(world: World) -> None:
    """A missing database is refused when connecting; trying again will not help."""
    url = TargetUrl(world.redis.host, world.redis.port, "", world.redis.password, "999999")
    with pytest.raises(TargetError, match="cannot connect to redis://") as caught:
        TargetConnection(url)
    assert not isinstance(caught.value, TargetLost)


@pytest.mark.parametrize(
    "form", [Form(), Form(whole=True), Form(ttl_ms=5000, whole=True), Form(Payload.PLAIN), Form(Payload.LISTPACK, 5000)]
)
def test_no_answer_is_shorter_than_is_waited_for(own_redis: RedisServer, form: Form) -> None:
    """The computed shortest replies are right for a new key, an old key and a refused key; else the wait never ends."""
    encoder = make_encoder(straight(), form, native=False)
    encoder.begin(0)
    batch = encoder.encode(wire.stream([wire.row([b"7"])])[0])
    expected = Replies(form)
    expected.expect(form.replies_per_key, b"")
    with (
        socket.create_connection(("127.0.0.1", own_redis.port), 10) as connection,
        connection.makefile("rb") as replies,
    ):
        lengths = []
        for room in (b"0", b"0", b"1"):
            connection.sendall(b"CONFIG SET maxmemory %b\r\n" % room)
            assert replies.readline() == b"+OK\r\n"
            connection.sendall(bytes(batch.commands) + b"PING\r\n")
            lengths.append(sum(map(len, iter(replies.readline, b"+PONG\r\n"))))
    assert min(lengths) == expected.least_bytes(0, 1000)


@pytest.mark.parametrize("form", [Form(), Form(whole=True), Form(ttl_ms=5000, whole=True), Form(Payload.LISTPACK)])
def test_what_was_confirmed_before_an_error(own_redis: RedisServer, form: Form) -> None:
    """The keys before a refused one count as confirmed, however many lines a key's replies have."""
    encoder = make_encoder(straight(), form, native=False)
    encoder.begin(0)
    batch = encoder.encode(wire.stream([wire.row([b"%d" % n]) for n in range(20)])[0])
    connection = TargetConnection(own_redis.url, form=form)
    for behind in (0, 1, 7):
        lines = (batch.keys + 1 + behind) * encoder.replies_per_key
        connection.send(
            bytes(batch.commands) + b"NONSENSE\r\n" + b"PING\r\n" * (lines - 20 * encoder.replies_per_key - 1), lines
        )
        with pytest.raises(TargetError, match="unknown command"):
            connection.confirm()
        assert lines - connection.outstanding_replies - 1 == 20 * encoder.replies_per_key
        connection.close()
        connection = TargetConnection(own_redis.url, form=form)
    connection.close()


@pytest.mark.parametrize("form", [Form(whole=True), Form(ttl_ms=5000, whole=True), Form(Payload.LISTPACK)])
def test_a_full_redis_keeps_the_old_key(own_redis: RedisServer, form: Form) -> None:
    """A full Redis refuses a whole key, in a transaction as with RESTORE; it accepts the key later."""
    encoder = make_encoder(straight(), form, native=False)
    rows = wire.stream([wire.row([b"7"])])[0]
    encoder.begin(0)
    batch = encoder.encode(rows)
    connection = TargetConnection(own_redis.url, form=form)
    connection.call("HSET", "k:7", "old", "key")
    connection.call("CONFIG", "SET", "maxmemory", "1")
    connection.send(batch.commands, encoder.replies_per_key)
    with pytest.raises(TargetBusy, match="OOM"):
        connection.confirm()
    connection.close()
    connection = TargetConnection(own_redis.url, form=form)
    assert connection.call("HGETALL", "k:7") == [b"old", b"key"]
    connection.call("CONFIG", "SET", "maxmemory", "0")
    connection.send(batch.commands, encoder.replies_per_key)
    connection.confirm()
    assert connection.outstanding_replies == 0
    assert connection.call("HGETALL", "k:7") == [b"id", b"7"]
    assert (connection.call("PTTL", "k:7") > 0) is bool(form.ttl_ms)
    connection.close()


def test_a_full_redis_is_busy(world: World, own_redis: RedisServer) -> None:
    """OOM raises TargetBusy, because memory may be freed; reading still works."""
    connection = TargetConnection(own_redis.url)
    connection.call("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(TargetBusy, match="OOM") as caught:
        connection.call("HSET", "k", "f", "v")
    assert "maxmemory" in caught.value.hint
    assert connection.call("DBSIZE") == 0
    connection.call("CONFIG", "SET", "maxmemory", "0")
    connection.call("HSET", "k", "f", "v")
    connection.close()


def test_a_replica_is_busy(world: World, own_redis: RedisServer) -> None:
    """READONLY raises TargetBusy, because the replica may be promoted; the hint says which server to name."""
    connection = TargetConnection(own_redis.url)
    connection.call("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(TargetBusy, match="READONLY") as caught:
        connection.call("HSET", "k", "f", "v")
    assert "primary" in caught.value.hint
    connection.close()


def test_a_redis_that_goes_away_is_lost(world: World, own_redis: RedisServer) -> None:
    """A killed Redis raises TargetLost in the middle of a batch, and at the next connection."""
    connection = TargetConnection(own_redis.url)
    connection.send(resp("SET", "a", "b"), 1)
    connection.confirm()
    own_redis.stop(kill=True)

    def write() -> None:
        for _ in range(3):  # the first may still fit into the socket
            connection.send(resp("SET", "a", "b"), 1)
            connection.confirm()

    with pytest.raises(TargetLost) as caught:
        write()
    assert not isinstance(caught.value, TargetBusy)
    connection.close()
    with pytest.raises(TargetLost, match=r"cannot connect to redis://127\.0\.0\.1:"):
        TargetConnection(own_redis.url)


def test_what_is_no_redis_is_refused(world: World) -> None:
    """Connecting to MySQL's port raises an error, and does not wait for ever."""
    with pytest.raises(TargetError, match="cannot connect to"):
        TargetConnection(TargetUrl(world.mysql.host, world.mysql.port, "", None, "0"))


def test_a_redis_that_hangs_is_not_waited_for_long(
    world: World, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Redis that accepts but does not answer fails after the time-out for connecting, not the longer one."""
    monkeypatch.setattr("shardload.target.connection.CONNECT_TIMEOUT_S", 0.2)
    refusals = []

    def connect() -> None:
        try:
            TargetConnection(own_redis.url).close()
        except TargetLost as error:
            refusals.append(error)

    os.kill(own_redis.pid, signal.SIGSTOP)
    try:
        asking = threading.Thread(target=connect)
        asking.start()
        asking.join(IO_TIMEOUT_S / 2)
        assert len(refusals) == 1
    finally:
        os.kill(own_redis.pid, signal.SIGCONT)
        asking.join()
    connection = TargetConnection(own_redis.url)
    assert connection._socket.gettimeout() == IO_TIMEOUT_S
    connection.close()


# ---- probing


def test_a_restart_is_another_epoch(world: World, own_redis: RedisServer) -> None:
    """All connections see the same epoch until the server restarts."""
    epochs = []
    for _ in range(2):
        for _ in range(2):
            connection = TargetConnection(own_redis.url)
            facts = describe_server(connection)
            assert facts.server.split()[0] in ("redis", "valkey")
            assert facts.server.split()[1][0].isdigit()
            epochs.append(facts.epoch)
            connection.close()
        own_redis.stop()
        own_redis.start()
    assert epochs[0] == epochs[1] != epochs[2] == epochs[3]
    assert all(0 < epoch < 2**64 for epoch in epochs)


def test_a_redis_that_may_not_be_asked(world: World) -> None:
    """A Redis without the right to INFO and DBSIZE can be used; its epoch and number of keys are unknown."""
    connection = TargetConnection(as_user(world, "blind", ["+@all", "-info", "-dbsize"], ["*"]))
    try:
        facts = describe_server(connection)
        assert (facts.epoch, facts.evicted_keys, facts.keys) == (0, 0, None)
        assert connection.call("PING") == b"PONG"
    finally:
        connection.close()
        world.target().acl_deluser("blind")


def test_how_many_keys_there_are(world: World) -> None:
    """Only the keys of the job's own database count; also if INFO is forbidden."""
    world.target().mset({"a": 1, "b": 2})
    for user in (world.redis, as_user(world, "blind", ["+@all", "-info"], ["*"])):
        connection = TargetConnection(user)
        assert describe_server(connection).keys == 2
        connection.close()
    elsewhere = TargetConnection(dataclasses.replace(world.redis, database="7"))
    assert describe_server(elsewhere).keys == 0
    elsewhere.close()
    world.target().acl_deluser("blind")


LAYOUTS = [Payload.LISTPACK, Payload.PLAIN]


@pytest.mark.parametrize("encoding", ["auto", "restore", "commands"])
def test_a_probe_leaves_no_key(target: TargetConnection, world: World, encoding: str) -> None:
    """The probe writes and removes a scratch key, also one that existed, and leaves no reply outstanding."""
    scratch = b"shardload-probe-\xff\r\n"
    world.target().rpush(scratch, "of an earlier probe")
    choice = choose_payload(target, scratch, encoding, LAYOUTS)
    assert (choice.payload is None) == (encoding == "commands")
    assert choice.reason
    assert world.target().dbsize() == 0
    assert target.outstanding_replies == 0


def test_the_best_payload_that_works_is_chosen(target: TargetConnection) -> None:
    """Payloads are tried in the given order. Without any, commands are used, or refused if RESTORE was demanded."""
    assert choose_payload(target, b"s", "auto", [Payload.PLAIN]).payload is Payload.PLAIN
    assert choose_payload(target, b"s", "auto", [Payload.PLAIN, Payload.LISTPACK]).payload is Payload.PLAIN
    assert choose_payload(target, b"s", "commands", LAYOUTS) == Choice(None, "as asked", whole=True)
    assert choose_payload(target, b"s", "auto", []).payload is None
    with pytest.raises(TargetError, match="Redis does not accept RESTORE"):
        choose_payload(target, b"s", "restore", [])


def test_a_probe_says_why_not(world: World) -> None:
    """The error has Redis's own reason, and no key is left."""
    connection = TargetConnection(as_user(world, "reader", ["+@read", "+@connection"], ["*"]))
    try:
        with pytest.raises(TargetDenied, match="NOPERM"):
            choose_payload(connection, b"scratch", "auto", LAYOUTS)
        assert world.target().dbsize() == 0
    finally:
        connection.close()
        world.target().acl_deluser("reader")


@pytest.mark.parametrize("encoding", ["auto", "commands"])
def test_the_probe_finds_that_keys_cannot_expire(world: World, encoding: str) -> None:
    """If commands will be written with a TTL, the probe tries PEXPIRE before any row is written."""
    rights = ["+hset", "+del", "+info"]
    connection = TargetConnection(as_user(world, "brief", rights, ["*"]))
    assert choose_payload(connection, b"scratch", encoding, [Payload.LISTPACK]).payload is None
    with pytest.raises(TargetDenied, match="pexpire"):
        choose_payload(connection, b"scratch", encoding, [Payload.LISTPACK], Needs(expires=True))
    connection.close()
    assert world.target().dbsize() == 0


def test_without_transactions_commands_serve(world: World) -> None:
    """If MULTI is refused, plain commands are chosen, with Redis's reason."""
    connection = TargetConnection(as_user(world, "plain", ["+@all", "-multi"], ["*"]))
    choice = choose_payload(connection, b"scratch", "commands", LAYOUTS, Needs(expires=True))
    assert (choice.payload, choice.whole) == (None, False)
    assert choice.reason.startswith("as asked; no MULTI: ")
    assert connection.outstanding_replies == 0
    connection.close()
    assert world.target().dbsize() == 0


def test_without_the_right_to_restore_commands_serve(world: World) -> None:
    """`+@write -@dangerous` allows HSET only: it is chosen with Redis's reason, or refused if RESTORE was demanded."""
    connection = TargetConnection(as_user(world, "safe", ["+@all", "-@dangerous"], ["*"]))
    try:
        choice = choose_payload(connection, b"scratch", "auto", LAYOUTS)
        assert choice.payload is None
        assert "NOPERM" in choice.reason
        with pytest.raises(TargetError, match=r"does not accept RESTORE.*NOPERM"):
            choose_payload(connection, b"scratch", "restore", LAYOUTS)
        assert connection.outstanding_replies == 0
        assert world.target().dbsize() == 0
    finally:
        connection.close()
        world.target().acl_deluser("safe")
