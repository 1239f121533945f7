"""Writes a row as a JSON object. `document.py` defines the bytes.

Nothing here checks bounds: the caller reserves what `json_bound` says.
"""

from libc.stdint cimport uint8_t
from libc.string cimport memcmp

from shardload.encoding.native._payloads cimport Row, Value
from shardload.encoding.native._writers cimport put

cdef enum:
    JSON_TEXT = 0
    JSON_NUMBER = 1
    JSON_SAFE_NUMBER = 2
    JSON_RAW = 3
    MEMBER_OVERHEAD = 8  # bytes: comma, quotes, or null
    EXACT_DIGITS = 16  # of 2**53

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    /* Not 0 if one of the eight bytes is below 32, a quotation mark or a backslash (Mycroft's test for a zero byte). */
    static inline uint64_t sl_json_marks(uint64_t bytes) {
        const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
        uint64_t quote = bytes ^ ones * 34, slash = bytes ^ ones * 92;
        return (((bytes - ones * 32) & ~bytes) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash)) & highs;
    }

    /* How many bytes more a text has when it is escaped. */
    static Py_ssize_t sl_json_extra(const uint8_t *text, Py_ssize_t size) {
        uint64_t bytes;
        Py_ssize_t at = 0, extra = 0;
        if (size >= 8) {
            for (; at + 8 <= size; at += 8) {
                memcpy(&bytes, text + at, 8);
                if (sl_json_marks(bytes))
                    break;
            }
            memcpy(&bytes, text + size - 8, 8);
            if (at + 8 > size && !sl_json_marks(bytes))
                return 0;
        }
        for (; at < size; at++) {
            uint8_t byte = text[at];
            if (byte == 34 || byte == 92)
                extra += 1;
            else if (byte < 32)
                extra += (byte >= 8 && byte <= 13 && byte != 11) ? 1 : 5;
        }
        return extra;
    }

    static uint8_t *sl_json_escape(uint8_t *out, const uint8_t *text, Py_ssize_t size) {
        static const char digits[] = "0123456789abcdef";
        static const char shorts[] = "btn-fr"; /* 8 to 13 */
        for (Py_ssize_t at = 0; at < size; at++) {
            uint8_t byte = text[at];
            if (byte >= 32 && byte != 34 && byte != 92) {
                *out++ = byte;
                continue;
            }
            *out++ = 92;
            if (byte >= 32)
                *out++ = byte;
            else if (byte >= 8 && byte <= 13 && byte != 11)
                *out++ = (uint8_t)shorts[byte - 8];
            else {
                memcpy(out, "u00", 3);
                out[3] = (uint8_t)digits[byte >> 4];
                out[4] = (uint8_t)digits[byte & 15];
                out += 5;
            }
        }
        return out;
    }
    """
    Py_ssize_t sl_json_extra(const uint8_t *text, Py_ssize_t size) noexcept nogil
    uint8_t *sl_json_escape(uint8_t *out, const uint8_t *text, Py_ssize_t size) noexcept nogil


cdef inline Py_ssize_t json_bound(const Row *row) noexcept nogil:
    """The most bytes that the row's object has. Notes in `row.extras` what escaping adds to each text."""
    cdef int at
    cdef Py_ssize_t bound = row.most_bytes + MEMBER_OVERHEAD * (<Py_ssize_t>row.columns + 1)
    for at in range(row.columns):
        row.extras[at] = 0
        if row.types[at] == JSON_TEXT and row.values[at].size > 0:
            row.extras[at] = sl_json_extra(row.values[at].data, row.values[at].size)
            bound += row.extras[at]
    return bound


cdef inline uint8_t *put_json(uint8_t *out, const Row *row) noexcept nogil:
    """Write the row as an object; call `json_bound` before."""
    cdef int at
    cdef const Value *value
    cdef uint8_t *start = out
    out[0] = 123  # {
    out += 1
    for at in range(row.columns):
        value = &row.values[at]
        if value.size < 0 and not row.as_null:
            continue
        if out != start + 1:
            out[0] = 44  # ,
            out += 1
        out = put(out, row.names[at].json.data, row.names[at].json.size)
        if value.size < 0 or (value.size == 0 and row.types[at] != JSON_TEXT):
            out = put(out, <const uint8_t *>b"null", 4)
        elif row.types[at] == JSON_TEXT:
            out[0] = 34  # "
            if row.extras[at]:
                out = sl_json_escape(out + 1, value.data, value.size)
            else:
                out = put(out + 1, value.data, value.size)
            out[0] = 34
            out += 1
        elif row.types[at] == JSON_RAW:
            out = put(out, value.data, value.size)
        else:
            out = put_json_number(out, value, row.types[at] == JSON_SAFE_NUMBER)
    out[0] = 125  # }
    return out + 1


cdef inline uint8_t *put_json_number(uint8_t *out, const Value *value, bint is_safe) noexcept nogil:
    """Write a number without zeros in front; with `is_safe` as a text if it is beyond 2**53."""
    cdef const uint8_t *digits = value.data
    cdef Py_ssize_t size = value.size
    cdef bint negative = digits[0] == 45
    cdef bint quoted = False
    if negative:
        digits += 1
        size -= 1
    while size > 1 and digits[0] == 48 and 48 <= digits[1] <= 57:
        digits += 1
        size -= 1
    if is_safe:
        quoted = size > EXACT_DIGITS or (size == EXACT_DIGITS and memcmp(digits, b"9007199254740992", EXACT_DIGITS) > 0)
    if quoted:
        out[0] = 34
        out += 1
    if negative:
        out[0] = 45
        out += 1
    out = put(out, digits, size)
    if quoted:
        out[0] = 34
        out += 1
    return out
