# Where the native encoder writes: room that grows, and what of it is handed out. Part of _native.pyx.

cdef class _Room:
    """Bytes that grow. Never shrinks while a batch is encoded; `settle` gives a large row's room back."""

    cdef uint8_t *data
    cdef Py_ssize_t size
    cdef Py_ssize_t used
    cdef int views

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
        """Make room for so many bytes after those that are used."""
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
        """Empty it, and keep no more room than this."""
        cdef uint8_t *shrunk
        self.used = 0
        if self.size > size:
            shrunk = <uint8_t *>PyMem_Realloc(self.data, size)
            if shrunk:
                self.data = shrunk
                self.size = size
        return 0


cdef class _Output:
    """The commands of one batch, as a read-only buffer."""

    cdef _Room room

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.room.data, self.room.used, 1, flags)
        self.room.views += 1

    def __releasebuffer__(self, Py_buffer *view):
        self.room.views -= 1

    def __len__(self):
        return self.room.used
