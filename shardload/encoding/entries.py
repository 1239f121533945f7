"""Packs a key as an entry of an RDB file. Pure. `native/_entries.pxd` writes the same bytes.

An entry has the time at which the key expires, if it does (0xFC, and the Unix time in ms, 8 bytes, little-endian); the
type byte of the value; the key as an RDB string; the value's body. Type and body are those of a payload of RESTORE
(`payload.py`). `rdbfile.py` has what stands around the entries.
"""

from __future__ import annotations

from shardload.encoding.payload import rdb_string

EXPIRES = 0xFC


def entry(key: bytes, value: bytes, expires_at_ms: int = 0) -> bytes:
    """The key with this value (type byte and body), which expires at this Unix time in ms; 0: never."""
    time = bytes([EXPIRES]) + expires_at_ms.to_bytes(8, "little", signed=True) if expires_at_ms else b""
    return time + value[:1] + rdb_string(key) + value[1:]
