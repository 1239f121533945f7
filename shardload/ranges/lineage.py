"""What of the confirmed keys a target still has after a restart or a failover. Pure.

Replication is asynchronous: a promoted replica may lack what its master had confirmed last. Redis tells how far it
came: `master_replid2` names the history that it followed, `second_repl_offset` the first byte of it that it does not
have. So the coordinator looks at the target once a second while it has replicas, and keeps each master's offset in a
checkpoint. Whatever was confirmed before a look is in the history before that look's offset; what came later is loaded
again.

Source: redis.io, "Redis replication", and the fields of INFO replication.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shardload.errors import GaveUp
from shardload.model.nodes import NO_ID, NodeFacts

_MOST_KEPT = 256  # checkpoints: a replica that lags by more than so many seconds counts as one that has nothing


@dataclass(frozen=True)
class Checkpoint:
    """The target at one look. Ranges that were settled before the look `number` was begun are in it."""

    number: int
    epoch: int
    nodes: tuple[NodeFacts, ...]


class Lineage:
    """The checkpoints of a job, the oldest first."""

    def __init__(self, checkpoints: Iterable[Checkpoint] = ()) -> None:
        self._checkpoints = list(checkpoints)

    @property
    def last(self) -> Checkpoint | None:
        """The newest checkpoint; None if there is none."""
        return self._checkpoints[-1] if self._checkpoints else None

    def add(self, checkpoint: Checkpoint) -> list[int]:
        """Add the newest checkpoint. The result: the numbers of those that are not kept any more."""
        self._checkpoints.append(checkpoint)
        dropped = self._checkpoints[:-_MOST_KEPT]
        del self._checkpoints[:-_MOST_KEPT]
        return [one.number for one in dropped]

    def survives_until(self, now: Sequence[NodeFacts], *, after_a_gap: bool = False) -> int | None:
        """What the target, as it is now, has of the keys that it confirmed: None means all of them, a number those of
        ranges that were settled before this look, 0 that it may have lost any.

        `after_a_gap` says that nobody has looked for a long time.
        """
        if self.last is None:
            return 0
        until = [self._node_until(before, now, after_a_gap=after_a_gap) for before in self.last.nodes if before.slots]
        return min((one for one in until if one is not None), default=None)

    def _node_until(self, before: NodeFacts, now: Sequence[NodeFacts], *, after_a_gap: bool) -> int | None:
        """The same for what one master had: a promoted replica of it decides, even if it is still there itself.

        The same process with another history was a replica meanwhile, and was promoted. If it has no second history,
        it got its first replica; but an hour without replicas removes the second history, too.
        """
        others = [node for node in now if node.run_id != before.run_id and node.slots]
        for node in others:
            if node.replid2 == before.replid != "":
                return self._until_offset(before, node, node.second_offset)
        same = next((node for node in now if _is_same_process(before, node)), None)
        if same is not None and not (same.is_master and same.slots):
            return None if self._has_moved(before, others) else 0
        if same is not None and (same.replid == before.replid or (same.replid2 in ("", NO_ID) and not after_a_gap)):
            return None
        if same is not None and same.replid2 == before.replid != "":
            return self._until_offset(before, same, same.second_offset)
        for node in others:
            if node.replid == before.replid != "":  # it follows the same history, and is not promoted yet
                return self._until_offset(before, node, node.offset + 1)
        return 0

    def _has_moved(self, before: NodeFacts, others: Sequence[NodeFacts]) -> bool:
        """True if a master that is alive has given its slots away, with their keys: to masters that were there before,
        or to new ones that were never replicas."""
        known = {node.run_id for node in self._checkpoints[-1].nodes}
        slots = {
            slot
            for node in others
            if node.is_master and (node.run_id in known or node.replid2 in ("", NO_ID))
            for first, last in node.slots
            for slot in range(first, last + 1)
        }
        return all(slot in slots for first, last in before.slots for slot in range(first, last + 1))

    def _until_offset(self, before: NodeFacts, now: NodeFacts, end: int) -> int:
        """The newest look at this history before the offset `end`. A slot that the node got later came with keys, which
        may be lost however old they are: then none is."""
        for checkpoint in reversed(self._checkpoints):
            for node in checkpoint.nodes:
                if node.replid == before.replid and node.offset < end and now.has_slots_within(node):
                    return checkpoint.number
        return 0


def _is_same_process(before: NodeFacts, now: NodeFacts) -> bool:
    """True if they are one process; if it does not tell its id, its history has to be the same."""
    return now.run_id == before.run_id and (now.run_id != "" or now.replid == before.replid)


def who_has_what(nodes: tuple[NodeFacts, ...]) -> list[tuple[str, str, object]]:
    """Which servers have which slots, whatever else is known of them."""
    return [(node.run_id, node.replid, node.slots) for node in nodes]


def several_servers() -> GaveUp:
    """The error for an address behind which several servers answer in turn."""
    return GaveUp(
        "--redis leads to several servers that do not have the same data: keys were confirmed by one and by another",
        "make that address lead to one server, then resume the job; or name the primary in a new job",
    )
