# The fields of a row: their names, encoded in advance, and their values. Included by _native.pyx.

@cython.final
cdef class _Fields:
    """Says which of a row's values become which fields (`layout.Field`)."""

    cdef int _count
    cdef bint _is_straight, _as_empty, _as_null
    cdef list _kept  # the objects behind the pointers below
    cdef Name *_names
    cdef Value *_values  # of the row in hand, if they are not straight what MySQL sent
    cdef Value *_constants
    cdef int *_sources  # a column, or -1 for a constant
    cdef int *_conversions
    cdef int *_types  # in JSON
    cdef Py_ssize_t *_extras  # for `put_json`
    cdef _Room _converted  # values that were converted
    cdef Py_ssize_t names_bytes

    def __cinit__(self, layout):
        cdef int at, count = len(layout.fields)
        self._count = count
        self._is_straight = layout.is_straight and not layout.lookups  # `read` may write into the columns
        self._as_empty = layout.null.as_empty
        self._as_null = layout.null.as_null
        self._kept = []
        self._names = <Name *>PyMem_Malloc((count + 1) * sizeof(Name))
        self._values = <Value *>PyMem_Malloc((count + 1) * sizeof(Value))
        self._constants = <Value *>PyMem_Malloc((count + 1) * sizeof(Value))
        self._sources = <int *>PyMem_Malloc((count + 1) * sizeof(int))
        self._conversions = <int *>PyMem_Malloc((count + 1) * sizeof(int))
        self._types = <int *>PyMem_Malloc((count + 1) * sizeof(int))
        self._extras = <Py_ssize_t *>PyMem_Malloc((count + 1) * sizeof(Py_ssize_t))
        if not (self._names and self._values and self._constants and self._sources and self._conversions
                and self._types and self._extras):
            raise MemoryError
        self._converted = _Room(16)
        self.names_bytes = 0
        for at in range(count):
            self._prepare(at, layout.fields[at])

    def __dealloc__(self):
        PyMem_Free(self._names)
        PyMem_Free(self._values)
        PyMem_Free(self._constants)
        PyMem_Free(self._sources)
        PyMem_Free(self._conversions)
        PyMem_Free(self._types)
        PyMem_Free(self._extras)

    cdef int _keep(self, Value *value, bytes text) except -1:
        """Point `value` at the text, and keep the text alive."""
        self._kept.append(text)
        value.data = text
        value.size = len(text)
        return 0

    cdef int _prepare(self, int at, field) except -1:
        """Encode a field's name for each kind of output, and note where its value comes from."""
        cdef Name *name = &self._names[at]
        cdef bytearray room
        cdef uint8_t *start
        cdef Value text
        self._keep(&name.text, field.name.encode())
        text = name.text
        room = bytearray(text.size + FIELD_OVERHEAD)
        start = room
        self._keep(&name.bulk, bytes(room[: put_bulk(start, text.data, text.size) - start]))
        self._keep(&name.element, bytes(room[: put_element(start, text.data, text.size) - start]))
        self._keep(&name.string, bytes(room[: put_rdb_string(start, text.data, text.size) - start]))
        self._keep(&name.json, json_text(field.name.encode()) + b":")
        self.names_bytes += max(text.size, name.json.size)
        self._sources[at] = field.source if isinstance(field.source, int) else -1
        self._keep(&self._constants[at], b"" if isinstance(field.source, int) else field.source)
        self._conversions[at] = field.conversion.value
        self._types[at] = field.json.value
        return 0

    cdef int read(self, Value *columns, Row *row) except -1:
        """Set the row's fields, from the values of its columns."""
        cdef int at
        cdef Value *values = columns if self._is_straight else self._values
        if not self._is_straight:
            self._convert(columns)
        row.names, row.values, row.columns = self._names, values, self._count
        row.fields = 0
        row.most_bytes = self.names_bytes + <Py_ssize_t>self._count * FIELD_OVERHEAD
        row.types, row.extras, row.as_null = self._types, self._extras, self._as_null
        for at in range(self._count):
            if values[at].size >= 0:
                row.fields += 1
                row.most_bytes += values[at].size
            elif self._as_empty:
                values[at].data = <const uint8_t *>b""
                values[at].size = 0
                row.fields += 1
        return 0

    cdef int _convert(self, const Value *columns) except -1:
        """Set `_values`: constants, and values, converted where that is asked for."""
        cdef int at
        cdef Py_ssize_t most_bytes = 0
        cdef uint8_t *out
        cdef Value *value
        for at in range(self._count):
            value = &self._values[at]
            value[0] = self._constants[at] if self._sources[at] < 0 else columns[self._sources[at]]
            if value.size >= 0 and self._conversions[at] != AS_IT_IS:
                most_bytes += converted_bound(value.size, self._conversions[at])
        if not most_bytes:
            return 0
        self._converted.settle(BODY_BYTES)
        self._converted.reserve(most_bytes)
        out = self._converted.data
        for at in range(self._count):
            value = &self._values[at]
            if value.size >= 0 and self._conversions[at] != AS_IT_IS:
                end = put_converted(out, value, self._conversions[at])
                value.data, value.size = out, end - out
                out = end
        return 0
