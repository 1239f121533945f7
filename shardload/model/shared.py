"""The keys that a job made more than once: how many, and what to tell of them. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SHARED = "shared"
"""The name under which the journal has it."""


@dataclass(frozen=True)
class Shared:
    """How many keys were made more than once, and what to tell of them; empty if there is nothing to tell. `is_unsure`
    says that looking again may find more."""

    keys: int = 0
    told: str = ""
    is_unsure: bool = False

    @classmethod
    def from_json(cls, fact: dict[str, Any]) -> Shared:
        """What the journal has; nothing if that makes no sense."""
        keys, told = fact.get("keys"), fact.get("told")
        return cls(keys if isinstance(keys, int) else 0, told if isinstance(told, str) else "")

    def as_json(self, *, is_final: bool) -> dict[str, Any]:
        """What the journal gets. `is_final` says that nobody has to look again."""
        return {"keys": self.keys, "told": self.told, "is_final": is_final}
