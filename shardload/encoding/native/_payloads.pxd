"""Writes the payload of RESTORE for a hash, as a listpack or plain. `payload.py` defines the bytes.

Nothing here checks bounds, except the limits of a listpack: the caller has reserved the room.
"""

from libc.stdint cimport uint8_t, uint64_t

from shardload.encoding.native._writers cimport MOST_DIGITS, put, put_element, put_little, put_rdb_length

cdef enum:
    MOST_LISTPACK_BYTES = 8192
    MOST_LISTPACK_FIELDS = 512
    FIELD_OVERHEAD = 64  # bytes: the lengths, line ends and back-lengths of a field and its name
    PAYLOAD_OVERHEAD = 64  # bytes: type, lengths and footer

cdef extern from "_crc64.h":
    void crc64_prepare() noexcept nogil
    uint64_t crc64_of(const uint8_t *data, size_t size, int may_fold) noexcept nogil

cdef struct Value:
    const uint8_t *data
    Py_ssize_t size  # bytes; -1: NULL

cdef struct Name:  # of a field, encoded in advance for each kind of output
    Value text
    Value bulk  # RESP, for HSET
    Value element  # of a listpack
    Value string  # of RDB, for a plain hash
    Value json  # a text and a colon

cdef struct Row:  # the key, and its fields
    Value key
    const Name *names  # one for each column
    const Value *values  # one for each column; NULL: no field
    int columns
    int fields  # how many columns are not NULL
    Py_ssize_t most_bytes  # that the fields can need, unless they are escaped
    const int *types  # of the fields in JSON
    Py_ssize_t *extras  # bytes that escaping adds to each
    bint as_null  # NULL is JSON's null


cdef inline Py_ssize_t put_footer(uint8_t *start, uint8_t *out, int version) noexcept nogil:
    """Write RDB version and checksum at `out`, behind a payload that begins at `start`. Returns the payload's size."""
    out = put_little(out, version, 2)
    out = put_little(out, crc64_of(start, out - start, True), 8)
    return out - start


cdef inline Py_ssize_t put_listpack_payload(uint8_t *room, const Row *row) noexcept nogil:
    """Write the payload with a listpack at `room`. Returns its size, or 0 if the listpack would be too long."""
    cdef uint8_t *body = room
    cdef uint8_t *start = room + 3  # behind the type and the listpack's length, which takes one byte or two
    cdef uint8_t *out = start + 6
    cdef int column
    cdef Py_ssize_t size
    for column in range(row.columns):
        if row.values[column].size < 0:
            continue
        if out - start + row.names[column].text.size + row.values[column].size > MOST_LISTPACK_BYTES + FIELD_OVERHEAD:
            # Too long as strings. Integers of up to 20 digits shrink, so with one of them the exact size has to tell.
            if row.values[column].size > MOST_DIGITS or row.names[column].text.size > MOST_DIGITS:
                return 0
        out = put(out, row.names[column].element.data, row.names[column].element.size)
        out = put_element(out, row.values[column].data, row.values[column].size)
        if out - start + 1 > MOST_LISTPACK_BYTES:
            return 0
    out[0] = 0xFF
    out += 1
    size = out - start
    put_little(start, size, 4)
    put_little(start + 4, 2 * row.fields, 2)
    body = start - 2 if size < 64 else start - 3
    body[0] = 16
    put_rdb_length(body + 1, size)
    if body != room:  # only a very small row: its length takes one byte, so move all of it to the start
        size = out - body
        for column in range(<int>size):
            room[column] = body[column]
        out = room + size
    return put_footer(room, out, 10)


cdef inline Py_ssize_t put_plain_payload(uint8_t *room, const Row *row) noexcept nogil:
    """Write the payload with a plain hash at `room`. Returns its size."""
    cdef uint8_t *out = room
    cdef int column
    out[0] = 4
    out = put_rdb_length(out + 1, row.fields)
    for column in range(row.columns):
        if row.values[column].size >= 0:
            out = put(out, row.names[column].string.data, row.names[column].string.size)
            out = put_rdb_length(out, row.values[column].size)
            out = put(out, row.values[column].data, row.values[column].size)
    return put_footer(room, out, 9)
