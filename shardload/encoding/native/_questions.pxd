"""Writes the commands that ask for a key, and what comes back if it is right. `questions.py` defines the bytes.

Nothing here checks bounds: the caller has reserved the room.
"""

from libc.stdint cimport uint8_t

from shardload.encoding.native._commands cimport Expiry, put_fields, put_word
from shardload.encoding.native._payloads cimport Row, Value
from shardload.encoding.native._writers cimport put_bulk, put_number

cdef enum:
    ANSWER_OVERHEAD = 128  # bytes: the heads of both answers


cdef inline uint8_t *put_question(
    uint8_t *out, const Value *key, const Expiry *expiry, bint is_hash, bint is_document
) noexcept nogil:
    """Write the commands that ask for a key."""
    if is_hash:
        out = put_word(out, b"*2\r\n$7\r\nHGETALL\r\n", 17)
    elif is_document:
        out = put_word(out, b"*2\r\n$8\r\nJSON.GET\r\n", 18)
    else:
        out = put_word(out, b"*2\r\n$3\r\nGET\r\n", 13)
    out = put_bulk(out, key.data, key.size)
    if expiry.is_date:
        out = put_word(out, b"*2\r\n$11\r\nPEXPIRETIME\r\n", 22)
    else:
        out = put_word(out, b"*2\r\n$4\r\nPTTL\r\n", 14)
    return put_bulk(out, key.data, key.size)


cdef inline uint8_t *put_hash_answer(uint8_t *out, const Row *row) noexcept nogil:
    """Write what HGETALL answers."""
    out[0] = 42  # *
    out = put_word(put_number(out + 1, 2 * row.fields), b"\r\n", 2)
    return put_fields(out, row)


cdef inline uint8_t *put_expiry_answer(uint8_t *out, const Expiry *expiry) noexcept nogil:
    """Write what the other command answers."""
    if not expiry.ms:
        return put_word(out, b":-1\r\n", 5)
    out[0] = 58 if expiry.is_date else 126  # : or ~
    return put_word(put_number(out + 1, expiry.ms), b"\r\n", 2)
