"""Writes the payload of RESTORE for a hash, as a listpack or plain: its value, then its footer. `payload.py` defines the
bytes.

Nothing here checks bounds, except the limits of a listpack: the caller has reserved the room.
"""

from libc.stdint cimport uint8_t, uint64_t

from shardload.encoding.native._writers cimport (
    MOST_DIGITS, put, put_element, put_little, put_rdb_length, put_rdb_string,
)

cdef enum:
    PLAIN_HASH = 4  # type bytes
    LISTPACK_HASH = 16
    MOST_LISTPACK_BYTES = 8192
    MOST_LISTPACK_FIELDS = 512
    FIELD_OVERHEAD = 64  # bytes: the lengths, line ends and back-lengths of a field and its name
    PAYLOAD_OVERHEAD = 64  # bytes: type, lengths and footer

cdef extern from "_crc64.h":
    void crc64_prepare() noexcept nogil
    uint64_t crc64_on(uint64_t crc, const uint8_t *data, size_t size, int may_fold) noexcept nogil
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


cdef inline Py_ssize_t put_footer(uint8_t *start, Py_ssize_t size) noexcept nogil:
    """Write RDB version and checksum behind a value of `size` bytes at `start`. Returns the payload's size."""
    cdef uint8_t *out = put_little(start + size, 10 if start[0] == LISTPACK_HASH else 9, 2)
    out = put_little(out, crc64_of(start, out - start, True), 8)
    return out - start


cdef inline Py_ssize_t put_listpack_value(uint8_t *room, const Row *row) noexcept nogil:
    """Write the hash as a listpack at `room`, its type first. Returns its size, or 0 if it would be too long."""
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
    body[0] = LISTPACK_HASH
    put_rdb_length(body + 1, size)
    size = out - body
    if body != room:  # only a very small row: its length takes one byte, so move all of it to the start
        for column in range(<int>size):
            room[column] = body[column]
    return size


cdef inline Py_ssize_t put_plain_value(uint8_t *room, const Row *row) noexcept nogil:
    """Write the hash as a plain one at `room`, its type first. Returns its size."""
    cdef uint8_t *out = room
    cdef int column
    out[0] = PLAIN_HASH
    out = put_rdb_length(out + 1, row.fields)
    for column in range(row.columns):
        if row.values[column].size >= 0:
            out = put(out, row.names[column].string.data, row.names[column].string.size)
            out = put_rdb_string(out, row.values[column].data, row.values[column].size)
    return out - room
