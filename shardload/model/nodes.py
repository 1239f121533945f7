"""What a target's nodes say about themselves, and about the data that they have. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from shardload.model.tasks import UNKNOWN_EPOCH

NO_ID = "0" * 40  # what Redis shows in place of a replication id that it does not have
ALL_SLOTS = ((0, 16383),)


@dataclass(frozen=True)
class NodeFacts:
    """One master of the target. A fact that it does not tell is empty or 0.

    The replication fields are those of INFO: a server that was promoted has in `replid2` the id under which it was a
    replica before, and up to the offset `second_offset`, exclusive, the data of that master.
    """

    address: str
    run_id: str = ""
    """Changes when the server process restarts."""
    replid: str = ""
    """The name of its data's history; a new one begins with a promotion."""
    offset: int = 0
    """How far that history has come, in bytes."""
    replid2: str = ""
    second_offset: int = 0
    is_master: bool = True
    replicas: int = 0
    """How many are connected to it."""
    slots: tuple[tuple[int, int], ...] = ALL_SLOTS
    """The hash slots that it has, as (first, last); all of them if it is no node of a cluster."""

    @property
    def slot_count(self) -> int:
        """How many slots it has."""
        return sum(last - first + 1 for first, last in self.slots)

    def has_slots_within(self, before: NodeFacts) -> bool:
        """True if it has no slot that the other one did not have."""
        others = {slot for first, last in before.slots for slot in range(first, last + 1)}
        return all(slot in others for first, last in self.slots for slot in range(first, last + 1))

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> NodeFacts:
        """From what `dataclasses.asdict` and JSON make of it. TypeError, ValueError or KeyError if it is not that."""
        return cls(**{**told, "slots": tuple((int(first), int(last)) for first, last in told["slots"])})


def epoch_of(nodes: Iterable[NodeFacts]) -> int:
    """A number that stands for these processes with these data; UNKNOWN_EPOCH if none tells an id."""
    ids = sorted(" ".join(found) for node in nodes if (found := [one for one in (node.run_id, node.replid) if one]))
    if not ids:
        return UNKNOWN_EPOCH
    return int.from_bytes(hashlib.sha256("\n".join(ids).encode()).digest()[:7], "little") + 1
