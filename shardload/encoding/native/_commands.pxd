"""Writes the commands of one key: `DEL`, `HSET` and `PEXPIRE`, or one `RESTORE` or `SET`. `commands.py` defines the bytes.

Nothing here checks bounds: the caller has reserved the room. Every function returns the place after what it wrote.
"""

from libc.stdint cimport uint8_t, uint64_t

from shardload.encoding.native._payloads cimport Row, Value
from shardload.encoding.native._writers cimport MOST_DIGITS, put, put_bulk, put_number

cdef enum:
    COMMANDS_OVERHEAD = 512  # bytes: the words, lengths and line ends of a key's commands, without its fields


cdef struct Expiry:
    uint64_t ms  # 0: never
    bint is_date  # a Unix time, else from now


cdef inline uint64_t ttl_of(const Value *key, uint64_t ttl_ms, uint64_t jitter_ms) noexcept nogil:
    """The key's TTL in ms. `Form.ttl_of` defines it."""
    cdef uint64_t mixed = <uint64_t>0xCBF29CE484222325
    cdef Py_ssize_t at
    if not jitter_ms:
        return ttl_ms
    for at in range(key.size):
        mixed = (mixed ^ key.data[at]) * <uint64_t>0x100000001B3
    mixed = (mixed ^ (mixed >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    mixed = (mixed ^ (mixed >> 27)) * <uint64_t>0x94D049BB133111EB
    mixed ^= mixed >> 31
    return ttl_ms - jitter_ms + mixed % (2 * jitter_ms + 1)


cdef inline uint8_t *put_word(uint8_t *out, const char *word, Py_ssize_t size) noexcept nogil:
    """Write a constant text."""
    return put(out, <const uint8_t *>word, size)


cdef inline uint8_t *put_number_bulk(uint8_t *out, uint64_t number) noexcept nogil:
    """Write a number as a RESP bulk string."""
    cdef uint8_t digits[MOST_DIGITS]
    return put_bulk(out, digits, put_number(digits, number) - digits)


cdef inline uint8_t *put_before(uint8_t *out, const Value *key, bint transaction) noexcept nogil:
    """Write what comes before HSET or JSON.SET: `DEL`, with `transaction` behind `MULTI`."""
    if transaction:
        out = put_word(out, b"*1\r\n$5\r\nMULTI\r\n", 15)
    out = put_word(out, b"*2\r\n$3\r\nDEL\r\n", 13)
    return put_bulk(out, key.data, key.size)


cdef inline uint8_t *put_after(
    uint8_t *out, const Value *key, bint expires, const Expiry *expiry, bint transaction
) noexcept nogil:
    """Write what comes behind it: with `expires` when the key does so, if ever; with `transaction` EXEC."""
    if expiry.ms:
        if expiry.is_date:
            out = put_word(out, b"*3\r\n$9\r\nPEXPIREAT\r\n", 19)
        else:
            out = put_word(out, b"*3\r\n$7\r\nPEXPIRE\r\n", 17)
        out = put_bulk(out, key.data, key.size)
        out = put_number_bulk(out, expiry.ms)
    elif expires:
        out = put_word(out, b"*2\r\n$7\r\nPERSIST\r\n", 17)
        out = put_bulk(out, key.data, key.size)
    if transaction:
        out = put_word(out, b"*1\r\n$4\r\nEXEC\r\n", 14)
    return out


cdef inline uint8_t *put_fields(uint8_t *out, const Row *row) noexcept nogil:
    """Write every field that is there: its name, its value."""
    cdef int column
    for column in range(row.columns):
        if row.values[column].size >= 0:
            out = put(out, row.names[column].bulk.data, row.names[column].bulk.size)
            out = put_bulk(out, row.values[column].data, row.values[column].size)
    return out


cdef inline uint8_t *put_hset(uint8_t *out, const Row *row) noexcept nogil:
    """Write `HSET key field value ...`."""
    out[0] = 42  # *
    out = put_number(out + 1, 2 + 2 * row.fields)
    out = put_word(out, b"\r\n$4\r\nHSET\r\n", 12)
    return put_fields(put_bulk(out, row.key.data, row.key.size), row)


cdef inline uint8_t *put_restore(
    uint8_t *out, const Value *key, const Expiry *expiry, const Value *payload, bint keeps
) noexcept nogil:
    """Write `RESTORE key ttl payload [REPLACE] [ABSTTL]`."""
    out[0] = 42  # *
    out[1] = <uint8_t>(52 + (not keeps) + expiry.is_date)  # 4
    out = put_word(out + 2, b"\r\n$7\r\nRESTORE\r\n", 15)
    out = put_bulk(out, key.data, key.size)
    out = put_number_bulk(out, expiry.ms)
    out = put_bulk(out, payload.data, payload.size)
    if not keeps:
        out = put_word(out, b"$7\r\nREPLACE\r\n", 13)
    if expiry.is_date:
        out = put_word(out, b"$6\r\nABSTTL\r\n", 12)
    return out


cdef inline uint8_t *put_set(
    uint8_t *out, const Value *key, const Expiry *expiry, const Value *value, bint keeps
) noexcept nogil:
    """Write `SET key value [PX ms|PXAT ms] [NX]`."""
    out[0] = 42  # *
    out[1] = <uint8_t>(51 + (2 if expiry.ms else 0) + keeps)  # 3
    out = put_word(out + 2, b"\r\n$3\r\nSET\r\n", 11)
    out = put_bulk(out, key.data, key.size)
    out = put_bulk(out, value.data, value.size)
    if expiry.ms:
        out = put_word(out, b"$4\r\nPXAT\r\n", 10) if expiry.is_date else put_word(out, b"$2\r\nPX\r\n", 8)
        out = put_number_bulk(out, expiry.ms)
    if keeps:
        out = put_word(out, b"$2\r\nNX\r\n", 8)
    return out


cdef inline uint8_t *put_json_set(uint8_t *out, const Value *key, const Value *document, bint keeps) noexcept nogil:
    """Write `JSON.SET key $ document [NX]`."""
    out[0] = 42  # *
    out[1] = <uint8_t>(52 + keeps)  # 4
    out = put_word(out + 2, b"\r\n$8\r\nJSON.SET\r\n", 16)
    out = put_bulk(out, key.data, key.size)
    out = put_word(out, b"$1\r\n$\r\n", 7)
    out = put_bulk(out, document.data, document.size)
    if keeps:
        out = put_word(out, b"$2\r\nNX\r\n", 8)
    return out
