# Reads MySQL's packets for the native encoder. Included by _native.pyx. Only this part reads bytes from the wire: it
# compares every length with the bytes that are there before it uses it.

cdef enum:
    HEADER_BYTES = 4
    END_SHORTER_THAN = 9  # bytes; a longer packet that starts with 0xFE is a row
    MORE_RESULTS = 0x08  # SERVER_MORE_RESULTS_EXISTS in the end's status


cdef inline Py_ssize_t payload_length(const uint8_t *base, Py_ssize_t at, uint8_t sequence) except -1:
    """The length in the header at this offset. The caller has checked that the whole header is there."""
    if base[at + 3] != sequence:
        raise MalformedPacket(f"packet number {base[at + 3]} at offset {at}, expected {sequence}")
    return base[at] | base[at + 1] << 8 | base[at + 2] << 16


cdef inline const uint8_t *next_packet(
    _Room joined, const uint8_t *base, Py_ssize_t end, Py_ssize_t *at, uint8_t *sequence, Py_ssize_t *length
) except? NULL:
    """The payload of the packet at `at`, and its `length`; NULL if the packet is incomplete.

    Moves `at` and `sequence` to the next packet. A payload of several packets is copied into `joined`.
    """
    cdef Py_ssize_t start = at[0]
    if end - start < HEADER_BYTES:
        return NULL
    length[0] = payload_length(base, start, sequence[0])
    if length[0] > end - start - HEADER_BYTES:
        return NULL
    if length[0] == CONTINUED:
        length[0] = join_packets(joined, base, start, end, sequence, at)
        return NULL if length[0] < 0 else joined.data
    at[0] = start + HEADER_BYTES + length[0]
    sequence[0] += 1
    return base + start + HEADER_BYTES


cdef Py_ssize_t join_packets(
    _Room joined, const uint8_t *base, Py_ssize_t at, Py_ssize_t end, uint8_t *sequence, Py_ssize_t *after
) except -2:
    """Copy the payload of a continued packet into `joined`. Returns its length, or -1 if it is incomplete."""
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
    """Point `values` at the row's values. `offset` is where the packet's payload starts; errors show it."""
    cdef Py_ssize_t at = 0
    cdef uint64_t length
    cdef int column, width, byte
    for column in range(columns):
        if at >= end:
            raise MalformedPacket(f"a row of {column} values at offset {offset}, expected {columns}")
        length = packet[at]
        at += 1
        if length == 0xFB:
            values[column].data = NULL
            values[column].size = -1
            continue
        if length > 0xFB:
            width = 2 if length == 0xFC else 3 if length == 0xFD else 8 if length == 0xFE else 0
            if width == 0 or width > end - at:
                raise MalformedPacket(f"an incomplete length at offset {offset + at - 1}")
            length = 0
            for byte in range(width):
                length |= <uint64_t>packet[at + byte] << (8 * byte)
            at += width
        if length > <uint64_t>(end - at):
            raise MalformedPacket(f"a value of {length} bytes at offset {offset + at} is longer than its packet")
        values[column].data = packet + at
        values[column].size = <Py_ssize_t>length
        at += <Py_ssize_t>length
    if at != end:
        raise MalformedPacket(f"{end - at} bytes too many in the row at offset {offset}")
    return 0


cdef int check_end(const uint8_t *packet, Py_ssize_t size, Py_ssize_t offset) except -1:
    """MalformedPacket if the end of the result set, at `offset`, says that another result set follows."""
    if size > 3 and packet[3] & MORE_RESULTS:
        raise MalformedPacket(f"the end at offset {offset} announces another result set")
    return 0
