"""Fingerprints of keys: by them keys that rows share are found, without keeping the keys. Pure.

This module defines both the fingerprint and the tally; `native/_fingerprints.pxi` does the same.
"""

from __future__ import annotations

from array import array
from typing import Protocol

from shardload.encoding.payload import crc64

BYTES = 8
"""Of a fingerprint, little-endian."""
END = 1 << 64
_SPREAD = 0x9E3779B97F4A7C15  # 2**64 by the golden ratio: neighbours get distant places
_SLOT_BITS = 65  # a fingerprint, and whether it came again
_FULL_TENTHS = 8  # a fuller table would be searched too long


def fingerprint_of(key: bytes) -> int:
    """The key's CRC64, and with it its length: keys that differ in NULs at the front only would have the same one."""
    return crc64(key) ^ len(key)


def slots_in(memory_bytes: int) -> int:
    """How many slots a tally has in so much memory."""
    return max(2, memory_bytes * 8 // _SLOT_BITS)


def most_of(slots: int) -> int:
    """How many different fingerprints a tally of so many slots takes."""
    return max(1, slots * _FULL_TENTHS // 10)


class Tally(Protocol):
    """Counts the fingerprints that come more than once. Its memory is bounded, so a tally of all fingerprints is made
    in several passes: `begin` one, `add` all of them, and take `shared` and `examples`."""

    shared: int
    """How many different fingerprints of this pass came more than once."""
    examples: list[int]
    """The first of them."""

    def begin(self, low: int, high: int, /) -> None:
        """Begin a pass, which counts the fingerprints from `low` to below `high` (END at most)."""
        ...

    def add(self, fingerprints: bytes, /) -> bool:
        """Count these. False if there are more different ones than fit: the pass has to begin again with fewer."""
        ...

    def missing(self, fingerprints: bytes, /) -> list[int]:
        """The places of those that belong to this pass, and that were not counted."""
        ...


class ReferenceTally:
    """A table with open addressing; 0 marks a free slot, so the fingerprint 0 counts as 1. See `Tally`."""

    def __init__(self, slots: int, examples: int) -> None:
        self._slots, self._most, self._most_examples = slots, most_of(slots), examples
        self._table = array("Q", bytes(BYTES * slots))
        self._again = bytearray((slots + 7) // 8)
        self.begin(0, END)

    def begin(self, low: int, high: int) -> None:
        """See `Tally`."""
        self._low, self._high, self._used = low, high, 0
        self._table = array("Q", bytes(BYTES * self._slots))
        self._again = bytearray(len(self._again))
        self.shared = 0
        self.examples: list[int] = []

    def add(self, fingerprints: bytes) -> bool:
        """See `Tally`."""
        found = array("Q")
        found.frombytes(fingerprints)
        return all(self._add(one) for one in found if self._low <= one < self._high)

    def missing(self, fingerprints: bytes) -> list[int]:
        """See `Tally`."""
        found = array("Q")
        found.frombytes(fingerprints)
        mine = [(place, one) for place, one in enumerate(found) if self._low <= one < self._high]
        return [place for place, one in mine if not self._table[self._slot(one or 1)]]

    def _slot(self, wanted: int) -> int:
        """Where it is, or belongs."""
        at = ((wanted * _SPREAD % END >> 32) * self._slots) >> 32
        while self._table[at] not in (0, wanted):
            at = at + 1 if at + 1 < self._slots else 0
        return at

    def _add(self, fingerprint: int) -> bool:
        wanted, table = fingerprint or 1, self._table
        at = self._slot(wanted)
        if not table[at]:
            table[at] = wanted
            self._used += 1
            return self._used <= self._most
        if not self._again[at >> 3] >> (at & 7) & 1:
            self._again[at >> 3] |= 1 << (at & 7)
            self.shared += 1
            if len(self.examples) < self._most_examples:
                self.examples.append(wanted)
        return True
