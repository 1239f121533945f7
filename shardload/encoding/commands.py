"""Packs the commands that write one key. Pure. `native/_commands.pxd` writes the same bytes.

Every write replaces the whole key, whatever it was before (another type, more fields, a TTL), or keeps it as it is.
RESTORE and SET do so in one command. HSET needs several: `DEL key`, `HSET key field ...`, and `PEXPIRE key ms` if keys
expire. They run in one transaction, so nobody reads a half-written key. On a server without MULTI, a reader may find no
key between DEL and HSET. JSON.SET is written like HSET: by itself it leaves an old TTL, and refuses a key of another
type.
"""

from __future__ import annotations

from dataclasses import dataclass

from shardload.encoding.form import Form, Payload
from shardload.encoding.payload import Fields, hash_payload

MOST_VALUE_BYTES = 512 * 2**20  # Redis's default for proto-max-bulk-len; a longer one ends the connection


class ValueTooLong(Exception):
    """A value of `size_bytes` is longer than Redis accepts."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(size_bytes)
        self.size_bytes = size_bytes


@dataclass(frozen=True, slots=True)
class Expiry:
    """When a key expires: in so many ms, or with `is_date` at this Unix time in ms. 0 ms: never."""

    ms: int = 0
    is_date: bool = False

    def at_ms(self, now_ms: int) -> int:
        """The Unix time in ms, if it is `now_ms` now; 0: never."""
        return self.ms if self.is_date or not self.ms else now_ms + self.ms


def packed(*words: bytes) -> bytes:
    """A command, as Redis reads it."""
    return b"*%d\r\n%b" % (len(words), b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words))


def checked(value: bytes) -> bytes:
    """The value. ValueTooLong if Redis would not accept it."""
    if len(value) > MOST_VALUE_BYTES:
        raise ValueTooLong(len(value))
    return value


def restore_command(
    key: bytes, fields: Fields, preferred: Payload, expiry: Expiry = Expiry(), *, keeps: bool = False
) -> bytes:
    """`RESTORE key ttl payload [REPLACE] [ABSTTL]`."""
    words = [] if keeps else [b"REPLACE"]
    if expiry.is_date:
        words.append(b"ABSTTL")
    return packed(b"RESTORE", key, b"%d" % expiry.ms, checked(hash_payload(fields, preferred)), *words)


def set_command(key: bytes, value: bytes, expiry: Expiry = Expiry(), *, keeps: bool = False) -> bytes:
    """`SET key value [PX ms|PXAT ms] [NX]`."""
    words = [b"PXAT" if expiry.is_date else b"PX", b"%d" % expiry.ms] if expiry.ms else []
    if keeps:
        words.append(b"NX")
    return packed(b"SET", key, checked(value), *words)


def hset_commands(key: bytes, fields: Fields, form: Form, expiry: Expiry = Expiry()) -> bytes:
    """`DEL key`, `HSET key field value ...`, and what `_in_place` adds."""
    return _in_place(packed(b"HSET", key, *[text for field in fields for text in field]), key, form, expiry)


def json_set_commands(key: bytes, document: bytes, form: Form, expiry: Expiry = Expiry()) -> bytes:
    """`DEL key`, `JSON.SET key $ document`, and what `_in_place` adds; or `JSON.SET key $ document NX`."""
    if form.keeps:
        return packed(b"JSON.SET", key, b"$", checked(document), b"NX")
    return _in_place(packed(b"JSON.SET", key, b"$", checked(document)), key, form, expiry)


def _in_place(command: bytes, key: bytes, form: Form, expiry: Expiry) -> bytes:
    """`DEL key` before the command, and `PEXPIRE key ms` or `PEXPIREAT key ms` behind it; all in a transaction if the
    form says so. Where keys may expire and this one does not, `PERSIST key`: so every key has as many replies."""
    pieces = [packed(b"DEL", key), command]
    if expiry.ms:
        pieces.append(packed(b"PEXPIREAT" if expiry.is_date else b"PEXPIRE", key, b"%d" % expiry.ms))
    elif form.expires:
        pieces.append(packed(b"PERSIST", key))
    if form.whole:
        pieces = [packed(b"MULTI"), *pieces, packed(b"EXEC")]
    return b"".join(pieces)
