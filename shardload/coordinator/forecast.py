"""Will it still fit? While a job runs, its projection is made anew from what Redis has really used. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from shardload.model.figures import NodeFigures
from shardload.model.projection import NodeMemory, Projection
from shardload.model.wording import size

_LEAST_SHARE = 0.02  # of the job, from which on what it has used tells of the rest
_LOOK_AHEAD = 1.5  # measurements


@dataclass(frozen=True)
class _Start:
    """What a node said first, and how much of the job was done then (0 to 1)."""

    memory: NodeMemory
    share: float


class Forecast:
    """One run's. It keeps what each node said first and last."""

    def __init__(self) -> None:
        self._first: dict[str, _Start] = {}
        self._last: dict[str, NodeMemory] = {}
        self._told: set[str] = set()

    def soon_bytes(self, node: NodeFigures) -> int:
        """What the node will use at most before the measurement after the next one, if it grows as it did."""
        now = node.memory
        before = self._last.get(node.address, now)
        self._last[node.address] = now
        keys, grown_bytes = now.keys - before.keys, max(0, now.used_bytes - before.used_bytes)
        if keys <= 0:
            return round(now.used_bytes + _LOOK_AHEAD * grown_bytes)
        return Projection(now, round(_LOOK_AHEAD * keys), grown_bytes / keys).peak_bytes

    def troubles(self, nodes: Sequence[NodeFigures], share: float) -> Iterator[str]:
        """What is to be told of the end, once for each node; `share` (0 to 1) of the job is done, by estimate."""
        for node in nodes:
            end = self._at_end(node, share)
            if end is None or end.fits:
                self._told.discard(node.address)
            elif node.address not in self._told:
                self._told.add(node.address)
                yield (
                    f"Redis {node.address} will need about {size(end.peak_bytes)} until the end, and has "
                    f"{size(node.most_bytes)}: raise its maxmemory"
                )

    def _at_end(self, node: NodeFigures, share: float) -> Projection | None:
        """The whole job's projection; None if there is no maxmemory, or too little to tell from."""
        start = self._first.setdefault(node.address, _Start(node.memory, share))
        keys, done = node.memory.keys - start.memory.keys, share - start.share
        if not node.most_bytes or keys <= 0 or done < _LEAST_SHARE:
            return None
        whole = round(keys * (1 - start.share) / done)
        expires = (node.memory.expiring_keys - start.memory.expiring_keys) / keys
        memory = replace(start.memory, limit_bytes=node.most_bytes)  # somebody may have raised it
        rough = Projection(memory, whole, 0.0, min(1.0, max(0.0, expires)))
        end = rough.recalibrated(node.memory.used_bytes, keys)
        return None if end is rough else end
