"""How a key is written: with which command, in which payload, and for how long. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Payload(Enum):
    """A hash as RESTORE takes it. LISTPACK (RDB type 16) needs Redis 7 or a Valkey, PLAIN (type 4) serves every one."""

    LISTPACK = "listpack"
    PLAIN = "plain"


@dataclass(frozen=True)
class Form:
    """`payload` None: `DEL` and `HSET` (and `PEXPIRE`); else one `RESTORE ... REPLACE`. `ttl_ms` 0: keys stay.
    `whole`: those commands in a `MULTI ... EXEC`, so that nobody sees a key that is half written."""

    payload: Payload | None = None
    ttl_ms: int = 0
    jitter_ms: int = 0
    whole: bool = False

    @property
    def replies_per_key(self) -> int:
        """How many lines of reply a key's commands get."""
        if self.payload is not None:
            return 1
        commands = 3 if self.ttl_ms else 2
        return 2 + 2 * commands if self.whole else commands  # OK, QUEUED for each; an array's head, and each reply

    def ttl_of(self, key: bytes) -> int:
        """The key's own time to live in ms: `ttl_ms` give or take `jitter_ms`, evenly, always the same for a key.

        FNV-1a (Fowler, Noll, Vo) over the key, then the finaliser of SplitMix64 (Steele, Lea, Flood), which spreads
        keys that differ in their last digit alone over the whole span.
        """
        if not self.jitter_ms:
            return self.ttl_ms
        mixed = 0xCBF29CE484222325
        for byte in key:
            mixed = ((mixed ^ byte) * 0x100000001B3) & _ALL_ONES
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _ALL_ONES
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _ALL_ONES
        mixed ^= mixed >> 31
        return self.ttl_ms - self.jitter_ms + mixed % (2 * self.jitter_ms + 1)


_ALL_ONES = 0xFFFFFFFFFFFFFFFF


def jitter_ms(ttl_ms: int, share: float) -> int:
    """The jitter for a share (0 to 1) of the TTL; a key always keeps at least a millisecond."""
    return min(int(ttl_ms * share), ttl_ms - 1) if ttl_ms else 0
