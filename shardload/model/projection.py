"""Will it fit? What an import will add to a node's memory, and what there is. Pure.

A projection is made before an import, from a sample of its rows; `recalibrated` makes a better one from what the server
has used since.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from shardload.model.memory import Family, before_last_doubling, table_bytes
from shardload.model.wording import counted, size

_LEAST_TELLING_KEYS = 10_000  # new ones, from which on what they use tells more than the sample
_CLOSE = 0.9


@dataclass(frozen=True)
class NodeMemory:
    """What a node says about its memory. `limit_bytes` is None if nothing is known; `limit` says which one it is.

    `tables` is into how many its keys are divided: newer servers have one for each slot of a cluster.
    """

    address: str = ""
    used_bytes: int = 0
    limit_bytes: int | None = None
    limit: str = ""
    policy: str = "noeviction"
    keys: int = 0
    expiring_keys: int = 0
    family: Family = Family.CLASSIC
    tables: int = 1

    @property
    def free_bytes(self) -> int | None:
        """What is left below the limit; never less than nothing. None if no limit is known."""
        return None if self.limit_bytes is None else max(0, self.limit_bytes - self.used_bytes)


@dataclass(frozen=True)
class Projection:
    """One node's memory, and what comes: `new_keys` of `bytes_per_key` on average, without tables; `expires` is the
    share of them that does. `margin_bytes` is for what exists only meanwhile."""

    node: NodeMemory
    new_keys: int
    bytes_per_key: float
    expires: float = 0.0
    margin_bytes: int = 0

    @property
    def added_bytes(self) -> int:
        """What the node uses more at the end."""
        return self._added(self.new_keys)

    @property
    def peak_bytes(self) -> int:
        """The most that the node uses meanwhile: when a table grows, the old one is there until all has moved."""
        node = self.node
        keys = node.keys + self.new_keys
        crossing = before_last_doubling(node.family, keys) - node.keys
        most = self.added_bytes
        if node.tables == 1 and 0 <= crossing < self.new_keys:
            old = table_bytes(node.family, node.keys + crossing)
            most = max(most, self._added(crossing + 1) + old)
        return node.used_bytes + most + self.margin_bytes

    @property
    def missing_bytes(self) -> int:
        """How much there is too little; 0 if it fits, if nothing comes, or if no limit is known."""
        limit = self.node.limit_bytes
        return 0 if limit is None or not self.new_keys else max(0, self.peak_bytes - limit)

    @property
    def fits(self) -> bool:
        """False if it does not, for certain."""
        return not self.missing_bytes

    @property
    def is_close(self) -> bool:
        """True if it fits, and less than a tenth of the limit is left."""
        limit = self.node.limit_bytes
        return self.fits and limit is not None and self.peak_bytes > _CLOSE * limit

    def recalibrated(self, used_bytes: int, new_keys: int) -> Projection:
        """The same with what a key really takes, when `used_bytes` are used and so many of the new keys are there.

        It stays as it is until there are enough to tell.
        """
        if new_keys < _LEAST_TELLING_KEYS or not self.new_keys:
            return self
        tables = self._added(new_keys) - round(new_keys * self.bytes_per_key)
        bytes_per_key = max(0.0, (used_bytes - self.node.used_bytes - tables) / new_keys)
        return replace(self, new_keys=max(self.new_keys, new_keys), bytes_per_key=bytes_per_key)

    def _added(self, new_keys: int) -> int:
        node = self.node
        added = round(new_keys * self.bytes_per_key)
        for before, more in ((node.keys, new_keys), (node.expiring_keys, round(new_keys * self.expires))):
            added += table_bytes(node.family, before + more, node.tables)
            added -= table_bytes(node.family, before, node.tables)
        return added

    def as_json(self) -> dict[str, Any]:
        """Its fields, for `plan --json`."""
        node = self.node
        return {
            "address": node.address,
            "used_bytes": node.used_bytes,
            "limit_bytes": node.limit_bytes,
            "limit": node.limit or None,
            "policy": node.policy,
            "keys": node.keys,
            "new_keys": self.new_keys,
            "bytes_per_key": round(self.bytes_per_key, 1),
            "added_bytes": self.added_bytes,
            "peak_bytes": self.peak_bytes,
            "missing_bytes": self.missing_bytes,
            "fits": None if node.limit_bytes is None else self.fits,
        }


def fullest(projections: Sequence[Projection]) -> Projection:
    """The one that decides, of at least one: what misses most; else what comes closest to its limit."""
    return max(projections, key=lambda one: (one.missing_bytes, one.peak_bytes / (one.node.limit_bytes or 2**63)))


def told(one: Projection, nodes: int = 1) -> str:
    """A projection in words: what is used, what comes, and what there is."""
    node = one.node
    where = f"{node.address}: " if nodes > 1 else ""
    what = f"{where}{size(node.used_bytes)} used, about {size(one.added_bytes)} more for {counted(one.new_keys, 'key')}"
    if node.limit_bytes is None:
        return f"{what}; no limit is known"
    return f"{what}, of {size(node.limit_bytes)} ({node.limit}, {node.policy})"
