"""Writes a key as an entry of an RDB file. `entries.py` defines the bytes.

Nothing here checks bounds: the caller has reserved the room.
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t

from shardload.encoding.native._commands cimport Expiry
from shardload.encoding.native._payloads cimport Value
from shardload.encoding.native._writers cimport put, put_little, put_rdb_string

cdef enum:
    ENTRY_OVERHEAD = 32  # bytes: the time, the type, two lengths
    EXPIRES = 0xFC
    STRING = 0  # type byte


cdef inline uint64_t expires_at_ms(const Expiry *expiry, int64_t now_ms) noexcept nogil:
    """The Unix time in ms, if it is `now_ms` now; 0: never."""
    return expiry.ms if expiry.is_date or not expiry.ms else <uint64_t>now_ms + expiry.ms


cdef inline uint8_t *put_entry(
    uint8_t *out, const Value *key, uint64_t at_ms, const Value *value, bint is_text
) noexcept nogil:
    """Write the key, which expires at `at_ms`, and its value: a text, or type byte and body."""
    if at_ms:
        out[0] = EXPIRES
        out = put_little(out + 1, at_ms, 8)
    out[0] = STRING if is_text else value.data[0]
    out = put_rdb_string(out + 1, key.data, key.size)
    if is_text:
        return put_rdb_string(out, value.data, value.size)
    return put(out, value.data + 1, value.size - 1)
