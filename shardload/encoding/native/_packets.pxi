# The native encoder's reader of MySQL's packets. Part of _native.pyx, and the only part that reads what came over the
# wire: every length is compared with what is there before it is used.

cdef enum:
    HEADER_BYTES = 4


cdef inline Py_ssize_t payload_length(const uint8_t *base, Py_ssize_t at, uint8_t sequence) except -1:
    """What the header at this offset says; whoever asks has seen that the header is all there."""
    if base[at + 3] != sequence:
        raise MalformedPacket(f"packet number {base[at + 3]} at offset {at} where {sequence} was due")
    return base[at] | base[at + 1] << 8 | base[at + 2] << 16


cdef Py_ssize_t join_packets(
    _Room joined, const uint8_t *base, Py_ssize_t at, Py_ssize_t end, uint8_t *sequence, Py_ssize_t *after
) except -2:
    """The payload of a continued packet, in `joined`: its length, or -1 if it is not all there."""
    cdef Py_ssize_t length
    cdef uint8_t number = sequence[0]
    joined.used = 0
    while True:
        if end - at < HEADER_BYTES:
            return -1
        length = payload_length(base, at, number)
        at += HEADER_BYTES
        if length > end - at:
            return -1
        joined.reserve(length)
        memcpy(joined.data + joined.used, base + at, length)
        joined.used += length
        at += length
        number += 1
        if length != CONTINUED:
            after[0] = at
            sequence[0] = number
            return joined.used


cdef int split_row(Value *values, int columns, const uint8_t *packet, Py_ssize_t end, Py_ssize_t offset) except -1:
    """Point `values` at the row's values. `offset` is the packet's, for errors."""
    cdef Py_ssize_t at = 0
    cdef uint64_t length
    cdef int column, width, byte
    for column in range(columns):
        if at >= end:
            raise MalformedPacket(f"a row of {column} values at offset {offset} where {columns} were due")
        length = packet[at]
        at += 1
        if length == 0xFB:
            values[column].data = NULL
            values[column].size = -1
            continue
        if length > 0xFB:
            width = 2 if length == 0xFC else 3 if length == 0xFD else 8 if length == 0xFE else 0
            if width == 0 or width > end - at:
                raise MalformedPacket(f"a length that breaks off at offset {offset + at - 1}")
            length = 0
            for byte in range(width):
                length |= <uint64_t>packet[at + byte] << (8 * byte)
            at += width
        if length > <uint64_t>(end - at):
            raise MalformedPacket(f"a value of {length} bytes at offset {offset + at} in a packet that ends before")
        values[column].data = packet + at
        values[column].size = <Py_ssize_t>length
        at += <Py_ssize_t>length
    if at != end:
        raise MalformedPacket(f"{end - at} bytes too many in the row at offset {offset}")
    return 0
