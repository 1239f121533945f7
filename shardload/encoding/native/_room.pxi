# Output memory of the native encoder: a buffer that grows, and a read-only view of it. Included by _native.pyx.

cdef extern from *:
    """
    #ifdef SHARDLOAD_SMALL /* the fuzzer's build: no room to spare, and short packets are continued */
    enum { OUT_BYTES = 16, NODE_BYTES = 16, BODY_BYTES = 16, KEY_BYTES = 1, SPARE_PERCENT = 0, CONTINUED = 250, MOST_VALUE_BYTES = 20000 };
    #else
    enum { OUT_BYTES = 1 << 20, NODE_BYTES = 1 << 18, BODY_BYTES = 1 << 16, KEY_BYTES = 1 << 10, SPARE_PERCENT = 25, CONTINUED = 0xFFFFFF, MOST_VALUE_BYTES = 512 << 20 };
    #endif
    """
    enum:
        OUT_BYTES
        NODE_BYTES
        BODY_BYTES
        KEY_BYTES
        SPARE_PERCENT
        CONTINUED
        MOST_VALUE_BYTES

CONTINUED_BYTES = CONTINUED
LONGEST_VALUE_BYTES = MOST_VALUE_BYTES


@cython.final
cdef class _Room:
    """A buffer that grows. It never shrinks while a batch is encoded; `settle` frees what a large row needed."""

    cdef uint8_t *data
    cdef Py_ssize_t size  # allocated bytes
    cdef Py_ssize_t used  # of them, from the first on
    cdef int views  # how many buffers of it are in use

    def __cinit__(self, Py_ssize_t size):
        self.data = <uint8_t *>PyMem_Malloc(size)
        if not self.data:
            raise MemoryError
        self.size = size
        self.used = 0
        self.views = 0

    def __dealloc__(self):
        PyMem_Free(self.data)

    cdef int reserve(self, Py_ssize_t more) except -1:
        """Make room for `more` bytes behind the used ones. MemoryError if there is no memory."""
        cdef Py_ssize_t wanted = self.used + more
        cdef uint8_t *grown
        if wanted > self.size:
            wanted += wanted * SPARE_PERCENT // 100
            grown = <uint8_t *>PyMem_Realloc(self.data, wanted)
            if not grown:
                raise MemoryError
            self.data = grown
            self.size = wanted
        return 0

    cdef int settle(self, Py_ssize_t size) except -1:
        """Empty it, and shrink it to at most `size` bytes."""
        cdef uint8_t *shrunk
        self.used = 0
        if self.size > size:
            shrunk = <uint8_t *>PyMem_Realloc(self.data, size)
            if shrunk:
                self.data = shrunk
                self.size = size
        return 0


cdef class _Output:
    """The commands in a room, as a read-only buffer."""

    cdef _Room room

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.room.data, self.room.used, 1, flags)
        self.room.views += 1

    def __releasebuffer__(self, Py_buffer *view):
        self.room.views -= 1

    def __len__(self):
        return self.room.used
