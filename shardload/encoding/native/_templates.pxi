# Texts that are made of a row's values: a key, for example. Included by _native.pyx.

@cython.final
cdef class _Template:
    """A text piece by piece, literal or a column's value (`layout.Text`)."""

    cdef int _parts
    cdef Value *_texts  # a literal piece; of no use where `_columns` names a column
    cdef int *_columns  # the column that is this piece, or -1 for a literal
    cdef int *_conversions
    cdef list _kept  # the literal pieces

    def __cinit__(self, text):
        cdef int at
        cdef bytes literal
        self._parts = len(text)
        self._texts = <Value *>PyMem_Malloc((self._parts + 1) * sizeof(Value))
        self._columns = <int *>PyMem_Malloc((self._parts + 1) * sizeof(int))
        self._conversions = <int *>PyMem_Malloc((self._parts + 1) * sizeof(int))
        if not self._texts or not self._columns or not self._conversions:
            raise MemoryError
        self._kept = []
        for at in range(self._parts):
            part = text[at]
            self._columns[at] = -1 if isinstance(part, bytes) else part.column
            self._conversions[at] = AS_IT_IS if isinstance(part, bytes) else part.conversion.value
            if isinstance(part, bytes):
                literal = part
                self._kept.append(literal)
                self._texts[at].data = literal
                self._texts[at].size = len(literal)

    def __dealloc__(self):
        PyMem_Free(self._texts)
        PyMem_Free(self._columns)
        PyMem_Free(self._conversions)

    cdef bint fill(self, const Value *values, _Room room) except -1:
        """Put the text into `room`. False if one of its values is NULL."""
        cdef int part
        cdef Value piece
        room.used = 0
        for part in range(self._parts):
            piece = self._texts[part] if self._columns[part] < 0 else values[self._columns[part]]
            if piece.size < 0:
                return False
            if self._conversions[part] == AS_IT_IS:
                if piece.size > room.size - room.used:
                    room.reserve(piece.size)
                room.used = put(room.data + room.used, piece.data, piece.size) - room.data
            else:
                room.reserve(converted_bound(piece.size, self._conversions[part]))
                room.used = put_converted(room.data + room.used, &piece, self._conversions[part]) - room.data
        return True
