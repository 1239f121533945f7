"""What keys take in a Redis's memory, measured: scratch keys are written and removed in one transaction.

Nobody sees them, nothing else happens between two looks at `used_memory`, and whoever dies meanwhile leaves none.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from shardload.encoding import packed, slot_of
from shardload.errors import TargetBusy, TargetError, TargetLost
from shardload.model.memory import doubles, table_bytes
from shardload.model.projection import NodeMemory
from shardload.target.connection import TargetConnection
from shardload.target.probe import used_memory
from shardload.target.refusals import NO_REDIS
from shardload.target.target import Target

MOST_TRIALS = 256  # in one transaction: Redis does nothing else for a millisecond or two
MOST_TRIAL_BYTES = 1024 * 1024
_LOOKS, _LEAST_AT_ONCE = 16, 4  # at the memory, and keys between two of them
_LEAST_LOOKS = 4
_MOST_ANSWER_BYTES = 2 * 2**20
_TOO_FEW = "too few rows to tell"


@dataclass(frozen=True)
class Trial:
    """A scratch key: its name, the packed commands that write it, how many they are, what it should take by arithmetic,
    and whether it expires."""

    name: bytes
    commands: bytes
    count: int
    expected_bytes: int
    expires: bool = False


@dataclass(frozen=True)
class Measured:
    """What scratch keys took: `excess_bytes` is how much more a key takes than was expected, `seconds` how long a key
    took to be written."""

    keys: int
    excess_bytes: float
    seconds: float


def measure(connection: TargetConnection, trials: Sequence[Trial], node: NodeMemory) -> Measured | str:
    """Write scratch keys, whose names must have one slot where the server is a cluster's, and see what they take beside
    their places in tables. If it cannot be measured: why. `node` says how many keys there are.

    TargetLost if the connection breaks, TargetBusy if Redis cannot write now.
    """
    at_once = max(_LEAST_AT_ONCE, -(-len(trials) // _LOOKS))
    groups = [trials[at : at + at_once] for at in range(0, len(trials), at_once)]
    if len(groups) < _LEAST_LOOKS:
        return _TOO_FEW
    look = packed(b"INFO", b"memory")
    pieces, looks, commands = [packed(b"MULTI"), look], [0], 1
    for group in groups:
        pieces += [*[trial.commands for trial in group], look]
        commands += sum(trial.count for trial in group) + 1
        looks.append(commands - 1)
    pieces += [packed(b"DEL", *[trial.name for trial in trials]), packed(b"EXEC")]
    begun_s = time.monotonic()
    names = ["MULTI", *["a scratch key"] * (commands + 1), "EXEC"]
    *queued, done = connection.exchange(b"".join(pieces), names, _MOST_ANSWER_BYTES)
    took_s = time.monotonic() - begun_s
    if refusal := _refusal(queued, done):
        return refusal
    used = [used_memory(done[at]) for at in looks]
    if None in used:
        return "INFO does not tell used_memory"
    places = _places(node, groups)
    excess = sorted(
        (after - before - place - sum(trial.expected_bytes for trial in group)) / len(group)
        for group, place, (before, after) in zip(groups, places, pairwise(used), strict=True)
        if before is not None and after is not None and place is not None
    )
    if not excess:
        return _TOO_FEW
    middle = excess[len(excess) // 4 : -(-3 * len(excess) // 4)]
    return Measured(len(trials), sum(middle) / len(middle), took_s / len(trials))


def _places(node: NodeMemory, groups: Sequence[Sequence[Trial]]) -> list[int | None]:
    """How much the tables should grow with each of these groups of keys; None where one grows to twice its size, and
    behind that, because the old one goes at any time."""
    found: list[int | None] = []
    keys, expiring, was_growing = node.keys // node.tables, node.expiring_keys // node.tables, False
    for group in groups:
        steps = [(keys, keys + len(group)), (expiring, expiring + sum(trial.expires for trial in group))]
        is_growing = any(doubles(node.family, *step) for step in steps)
        more = sum(table_bytes(node.family, after) - table_bytes(node.family, before) for before, after in steps)
        found.append(None if is_growing or was_growing else more)
        (_, keys), (_, expiring), was_growing = *steps, is_growing
    return found


def _refusal(queued: Sequence[Any], done: Any) -> str:
    """Why nothing was measured; empty if it was. TargetBusy or TargetLost as for `measure`."""
    for reply in queued:
        if isinstance(reply, (TargetLost, TargetBusy)):
            raise reply
        if isinstance(reply, TargetError):
            return reply.message
    if isinstance(done, TargetError):
        return done.message
    if not isinstance(done, list) or len(done) != len(queued) - 1:
        raise TargetLost("asking Redis: the answer to EXEC does not fit", NO_REDIS)
    errors = [reply for reply in done if isinstance(reply, Exception)]
    return f"a scratch key was refused: {errors[0]}" if errors else ""


def tag_for(target: Target, node: int, most_tries: int = 100_000) -> bytes:
    """A text that, as a key's hash tag, puts the key on this node. Empty if none is needed, or if none is found."""
    if target.routes is None:
        return b""
    for number in range(most_tries):
        tag = b"sl%d" % number
        if target.routes[slot_of(b"{%b}" % tag)] == node:
            return tag
    return b""


def existing(target: Target, keys: Sequence[bytes]) -> int | None:
    """How many of these keys exist; None if Redis does not let this user ask. TargetLost if the connection breaks."""
    replies = target.call_keys([("EXISTS", key) for key in keys], errors=True)
    for reply in replies:
        if isinstance(reply, TargetLost):
            raise reply
    return sum(replies) if all(type(reply) is int for reply in replies) else None
