"""What a verify finds: a key that is not as its row says, or that no row stands for. Pure."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

CHECKS = "checks"
"""The name under which the journal of a verify has what it checks."""

EXTRA_FACT = "extra"
"""The name under which it has whether keys that no row stands for were looked for."""


class Fault(enum.Enum):
    """What is wrong with a key. The values are an interface: the journal and `--json` have them."""

    MISSING = "missing"
    DIFFERENT = "different"  # it holds something else
    TYPE = "type"  # it is of another type
    EXPIRY = "expiry"  # it expires at another time, never, or although it should not
    EXTRA = "extra"  # no row stands for it

    @property
    def words(self) -> str:
        """As people read it."""
        return _WORDS[self]


_WORDS = {
    Fault.MISSING: "missing",
    Fault.DIFFERENT: "different",
    Fault.TYPE: "of another type",
    Fault.EXPIRY: "with another expiry",
    Fault.EXTRA: "that no row stands for",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """One key. `detail` says more, for people: in which fields; `is_repaired` that the key was written again, and was
    then found right."""

    key: bytes
    fault: Fault
    detail: str = ""
    is_repaired: bool = False


@dataclass(frozen=True)
class DifferenceTotals:
    """How many keys have each fault, and how many of all are repaired."""

    found: Mapping[Fault, int]
    repaired: int = 0

    @property
    def keys(self) -> int:
        """How many keys differed."""
        return sum(self.found.values())

    @property
    def left(self) -> int:
        """How many keys still differ."""
        return self.keys - self.repaired


NO_DIFFERENCES = DifferenceTotals({})
