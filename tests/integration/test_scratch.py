"""Scratch keys that tell what keys take: measured in one transaction, of which nothing is ever left."""

from __future__ import annotations

from typing import Any

import pytest

from shardload.encoding import Payload, compact_bytes, restore_command
from shardload.errors import TargetLost
from shardload.model.memory import Family, Value, key_bytes
from shardload.model.projection import NodeMemory
from shardload.sandbox import RedisServer
from shardload.target import Measured, TargetConnection, Trial, measure
from tests.harness import World, wait_until

FIELDS = [(b"id", b"12345"), (b"name", b"x" * 100)]
NODE = NodeMemory()


def trials(count: int = 256) -> list[Trial]:
    """So many scratch keys that never expire, and are said to take nothing."""
    names = [b"scratch:%06d" % number for number in range(count)]
    return [Trial(name, restore_command(name, FIELDS, Payload.LISTPACK), 1, 0) for name in names]


def test_what_keys_take(own_redis: RedisServer) -> None:
    """What Redis itself says of such a key, and its entry's class; nothing stays."""
    connection = TargetConnection(own_redis.url)
    found = measure(connection, trials(), NODE)
    assert isinstance(found, Measured)
    assert found.keys == 256
    assert connection.call("DBSIZE") == 0
    connection.call_packed(trials()[0].commands, "RESTORE")
    told = connection.call("MEMORY", "USAGE", trials()[0].name)
    connection.close()
    assert found.excess_bytes == pytest.approx(told, abs=12)
    assert found.excess_bytes == pytest.approx(key_bytes(Family.CLASSIC, 14, Value(compact_bytes(FIELDS))), abs=9)


def test_a_few_keys_tell_nothing(own_redis: RedisServer) -> None:
    """It says so."""
    connection = TargetConnection(own_redis.url)
    assert measure(connection, trials(8), NODE) == "too few rows to tell"
    assert connection.call("DBSIZE") == 0
    connection.close()


def test_a_key_that_is_refused(own_redis: RedisServer) -> None:
    """The reason, and nothing stays."""
    connection = TargetConnection(own_redis.url)
    wrong = [*trials(), Trial(b"scratch:wrong", b"*2\r\n$4\r\nINCR\r\n$14\r\nscratch:000000\r\n", 1, 0)]
    told = measure(connection, wrong, NODE)
    assert "WRONGTYPE" in str(told)
    assert connection.call("DBSIZE") == 0
    connection.close()


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999])
def test_whoever_dies_meanwhile_leaves_nothing(world: World, own_redis: RedisServer, share: float) -> None:
    """The connection breaks when a part of the transaction has been sent: these keys do not expire; none is there."""
    size = sum(len(trial.commands) for trial in trials())
    client = world.target()
    raw: Any = client.connection_pool.get_connection()
    sent: list[bytes] = []

    class Recording:
        """It notes what a connection would send."""

        def exchange(self, packed: bytes, names: list[str], most_bytes: int) -> list[object]:
            """Nothing is sent."""
            sent.append(packed)
            raise TargetLost(f"{len(names)} commands, {most_bytes} bytes")

    with pytest.raises(TargetLost):
        measure(Recording(), trials(), NODE)  # type: ignore[arg-type]
    (packed,) = sent
    assert len(packed) > size
    calls = _calls(own_redis)
    raw.send_packed_command([packed[: int(share * len(packed))]])
    wait_until(lambda: _queued(own_redis), "it has been received")
    raw.disconnect()
    wait_until(lambda: not _queued(own_redis), "the client is gone")
    assert own_redis.call("DBSIZE") == 0
    assert _calls(own_redis) == calls


def _queued(server: RedisServer) -> bool:
    """Whether a transaction is open on some connection."""
    clients = server.call("CLIENT", "LIST").decode().splitlines()
    return any("multi=-1" not in line for line in clients)


def _calls(server: RedisServer) -> str:
    return server.info("commandstats").get("cmdstat_restore", "calls=0").split(",")[0]
