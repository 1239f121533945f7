# What becomes of a value's bytes. `conversions.py` defines it; here is its native twin. Included by _native.pyx.

cdef extern from "Python.h":
    double PyOS_string_to_double(const char *text, char **end, void *overflow) except? -1.0
    char *PyOS_double_to_string(double value, char code, int precision, int flags, int *type) except NULL

cdef enum:
    AS_IT_IS = 0
    AS_FLOAT = 1
    AS_HEX = 2
    AS_BASE64 = 3
    AS_UUID = 4
    AS_CRC16 = 5
    UUID_BYTES = 16
    MOST_FLOAT_BYTES = 40
    MOST_TIME_DIGITS = 18
    LEAST_EXPONENT = 15
    CONVERTED_OVERHEAD = 64  # bytes

cdef const uint8_t *HEX_DIGITS = b"0123456789abcdef"
cdef const uint8_t *BASE64_DIGITS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


cdef inline Py_ssize_t converted_bound(Py_ssize_t size, int conversion) noexcept nogil:
    """The most bytes that a converted value of this size has."""
    return size if conversion == AS_IT_IS else 2 * size + CONVERTED_OVERHEAD


cdef inline uint8_t *put_converted(uint8_t *out, const Value *value, int conversion) except NULL:
    """Write the converted value. The caller has reserved the room. Returns the place after it."""
    if conversion == AS_IT_IS:
        return put(out, value.data, value.size)
    if conversion == AS_FLOAT:
        return put_float(out, value)
    if conversion == AS_BASE64:
        return put_base64(out, value.data, value.size)
    if conversion == AS_CRC16:
        return put_number(out, sl_crc16_of(value.data, value.size))
    return put_hex(out, value.data, value.size, conversion == AS_UUID and value.size == UUID_BYTES)


cdef inline uint8_t *put_hex(uint8_t *out, const uint8_t *data, Py_ssize_t size, bint hyphens) noexcept nogil:
    cdef Py_ssize_t at
    for at in range(size):
        if hyphens and (at == 4 or at == 6 or at == 8 or at == 10):
            out[0] = 45  # -
            out += 1
        out[0] = HEX_DIGITS[data[at] >> 4]
        out[1] = HEX_DIGITS[data[at] & 15]
        out += 2
    return out


cdef inline uint8_t *put_base64(uint8_t *out, const uint8_t *data, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t at = 0
    cdef unsigned int three
    while at < size:
        three = data[at] << 16
        three |= data[at + 1] << 8 if at + 1 < size else 0
        three |= data[at + 2] if at + 2 < size else 0
        out[0] = BASE64_DIGITS[three >> 18]
        out[1] = BASE64_DIGITS[three >> 12 & 63]
        out[2] = BASE64_DIGITS[three >> 6 & 63] if at + 1 < size else 61  # =
        out[3] = BASE64_DIGITS[three & 63] if at + 2 < size else 61
        out += 4
        at += 3
    return out


cdef bint parse_double(const uint8_t *text, Py_ssize_t size, double *value) except -1:
    """True, and `value` set, if the text is a number of digits, signs, points and `e`."""
    cdef char buffer[MOST_FLOAT_BYTES + 1]
    cdef char *end = NULL
    cdef Py_ssize_t at
    if size < 1 or size > MOST_FLOAT_BYTES:
        return False
    for at in range(size):
        if not (48 <= text[at] <= 57 or text[at] in (43, 45, 46, 69, 101)):
            return False
        buffer[at] = text[at]
    buffer[size] = 0
    try:
        value[0] = PyOS_string_to_double(buffer, &end, NULL)
    except ValueError:
        return False
    return end == buffer + size


cdef uint8_t *put_float(uint8_t *out, const Value *value) except NULL:
    """Write the shortest text that gives the same FLOAT; a text that is no such number as it is."""
    cdef double number
    cdef float single
    cdef int precision
    cdef char *shown = NULL
    if not parse_double(value.data, value.size, &number) or not (-FLT_MAX <= number <= FLT_MAX):
        return put(out, value.data, value.size)
    single = <float>number
    for precision in range(6, 10):
        shown = PyOS_double_to_string(single, 103, precision, 0, NULL)  # %g
        if precision == 9:
            break
        try:
            number = PyOS_string_to_double(shown, NULL, NULL)
        except ValueError:
            number = 0
        if <float>number == single:
            break
        PyMem_Free(shown)
    out = put_shown(out, shown)
    PyMem_Free(shown)
    return out


cdef uint8_t *put_shown(uint8_t *out, const char *shown) noexcept nogil:
    """Write a number as C's %g shows it, with an exponent as MySQL has it: only from 10**15 on, without a plus."""
    cdef const char *at = shown
    cdef uint8_t *start
    cdef int exponent = 0
    while at[0] and at[0] != 101:
        at += 1
    if at[0] and at[1] == 43:  # e+
        exponent = 10 * (at[2] - 48) + at[3] - 48
    if 0 < exponent < LEAST_EXPONENT:
        if shown[0] == 45:
            out[0] = 45
            out += 1
            shown += 1
        start = out
        while shown != at:
            if shown[0] != 46:
                out[0] = shown[0]
                out += 1
            shown += 1
        while out - start <= exponent:
            out[0] = 48
            out += 1
        return out
    out = put(out, <const uint8_t *>shown, at - shown)
    if at[0]:
        out[0] = 101
        out += 1
        if at[1] == 45:
            out[0] = 45
            out += 1
        at += 2
        while at[0] == 48:
            at += 1
        while at[0]:
            out[0] = at[0]
            out += 1
            at += 1
    return out


cdef inline bint parse_time(const Value *text, int64_t *date_ms) noexcept nogil:
    """Set the Unix time in ms, without its fraction; -1 for 0. False if the text is no time (`Layout.expiry_of`)."""
    cdef Py_ssize_t at, first = 1 if text.size and text.data[0] == 45 else 0
    cdef int64_t number = 0
    at = first
    while at < text.size and 48 <= text.data[at] <= 57:
        if at - first == MOST_TIME_DIGITS:
            return False
        number = 10 * number + text.data[at] - 48
        at += 1
    if at == first:
        return False
    if at < text.size and text.data[at] == 46:
        at += 1
        while at < text.size and 48 <= text.data[at] <= 57:
            at += 1
    date_ms[0] = (-number if first else number) or -1
    return at == text.size
