# Fingerprints of keys, and the tally of those that come more than once. `fingerprints.py` defines and explains both.
# Included by _native.pyx.

cdef extern from *:
    """
    static const uint64_t SPREAD = UINT64_C(0x9E3779B97F4A7C15);
    """
    const uint64_t SPREAD


@cython.final
cdef class _Fingerprints:
    """The fingerprints of one batch's keys; none unless they are wanted."""

    cdef bint _are_wanted
    cdef _Room _room

    def __cinit__(self, bint are_wanted):
        self._are_wanted = are_wanted
        self._room = _Room(KEY_BYTES)

    cdef int begin_batch(self) except -1:
        self._room.settle(BODY_BYTES)
        self._room.used = 0
        return 0

    cdef int note(self, const Value *key) except -1:
        """Append the key's."""
        cdef uint64_t fingerprint
        if not self._are_wanted:
            return 0
        fingerprint = crc64_of(key.data, key.size, True) ^ <uint64_t>key.size
        self._room.reserve(8)
        put_little(self._room.data + self._room.used, fingerprint, 8)
        self._room.used += 8
        return 0

    cdef bytes taken(self):
        """All of them."""
        return self._room.data[: self._room.used]


@cython.final
cdef class NativeTally:
    """See `Tally`."""

    cdef readonly Py_ssize_t shared
    cdef readonly list examples
    cdef Py_ssize_t _slots, _most, _used, _most_examples
    cdef uint64_t _low, _last  # the last one that counts: the end may be 2**64
    cdef uint64_t *_table
    cdef uint8_t *_again

    def __cinit__(self, Py_ssize_t slots, Py_ssize_t examples):
        self._slots, self._most, self._most_examples = slots, most_of(slots), examples
        self._table = <uint64_t *>PyMem_Malloc(slots * sizeof(uint64_t))
        self._again = <uint8_t *>PyMem_Malloc((slots + 7) // 8)
        if not self._table or not self._again:
            raise MemoryError
        self.begin(0, END)

    def __dealloc__(self):
        PyMem_Free(self._table)
        PyMem_Free(self._again)

    def begin(self, low, high):
        """See `Tally`."""
        self._low, self._last, self._used = low, high - 1, 0
        memset(self._table, 0, self._slots * sizeof(uint64_t))
        memset(self._again, 0, (self._slots + 7) // 8)
        self.shared, self.examples = 0, []

    def add(self, const uint8_t[::1] fingerprints):
        """See `Tally`."""
        cdef Py_ssize_t at
        cdef uint64_t one
        for at in range(0, fingerprints.shape[0] - 7, 8):
            memcpy(&one, &fingerprints[at], 8)
            if self._low <= one <= self._last and not self._add(one):
                return False
        return True

    def missing(self, const uint8_t[::1] fingerprints):
        """See `Tally`."""
        cdef Py_ssize_t at
        cdef uint64_t one
        cdef list places = []
        for at in range(0, fingerprints.shape[0] - 7, 8):
            memcpy(&one, &fingerprints[at], 8)
            if self._low <= one <= self._last and not self._table[self._slot(one if one else 1)]:
                places.append(at >> 3)
        return places

    cdef Py_ssize_t _slot(self, uint64_t wanted) noexcept:
        """Where it is, or belongs."""
        cdef Py_ssize_t at = <Py_ssize_t>(((wanted * SPREAD >> 32) * <uint64_t>self._slots) >> 32)
        while self._table[at] and self._table[at] != wanted:
            at = at + 1 if at + 1 < self._slots else 0
        return at

    cdef bint _add(self, uint64_t one) except -1:
        cdef uint64_t wanted = one if one else 1
        cdef Py_ssize_t at = self._slot(wanted)
        if not self._table[at]:
            self._table[at] = wanted
            self._used += 1
            return self._used <= self._most
        if not self._again[at >> 3] >> (at & 7) & 1:
            self._again[at >> 3] |= <uint8_t>(1 << (at & 7))
            self.shared += 1
            if len(self.examples) < self._most_examples:
                self.examples.append(wanted)
        return True


def crc64(const uint8_t[::1] data, uint64_t crc=0):
    """See `payload.crc64`."""
    return crc64_on(crc, &data[0] if data.shape[0] else NULL, data.shape[0], True)


def checksums(const uint8_t[::1] data):
    """The CRC64 of `data`, computed by folding and by table. Both use the table if the processor cannot fold."""
    cdef const uint8_t *start = &data[0] if data.shape[0] else NULL
    return crc64_of(start, data.shape[0], True), crc64_of(start, data.shape[0], False)
