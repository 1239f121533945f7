"""The native encoder's payloads: what RESTORE takes for a hash, as a listpack or plain. `payload.py` defines the bytes.

Nothing is checked here but the limits of a listpack: who reserves the room has.
"""

from libc.stdint cimport uint8_t, uint64_t

from shardload.encoding.native._writers cimport MOST_DIGITS, put, put_element, put_little, put_rdb_length

cdef enum:
    MOST_LISTPACK_BYTES = 8192
    MOST_LISTPACK_FIELDS = 512
    FIELD_OVERHEAD = 64  # the lengths, line ends and back-lengths of a field and its name
    BODY_OVERHEAD = 64

cdef extern from "_crc64.h":
    void crc64_prepare() noexcept nogil
    uint64_t crc64_of(const uint8_t *data, size_t size, int may_fold) noexcept nogil

cdef struct Value:
    const uint8_t *data
    Py_ssize_t size  # -1: NULL

cdef struct Name:  # of a field, ready in each of the ways in which it may be written
    Value text
    Value bulk
    Value element  # of a listpack
    Value string  # of RDB


cdef inline Py_ssize_t footed(uint8_t *room, uint8_t *out, int version) noexcept nogil:
    """Version and checksum behind the payload from `room` to `out`; the size of it all."""
    out = put_little(out, version, 2)
    out = put_little(out, crc64_of(room, out - room, True), 8)
    return out - room


cdef inline Py_ssize_t listpack(uint8_t *room, const Name *names, const Value *values, int columns, int fields) noexcept nogil:
    """The payload with a listpack, in `room`: its size, or 0 if it would be too long for one."""
    cdef uint8_t *body = room
    cdef uint8_t *start = room + 3  # behind the type and the listpack's length, which needs one byte or two
    cdef uint8_t *out = start + 6
    cdef int column
    cdef Py_ssize_t size
    for column in range(columns):
        if values[column].size < 0:
            continue
        if out - start + names[column].text.size + values[column].size > MOST_LISTPACK_BYTES + FIELD_OVERHEAD:
            # only integers shrink, by less than their 20 digits each: look closer before giving up
            if values[column].size > MOST_DIGITS or names[column].text.size > MOST_DIGITS:
                return 0
        out = put(out, names[column].element.data, names[column].element.size)
        out = put_element(out, values[column].data, values[column].size)
        if out - start + 1 > MOST_LISTPACK_BYTES:
            return 0
    out[0] = 0xFF
    out += 1
    size = out - start
    put_little(start, size, 4)
    put_little(start + 4, 2 * fields, 2)
    body = start - 2 if size < 64 else start - 3
    body[0] = 16
    put_rdb_length(body + 1, size)
    if body != room:  # rare: a very small row
        size = out - body
        for column in range(<int>size):
            room[column] = body[column]
        out = room + size
    return footed(room, out, 10)


cdef inline Py_ssize_t plain_hash(uint8_t *room, const Name *names, const Value *values, int columns, int fields) noexcept nogil:
    """The payload of a plain hash, in `room`: its size."""
    cdef uint8_t *out = room
    cdef int column
    out[0] = 4
    out = put_rdb_length(out + 1, fields)
    for column in range(columns):
        if values[column].size >= 0:
            out = put(out, names[column].string.data, names[column].string.size)
            out = put_rdb_length(out, values[column].size)
            out = put(out, values[column].data, values[column].size)
    return footed(room, out, 9)
