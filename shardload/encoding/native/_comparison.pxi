# Compares what Redis answers about keys with what it answers if they are right. `comparison.py` defines and explains it.
# Included by _native.pyx. It compares every length from the wire with the bytes that are there before it uses it.

cdef enum:
    MOST_LINE_BYTES = 64 * 1024
    MOST_SIZE_DIGITS = 10

cdef int COMMANDS_PER_QUESTION = PER_QUESTION


cdef const uint8_t *answer_end(const uint8_t *at, const uint8_t *end) except? NULL:
    """Where the answer that begins at `at` ends; NULL if it is not whole. MalformedAnswer if it is no answer."""
    cdef int64_t left = 1, size
    cdef const uint8_t *line
    cdef uint8_t kind
    while left:
        if at >= end:
            return NULL
        line = line_end(at, end)
        if line is NULL:
            return NULL
        kind = at[0]
        left -= 1
        if kind == 36 or kind == 42:  # $ or *
            size = size_in(at + 1, line)
            at = line + 2
            if kind == 42:
                left += max(<int64_t>0, size)
            elif size >= 0:
                if size + 2 > end - at:
                    return NULL
                at += size + 2
        elif kind == 58 or kind == 43 or kind == 45 or kind == 126:  # : + - ~
            at = line + 2
        else:
            raise MalformedAnswer(f"an answer of Redis that begins with {bytes([kind])!r}")
    return at


cdef const uint8_t *line_end(const uint8_t *at, const uint8_t *end) except? NULL:
    """The end of the line, at its CR; NULL if it is not there yet."""
    cdef const uint8_t *one = at
    cdef const uint8_t *most = end if end - at < MOST_LINE_BYTES else at + MOST_LINE_BYTES
    while one + 1 < most:
        if one[0] == 13 and one[1] == 10:
            return one
        one += 1
    if end - at >= MOST_LINE_BYTES:
        raise MalformedAnswer("an answer of Redis whose line has no end")
    return NULL


cdef int64_t size_in(const uint8_t *at, const uint8_t *end) except -2:
    """The size of a text or an array; -1 if there is none."""
    cdef int64_t size = 0
    cdef const uint8_t *one = at
    if end - at == 2 and at[0] == 45 and at[1] == 49:
        return -1
    while one < end and <uint8_t>(one[0] - 48) <= 9 and one - at < MOST_SIZE_DIGITS:
        size = size * 10 + (one[0] - 48)
        one += 1
    if one != end or one == at:
        raise MalformedAnswer(f"an answer of Redis of the size {at[: min(end - at, 40)]!r}")
    return size


cdef int64_t number_in(const uint8_t *at, const uint8_t *end) noexcept nogil:
    """The number in an integer's answer; -1 for a negative one, and for another answer."""
    cdef uint64_t number = 0
    cdef const uint8_t *one = at + 1
    if at[0] != 58 or end - at < 4 or end - at > 22:
        return -1
    while one < end - 2:
        if <uint8_t>(one[0] - 48) > 9:
            return -1
        number = number * 10 + (one[0] - 48)
        one += 1
    return <int64_t>number if number <= <uint64_t>1 << 62 else -1


def ends_of(const uint8_t[::1] data, int count):
    """See `ends_of` in `comparison.py`."""
    cdef const uint8_t *start = &data[0] if data.shape[0] else NULL
    cdef const uint8_t *at = start
    cdef const uint8_t *end = start + data.shape[0]
    cdef int left = count
    cdef list ends = []
    while at < end:
        at = answer_end(at, end)
        if at is NULL:
            break
        left -= 1
        if not left:
            left = count
            ends.append(at - start)
    return ends


@cython.final
cdef class NativeComparison:
    """See `Comparison`."""

    cdef readonly list differing
    cdef list _waiting  # what is expected behind `_expected`, the next last
    cdef const uint8_t[::1] _expected
    cdef readonly Py_ssize_t answered
    cdef Py_ssize_t _at, _noted
    cdef int64_t _most_age_ms

    def __cinit__(self, answers, int64_t most_age_ms):
        self.differing = []
        self._waiting = [one for one in answers if len(one)][::-1]
        self._expected = b""
        self._at = self.answered = 0
        self._noted = -1
        self._most_age_ms = most_age_ms
        self._next()

    cdef int _next(self) except -1:
        """Go on in the next of the expected answers, if one is dealt with."""
        if self._at == self._expected.shape[0] and self._waiting:
            self._expected = self._waiting.pop()
            self._at = 0
        return 0

    @property
    def is_done(self):
        """See `Comparison`."""
        return self._at == self._expected.shape[0]

    def take(self, const uint8_t[::1] data):
        """See `Comparison`."""
        cdef const uint8_t *start = &data[0] if data.shape[0] else NULL
        cdef const uint8_t *at = start
        cdef const uint8_t *end = start + data.shape[0]
        cdef const uint8_t *after
        cdef const uint8_t *expected
        cdef const uint8_t *expected_after
        while self._at < self._expected.shape[0] and at < end:
            expected = &self._expected[0] + self._at
            expected_after = answer_end(expected, &self._expected[0] + self._expected.shape[0])
            if expected_after - expected <= end - at and memcmp(at, expected, expected_after - expected) == 0:
                after = at + (expected_after - expected)
            else:
                after = answer_end(at, end)
                if after is NULL:
                    break
                if expected[0] != 126 or not self._is_left(at, after, expected, expected_after):
                    self._note(self.answered // COMMANDS_PER_QUESTION)
            at = after
            self._at += expected_after - expected
            self.answered += 1
            self._next()
        return at - start

    cdef int _note(self, Py_ssize_t place) except -1:
        """Note that this key differs, once."""
        if place != self._noted:
            self._noted = place
            self.differing.append(place)
        return 0

    cdef bint _is_left(
        self, const uint8_t *at, const uint8_t *after, const uint8_t *expected, const uint8_t *expected_after
    ) noexcept:
        """True if an answer is what can be left of a TTL."""
        cdef int64_t left = number_in(at, after), ttl_ms = 0
        cdef const uint8_t *one = expected + 1
        while one < expected_after - 2:
            ttl_ms = ttl_ms * 10 + (one[0] - 48)
            one += 1
        return left >= 0 and ttl_ms - self._most_age_ms <= left <= ttl_ms
