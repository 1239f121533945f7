"""How a key is written: which command, which payload, which TTL. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

COMMANDS_PER_QUESTION = 2  # what the key holds, and when it expires


class Shape(Enum):
    """What a row becomes."""

    HASH = "hash"
    JSON = "json"  # a string with a JSON object
    STRING = "string"  # a string with the value of one column
    REDISJSON = "redisjson"  # a document of Redis's JSON module


class Payload(Enum):
    """The layout of a hash in a RESTORE payload.

    LISTPACK (RDB type 16) needs Redis 7 or any Valkey. Every server accepts PLAIN (RDB type 4).
    """

    LISTPACK = "listpack"
    PLAIN = "plain"


@dataclass(frozen=True)
class Form:
    """How every key of a job is written.

    - `payload`: None writes a hash with `DEL`, `HSET` and (if keys expire) `PEXPIRE`; a payload with `RESTORE`.
    - `ttl_ms`: the TTL; 0 means that keys do not expire. `jitter_ms`: each key's TTL differs from it by up to so much.
    - `whole`: put a key's commands into `MULTI ... EXEC`, so that nobody reads a half-written key.
    - `shape`: what a row becomes. `keeps`: leave a key that exists as it is.
    - `dated`: a column says when each key expires; a row that does not say so has the TTL.
    - `fingerprints`: give the fingerprints of the keys, too, because several rows may make one.
    - `reads`: ask for the keys instead of writing them, and give the answers of right ones (`questions.py`).
    - `rdb`: write entries of an RDB file instead of commands (`entries.py`), unless the form reads. TTLs count from the
      time that `Encoder.begin` is told.
    """

    payload: Payload | None = None
    ttl_ms: int = 0
    jitter_ms: int = 0
    whole: bool = False
    shape: Shape = Shape.HASH
    keeps: bool = False
    dated: bool = False
    fingerprints: bool = False
    reads: bool = False
    rdb: bool = False

    def __post_init__(self) -> None:
        """ValueError if an RDB file cannot have what the form says."""
        if self.rdb and self.shape is Shape.HASH and self.payload is None:
            raise ValueError("an RDB file with hashes, and no layout for them")
        if self.rdb and (self.shape is Shape.REDISJSON or self.keeps):
            raise ValueError("an RDB file has no documents of the JSON module, and keeps nothing that is there")

    @property
    def writes_entries(self) -> bool:
        """True if keys become entries of an RDB file, not commands."""
        return self.rdb and not self.reads

    @property
    def expires(self) -> bool:
        """True if keys may expire."""
        return self.ttl_ms > 0 or self.dated

    @property
    def is_single(self) -> bool:
        """True if one command writes a key."""
        if self.shape is Shape.HASH:
            return self.payload is not None
        return self.shape is not Shape.REDISJSON or self.keeps

    @property
    def commands_per_key(self) -> int:
        """How many commands write one key, or ask for it."""
        if self.reads:
            return COMMANDS_PER_QUESTION
        if self.rdb:
            return 0
        if self.is_single:
            return 1
        return (3 if self.expires else 2) + (2 if self.whole else 0)

    @property
    def replies_per_key(self) -> int:
        """How many lines Redis answers to the commands that write one key."""
        if self.reads or self.rdb or not self.whole or self.is_single:
            return self.commands_per_key
        return 2 * self.commands_per_key - 2  # OK, a QUEUED each; the array's head, a reply each

    @property
    def replies_per_lookup(self) -> int:
        """The same of a lookup."""
        return COMMANDS_PER_QUESTION if self.reads else 0 if self.rdb else 1

    def check_fields(self, fields: int) -> None:
        """ValueError if rows with so many fields cannot have this form."""
        if self.shape is Shape.STRING and fields != 1:
            raise ValueError(f"a string of {fields} fields")

    def ttl_of(self, key: bytes) -> int:
        """The key's TTL in ms: evenly distributed over `ttl_ms` ± `jitter_ms`, and always the same for the same key.

        The key is hashed with FNV-1a (Fowler, Noll, Vo). The finaliser of SplitMix64 (Steele, Lea, Flood) then spreads
        the hashes: without it, keys that differ in their last digit only would get nearly the same TTL.
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
    """The jitter in ms for a share (0 to 1) of the TTL. It leaves every key a TTL of at least 1 ms; 0 without a TTL."""
    return min(int(ttl_ms * share), ttl_ms - 1) if ttl_ms else 0
