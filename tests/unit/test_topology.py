"""What CLUSTER SLOTS says, and single keys in packed commands."""

from __future__ import annotations

from typing import Any

import pytest

from shardload.config.addresses import Address
from shardload.encoding import Form, Payload, Slot, make_encoder
from shardload.errors import TargetLost
from shardload.target.commands import split_keys, words_of
from shardload.target.node import request_for
from shardload.target.topology import parse_slots
from tests.layouts import straight
from tests.unit import wire

ASKED = Address("asked.example", 7000)


def node(host: bytes | None, port: int) -> list[Any]:
    """As Redis 7 shows it: host, port, id, more."""
    return [host, port, b"id", []]


def test_who_has_which_slots() -> None:
    """Masters and replicas; a host that is not told is that of the node that was asked."""
    reply = [
        [5461, 10922, node(b"10.0.0.2", 7001), node(b"10.0.0.5", 7004)],
        [0, 5460, node(None, 7000), node(b"::1", 7003)],
        [10923, 16000, node(b"?", 7002)],
        [16383, 16383, node(b"10.0.0.2", 7001)],
    ]
    found = parse_slots(reply, ASKED)
    own, second, third = Address("asked.example", 7000), Address("10.0.0.2", 7001), Address("asked.example", 7002)
    assert found.masters == [own, second, third]
    assert found.replicas == (Address("10.0.0.5", 7004), Address("::1", 7003))
    assert found.slots_of(second) == ((5461, 10922), (16383, 16383))
    assert found.slots_covered == 16384 - 382


@pytest.mark.parametrize(
    "reply",
    [
        b"OK", 5, None, [[1]], [[0, 16384, node(b"h", 1)]], [[5, 4, node(b"h", 1)]], [[0, 1, b"x"]],
        [[b"a", 1, node(b"h", 1)]], [[0, 1, [b"\xff", 1]]],
    ],
)  # fmt: skip
def test_no_answer_of_a_cluster(reply: Any) -> None:
    """The connection is of no use."""
    with pytest.raises(TargetLost, match="CLUSTER SLOTS"):
        parse_slots(reply, ASKED)


@pytest.mark.parametrize(
    "form", [Form(Payload.LISTPACK), Form(), Form(ttl_ms=500), Form(whole=True), Form(ttl_ms=500, whole=True)]
)
def test_single_keys_are_found_in_a_batch(form: Form) -> None:
    """Each key's commands, byte for byte; values may look like commands."""
    rows = [[b"%d" % n, b"*2\r\n$3\r\nDEL\r\n$1\r\n1\r\n" * n] for n in range(5)]
    encoder = make_encoder(straight(("id", "v"), key=(b"k{", Slot(0), b"}")), form, native=False)

    def encoded(*some: list[bytes]) -> bytes:
        encoder.begin(0)
        return bytes(encoder.encode(wire.stream([wire.row(list(row)) for row in some])[0]).commands)

    keys = split_keys(encoded(*rows), form.commands_per_key)
    assert [b"".join(commands) for commands in keys] == [encoded(row) for row in rows]
    assert [len(commands) for commands in keys] == [form.commands_per_key] * 5
    for number, commands in enumerate(keys):
        assert any(b"k{%d}" % number in words_of(command) for command in commands)
        assert request_for(commands).slot == request_for([b"*2\r\n$3\r\nGET\r\n$1\r\n%d\r\n" % number]).slot
