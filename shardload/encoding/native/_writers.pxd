"""Writes texts, numbers, RESP bulk strings, RDB lengths and listpack elements.

Every `put_` writes at `out` and returns the place after what it wrote. Nothing here checks bounds: the caller has
reserved the room.
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t
cdef enum:
    MOST_DIGITS = 20  # of a 64-bit number, with its sign


cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #if defined(__GNUC__)
    #define SL_INLINE static inline __attribute__((always_inline)) /* a call costs as much as a short text */
    #else
    #define SL_INLINE static inline
    #endif

    SL_INLINE uint8_t *sl_put(uint8_t *out, const uint8_t *data, Py_ssize_t size) {
        if (size > 32)
            memcpy(out, data, (size_t)size);
        else if (size >= 16) {
            memcpy(out, data, 16);
            memcpy(out + size - 16, data + size - 16, 16);
        } else if (size >= 8) {
            memcpy(out, data, 8);
            memcpy(out + size - 8, data + size - 8, 8);
        } else if (size >= 4) {
            memcpy(out, data, 4);
            memcpy(out + size - 4, data + size - 4, 4);
        } else if (size > 0) {
            out[0] = data[0];
            out[size >> 1] = data[size >> 1];
            out[size - 1] = data[size - 1];
        }
        return out + size;
    }

    SL_INLINE uint8_t *sl_put_number(uint8_t *out, uint64_t number) {
        uint8_t digits[20];
        int at = 20;
        if (number < 10) {
            *out = (uint8_t)(48 + number);
            return out + 1;
        }
        for (; number; number /= 10)
            digits[--at] = (uint8_t)(48 + number % 10);
        for (; at < 20; at++)
            *out++ = digits[at];
        return out;
    }

    SL_INLINE uint8_t *sl_put_bulk(uint8_t *out, const uint8_t *data, Py_ssize_t size) {
        *out = '$';
        out = sl_put_number(out + 1, (uint64_t)size);
        memcpy(out, "\\r\\n", 2);
        out = sl_put(out + 2, data, size);
        memcpy(out, "\\r\\n", 2);
        return out + 2;
    }
    """
    # Copy `size` bytes. Short texts, as most are, take two overlapping moves of a fixed size: faster than memcpy.
    uint8_t *put "sl_put"(uint8_t *out, const uint8_t *data, Py_ssize_t size) noexcept nogil
    # Write a number in decimal digits.
    uint8_t *put_number "sl_put_number"(uint8_t *out, uint64_t number) noexcept nogil
    # Write a RESP bulk string: `$size`, the bytes, line ends.
    uint8_t *put_bulk "sl_put_bulk"(uint8_t *out, const uint8_t *data, Py_ssize_t size) noexcept nogil


cdef inline uint8_t *put_little(uint8_t *out, uint64_t number, int width) noexcept nogil:
    """Write a number as `width` bytes, little-endian."""
    cdef int at
    for at in range(width):
        out[at] = <uint8_t>(number >> (8 * at))
    return out + width


cdef inline uint8_t *put_rdb_length(uint8_t *out, uint64_t length) noexcept nogil:
    """Write an RDB length: 6, 14, 32 or 64 bits, big-endian."""
    cdef int at
    if length < 64:
        out[0] = <uint8_t>length
        return out + 1
    if length < 16384:
        out[0] = <uint8_t>(0x40 | length >> 8)
        out[1] = <uint8_t>length
        return out + 2
    cdef int width = 4 if length < <uint64_t>1 << 32 else 8
    out[0] = 0x80 if width == 4 else 0x81
    for at in range(width):
        out[1 + at] = <uint8_t>(length >> (8 * (width - 1 - at)))
    return out + 1 + width


cdef inline uint8_t *put_rdb_string(uint8_t *out, const uint8_t *text, Py_ssize_t size) noexcept nogil:
    """Write an RDB string: its length, its bytes as they are."""
    return put(put_rdb_length(out, size), text, size)


cdef inline bint canonical_integer(const uint8_t *text, Py_ssize_t size, int64_t *value) noexcept nogil:
    """True, and `value` set, if `text` spells a 64-bit signed integer in canonical decimal form."""
    cdef uint64_t number = 0
    cdef uint64_t limit
    cdef Py_ssize_t at = 0
    cdef uint8_t digit
    cdef bint negative
    if size < 1 or size > 20:
        return False
    negative = text[0] == 45
    if negative:
        at = 1
        if size == 1:
            return False
    if text[at] == 48:
        value[0] = 0
        return size == 1
    limit = <uint64_t>1 << 63 if negative else (<uint64_t>1 << 63) - 1
    while at < size:
        digit = <uint8_t>(text[at] - 48)
        if digit > 9:
            return False
        if number > (limit - digit) // 10:
            return False
        number = number * 10 + digit
        at += 1
    value[0] = <int64_t>(~number + 1) if negative else <int64_t>number
    return True


cdef inline uint8_t *put_element(uint8_t *out, const uint8_t *text, Py_ssize_t size) noexcept nogil:
    """Write a listpack element: an integer or a string, then the element's size. `size` <= MOST_LISTPACK_BYTES."""
    cdef uint8_t *start = out
    cdef int64_t value
    cdef int width
    if canonical_integer(text, size, &value):
        if 0 <= value <= 127:
            out[0] = <uint8_t>value
            out += 1
        elif -4096 <= value < 4096:
            out[0] = <uint8_t>(0xC0 | (value >> 8 & 0x1F))
            out[1] = <uint8_t>value
            out += 2
        else:
            if -32768 <= value < 32768:
                out[0] = 0xF1
                width = 2
            elif -8388608 <= value < 8388608:
                out[0] = 0xF2
                width = 3
            elif -<int64_t>2147483648 <= value < <int64_t>2147483648:
                out[0] = 0xF3
                width = 4
            else:
                out[0] = 0xF4
                width = 8
            out = put_little(out + 1, <uint64_t>value, width)
    else:
        if size < 64:
            out[0] = <uint8_t>(0x80 | size)
            out += 1
        elif size < 4096:
            out[0] = <uint8_t>(0xE0 | size >> 8)
            out[1] = <uint8_t>size
            out += 2
        else:
            out[0] = 0xF0
            out = put_little(out + 1, size, 4)
        out = put(out, text, size)
    cdef Py_ssize_t coded = out - start
    if coded <= 127:
        out[0] = <uint8_t>coded
        return out + 1
    out[0] = <uint8_t>(coded >> 7)
    out[1] = <uint8_t>((coded & 127) | 128)
    return out + 2
