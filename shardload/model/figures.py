"""What is measured beside a job's work, once a second: figures of MySQL, of its replicas, and of Redis's nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shardload.model.memory import Family
from shardload.model.projection import NodeMemory


@dataclass(frozen=True)
class NodeFigures:
    """One Redis server. `latency_ms` is how long all but the slowest of the last PINGs took at most; None: not
    measured."""

    memory: NodeMemory = field(default_factory=NodeMemory)
    evicted_keys: int = 0
    is_saving: bool = False
    latency_ms: float | None = None

    @property
    def address(self) -> str:
        """The node's."""
        return self.memory.address

    @property
    def most_bytes(self) -> int:
        """Its maxmemory; 0 without one."""
        return (self.memory.limit_bytes or 0) if self.memory.limit == "maxmemory" else 0


@dataclass(frozen=True)
class Figures:
    """One measurement. `status` has MySQL's status variables, `lags_ms` how far each replica is behind, None where that
    is not known. `troubles` say what could not be measured, and why; `is_whole` is false if a server did not answer."""

    status: Mapping[str, int] = field(default_factory=dict)
    lags_ms: Mapping[str, int | None] = field(default_factory=dict)
    nodes: tuple[NodeFigures, ...] = ()
    troubles: tuple[str, ...] = ()
    is_whole: bool = True

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Figures:
        """From what `dataclasses.asdict` and JSON make of it."""
        nodes = tuple(NodeFigures(**node | {"memory": _memory(node["memory"])}) for node in told["nodes"])
        return cls(told["status"], told["lags_ms"], nodes, tuple(told["troubles"]), told["is_whole"])


def _memory(told: dict[str, Any]) -> NodeMemory:
    return NodeMemory(**told | {"family": Family(told["family"])})
