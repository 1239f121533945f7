"""What INFO tells about a server: epoch, policy and numbers; malformed facts count as missing."""

from __future__ import annotations

import pytest

from shardload.model.tasks import UNKNOWN_EPOCH
from shardload.target.probe import parse_info


def info(**facts: str) -> str:
    """INFO's text."""
    return "# Server\r\n" + "".join(f"{name}:{value}\r\n" for name, value in facts.items())


RUN, DATA = "a" * 40, "b" * 40


def test_an_epoch_is_a_process_and_its_data() -> None:
    """Another process, or another replication id, is another epoch; a missing id does not count."""
    epochs = [
        parse_info(info(run_id=RUN, master_replid=DATA), 0).epoch,
        parse_info(info(run_id=RUN, master_replid="c" * 40), 0).epoch,
        parse_info(info(run_id="d" * 40, master_replid=DATA), 0).epoch,
        parse_info(info(run_id=RUN), 0).epoch,
        parse_info(info(master_replid=DATA), 0).epoch,
        parse_info(info(run_id="no hex, and long" * 10), 0).epoch,
        parse_info(info(run_id=""), 0).epoch,
    ]
    assert len(set(epochs)) == len(epochs)
    assert epochs[-1] == UNKNOWN_EPOCH == parse_info("", 0).epoch
    assert all(0 <= epoch < 2**63 for epoch in epochs)
    assert epochs[0] == parse_info(info(uptime="1", master_replid=DATA, run_id=RUN), 5).epoch


@pytest.mark.parametrize(
    ("told", "server", "evicted", "evicts"),
    [
        ({"redis_version": "7.0.15", "evicted_keys": "3"}, "redis 7.0.15", 3, ""),
        ({"redis_version": "7.2.4", "valkey_version": "9.1.0"}, "valkey 9.1.0", 0, ""),
        ({"maxmemory": "1000", "maxmemory_policy": "allkeys-lru"}, "redis", 0, "allkeys-lru"),
        ({"maxmemory": "0", "maxmemory_policy": "allkeys-lru"}, "redis", 0, ""),
        ({"maxmemory": "lots", "maxmemory_policy": "allkeys-lru", "evicted_keys": "-1"}, "redis", 0, ""),
        ({"maxmemory": "9" * 5000, "evicted_keys": "²", "redis_version": "v" * 5000}, f"redis {'v' * 300}...", 0, ""),
    ],
)
def test_figures(told: dict[str, str], server: str, evicted: int, evicts: str) -> None:
    """Only valid numbers are used."""
    facts = parse_info(info(**told), 7)
    assert (facts.server, facts.evicted_keys, facts.evicts, facts.keys) == (server, evicted, evicts, 7)
