# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The native encoder: MySQL's packets in, Redis's commands out, in one pass, without a Python object a row.

It writes the same bytes as `reference.py`, which defines them; the comments there are not repeated. Every length that
comes from the wire is compared with what is there before it is used: `_split` is the only reader of a packet. Room in
the output is reserved once a row, for the most that the row can need; the writers after it do not look.
"""

from cpython.buffer cimport PyBuffer_FillInfo
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from shardload.encoding._writers cimport (
    MOST_DIGITS, put, put_bulk, put_element, put_line_end, put_little, put_number, put_rdb_length,
)

from shardload.encoding.batch import Batch
from shardload.encoding.form import Payload
from shardload.errors import MalformedPacket

cdef enum:
    HEADER_BYTES = 4
    CONTINUED = 0xFFFFFF
    END_SHORTER_THAN = 9
    MOST_LISTPACK_BYTES = 8192
    MOST_LISTPACK_FIELDS = 512
    ROW_OVERHEAD = 512  # the words, lengths and line ends of a row's commands, apart from its fields
    FIELD_OVERHEAD = 64  # the lengths, line ends and back-lengths of a field and its name
    BODY_OVERHEAD = 64

cdef struct Value:
    const uint8_t *data
    Py_ssize_t size  # -1: NULL

cdef extern from "_crc64.h":
    void crc64_prepare() noexcept nogil
    uint64_t crc64_of(const uint8_t *data, size_t size, int may_fold) noexcept nogil

crc64_prepare()


def checksums(const uint8_t[::1] data):
    """The CRC64 of a text in both ways that this module knows (the same, where the processor cannot fold)."""
    cdef const uint8_t *start = &data[0] if data.shape[0] else NULL
    return crc64_of(start, data.shape[0], True), crc64_of(start, data.shape[0], False)


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
            wanted += wanted // 4
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


cdef enum:
    OUT_BYTES = 1 << 20
    BODY_BYTES = 1 << 16


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


cdef class NativeEncoder:
    """Encodes one result set after another; `begin` starts each. See `ReferenceEncoder`."""

    cdef readonly str name
    cdef readonly int replies_per_key
    cdef object _layout
    cdef int _columns, _written, _parts
    cdef bint _null_as_empty, _restores, _packs
    cdef uint64_t _ttl_ms, _jitter_ms
    cdef uint8_t _sequence
    cdef list _kept  # the objects behind the pointers below
    cdef Value *_values
    cdef Value *_names  # field names
    cdef Value *_name_bulks  # as bulk strings
    cdef Value *_name_elements  # as listpack elements
    cdef Value *_name_strings  # as RDB strings
    cdef Value *_key_texts  # a literal part of the key, or size -1 and a column
    cdef int *_key_columns
    cdef Py_ssize_t _names_bytes
    cdef _Room _out
    cdef _Room _body
    cdef _Room _key
    cdef _Room _joined

    def __cinit__(self, layout, form):
        cdef int at
        self.name = "native"
        self.replies_per_key = form.replies_per_key
        self._layout = layout
        self._columns = len(layout.columns)
        self._written = layout.written
        self._parts = len(layout.key_parts)
        self._null_as_empty = layout.null_as_empty
        self._restores = form.payload is not None
        self._packs = form.payload is Payload.LISTPACK
        self._ttl_ms = form.ttl_ms
        self._jitter_ms = form.jitter_ms
        self._kept = []
        self._values = self._new_values(self._columns)
        self._names = self._new_values(self._columns)
        self._name_bulks = self._new_values(self._columns)
        self._name_elements = self._new_values(self._columns)
        self._name_strings = self._new_values(self._columns)
        self._key_texts = self._new_values(self._parts)
        self._key_columns = <int *>PyMem_Malloc(self._parts * sizeof(int) + 1)
        if not self._key_columns:
            raise MemoryError
        self._names_bytes = 0
        for at in range(self._written):
            self._prepare_name(at, layout.columns[at].encode())
        for at in range(self._parts):
            part = layout.key_parts[at]
            self._key_columns[at] = part if isinstance(part, int) else -1
            if not isinstance(part, int):
                self._keep(&self._key_texts[at], part)
        self._out = _Room(OUT_BYTES)
        self._body = _Room(BODY_BYTES)
        self._key = _Room(1024)
        self._joined = _Room(16)

    def __dealloc__(self):
        PyMem_Free(self._values)
        PyMem_Free(self._names)
        PyMem_Free(self._name_bulks)
        PyMem_Free(self._name_elements)
        PyMem_Free(self._name_strings)
        PyMem_Free(self._key_texts)
        PyMem_Free(self._key_columns)

    cdef Value *_new_values(self, int count) except NULL:
        cdef Value *values = <Value *>PyMem_Malloc((count + 1) * sizeof(Value))
        if not values:
            raise MemoryError
        return values

    cdef int _keep(self, Value *value, bytes text) except -1:
        self._kept.append(text)
        value.data = text
        value.size = len(text)
        return 0

    cdef int _prepare_name(self, int at, bytes name) except -1:
        """A field's name, ready in each of the three ways it may be written."""
        cdef bytearray room = bytearray(len(name) + FIELD_OVERHEAD)
        cdef uint8_t *start = room
        cdef Value text
        self._keep(&self._names[at], name)
        text = self._names[at]
        self._keep(&self._name_bulks[at], bytes(room[: put_bulk(start, text.data, text.size) - start]))
        self._keep(&self._name_elements[at], bytes(room[: put_element(start, text.data, text.size) - start]))
        self._keep(&self._name_strings[at], bytes(room[: put(put_rdb_length(start, text.size), text.data, text.size) - start]))
        self._names_bytes += text.size
        return 0

    def begin(self, int sequence):
        """A new result set, whose first row's packet bears this number."""
        self._sequence = <uint8_t>sequence

    def encode(self, data):
        """Every whole row in `data`, as commands. MalformedPacket if the bytes are not MySQL's protocol."""
        cdef const uint8_t[::1] view = data
        cdef Py_ssize_t end = view.shape[0]
        cdef Py_ssize_t at = 0, start, length, rows = 0, keys = 0, skipped = 0
        cdef const uint8_t *packet = NULL
        cdef const uint8_t *base = NULL
        cdef bint ended = False
        cdef int written
        cdef bytes error_packet = None
        cdef list set_aside = []
        if end:
            base = &view[0]
        if self._out.views:
            self._out = _Room(OUT_BYTES)  # somebody still looks at the last batch
        self._out.settle(OUT_BYTES)
        self._body.settle(BODY_BYTES)
        while not ended and error_packet is None:
            start = at
            if end - at < HEADER_BYTES:
                break
            length = base[at] | base[at + 1] << 8 | base[at + 2] << 16
            if base[at + 3] != self._sequence:
                raise MalformedPacket(f"packet number {base[at + 3]} at offset {at} where {self._sequence} was due")
            if length > end - at - HEADER_BYTES:
                break
            packet = base + at + HEADER_BYTES
            at += HEADER_BYTES + length
            if length == CONTINUED:
                length = self._join(base, start, end, &at)
                if length < 0:
                    at = start
                    break
                packet = self._joined.data
            else:
                self._sequence += 1
            if length == 0:
                raise MalformedPacket(f"an empty packet at offset {start + HEADER_BYTES}")
            if packet[0] == 0xFF:
                error_packet = packet[:length]
            elif packet[0] == 0xFE and length < END_SHORTER_THAN:
                ended = True
            else:
                self._split(packet, length, start + HEADER_BYTES)
                rows += 1
                written = self._write_row()
                if written > 0:
                    keys += 1
                elif written == 0:
                    skipped += 1
                else:
                    set_aside.append(self._layout.set_aside(self._python_values()))
        if ended and at != end:
            raise MalformedPacket(f"{end - at} bytes after the end of the result set")
        self._joined.settle(16)
        cdef _Output output = _Output.__new__(_Output)
        output.room = self._out
        return Batch(at, rows, skipped, keys, memoryview(output), set_aside, ended, error_packet)

    cdef Py_ssize_t _join(self, const uint8_t *base, Py_ssize_t at, Py_ssize_t end, Py_ssize_t *after) except -2:
        """The payload of a continued packet, in `_joined`: its length, or -1 if it is not all there."""
        cdef Py_ssize_t length
        cdef uint8_t sequence = self._sequence
        self._joined.used = 0
        while True:
            if end - at < HEADER_BYTES:
                return -1
            length = base[at] | base[at + 1] << 8 | base[at + 2] << 16
            if base[at + 3] != sequence:
                raise MalformedPacket(f"packet number {base[at + 3]} at offset {at} where {sequence} was due")
            at += HEADER_BYTES
            if length > end - at:
                return -1
            self._joined.reserve(length)
            memcpy(self._joined.data + self._joined.used, base + at, length)
            self._joined.used += length
            at += length
            sequence += 1
            if length != CONTINUED:
                after[0] = at
                self._sequence = sequence
                return self._joined.used

    cdef int _split(self, const uint8_t *packet, Py_ssize_t end, Py_ssize_t offset) except -1:
        """Point `_values` at the row's values. Every length is held against what is left of the packet."""
        cdef Py_ssize_t at = 0
        cdef uint64_t length
        cdef int column, width, byte
        for column in range(self._columns):
            if at >= end:
                raise MalformedPacket(f"a row of {column} values at offset {offset} where {self._columns} were due")
            length = packet[at]
            at += 1
            if length == 0xFB:
                self._values[column].data = NULL
                self._values[column].size = -1
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
            self._values[column].data = packet + at
            self._values[column].size = <Py_ssize_t>length
            at += <Py_ssize_t>length
        if at != end:
            raise MalformedPacket(f"{end - at} bytes too many in the row at offset {offset}")
        return 0

    cdef list _python_values(self):
        cdef int column
        return [
            None if self._values[column].size < 0 else self._values[column].data[: self._values[column].size]
            for column in range(self._columns)
        ]

    cdef int _write_row(self) except -2:
        """Append the row's commands. 1: written; 0: no field; -1: a column of the key is NULL."""
        cdef int column, fields = 0
        cdef Py_ssize_t bytes_ = self._names_bytes
        if not self._make_key():
            return -1
        for column in range(self._written):
            if self._values[column].size >= 0:
                fields += 1
                bytes_ += self._values[column].size
            elif self._null_as_empty:
                self._values[column].data = <const uint8_t *>b""
                self._values[column].size = 0
                fields += 1
        if not fields:
            return 0
        bytes_ += <Py_ssize_t>self._written * FIELD_OVERHEAD
        if self._restores:
            self._write_restore(fields, bytes_)
        else:
            self._write_hset(fields, bytes_)
        return 1

    cdef bint _make_key(self) except -1:
        """The key, in `_key`; False if a column of it is NULL."""
        cdef int part
        cdef Value piece
        self._key.used = 0
        for part in range(self._parts):
            piece = self._key_texts[part] if self._key_columns[part] < 0 else self._values[self._key_columns[part]]
            if piece.size < 0:
                return False
            self._key.reserve(piece.size)
            memcpy(self._key.data + self._key.used, piece.data, piece.size)
            self._key.used += piece.size
        return True

    cdef uint64_t _ttl(self) noexcept:
        """The key's own time to live, as `Form.ttl_of` defines it."""
        cdef uint64_t mixed = <uint64_t>0xCBF29CE484222325
        cdef Py_ssize_t at
        if not self._jitter_ms:
            return self._ttl_ms
        for at in range(self._key.used):
            mixed = (mixed ^ self._key.data[at]) * <uint64_t>0x100000001B3
        mixed = (mixed ^ (mixed >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
        mixed = (mixed ^ (mixed >> 27)) * <uint64_t>0x94D049BB133111EB
        mixed ^= mixed >> 31
        return self._ttl_ms - self._jitter_ms + mixed % (2 * self._jitter_ms + 1)

    cdef uint8_t *_put_word(self, uint8_t *out, const char *word, Py_ssize_t size) noexcept:
        return put(out, <const uint8_t *>word, size)

    cdef int _write_hset(self, int fields, Py_ssize_t bytes_) except -1:
        cdef uint8_t *out
        cdef uint8_t ttl[MOST_DIGITS]
        cdef int column
        self._out.reserve(bytes_ + 3 * self._key.used + ROW_OVERHEAD)
        out = self._out.data + self._out.used
        out = self._put_word(out, b"*2\r\n$3\r\nDEL\r\n", 13)
        out = put_bulk(out, self._key.data, self._key.used)
        out[0] = 42  # *
        out = put_number(out + 1, 2 + 2 * fields)
        out = self._put_word(out, b"\r\n$4\r\nHSET\r\n", 12)
        out = put_bulk(out, self._key.data, self._key.used)
        for column in range(self._written):
            if self._values[column].size >= 0:
                out = put(out, self._name_bulks[column].data, self._name_bulks[column].size)
                out = put_bulk(out, self._values[column].data, self._values[column].size)
        if self._ttl_ms:
            out = self._put_word(out, b"*3\r\n$7\r\nPEXPIRE\r\n", 17)
            out = put_bulk(out, self._key.data, self._key.used)
            out = put_bulk(out, ttl, put_number(ttl, self._ttl()) - ttl)
        self._out.used = out - self._out.data
        return 0

    cdef int _write_restore(self, int fields, Py_ssize_t bytes_) except -1:
        cdef uint8_t *out
        cdef uint8_t ttl[MOST_DIGITS]
        cdef Py_ssize_t payload
        self._body.used = 0
        self._body.reserve(bytes_ + BODY_OVERHEAD)
        payload = 0
        if self._packs and fields <= MOST_LISTPACK_FIELDS:
            payload = self._listpack(fields)
        if not payload:
            payload = self._plain_hash(fields)
        self._out.reserve(payload + self._key.used + ROW_OVERHEAD)
        out = self._out.data + self._out.used
        out = self._put_word(out, b"*5\r\n$7\r\nRESTORE\r\n", 17)
        out = put_bulk(out, self._key.data, self._key.used)
        out = put_bulk(out, ttl, put_number(ttl, self._ttl()) - ttl)
        out = put_bulk(out, self._body.data, payload)
        out = self._put_word(out, b"$7\r\nREPLACE\r\n", 13)
        self._out.used = out - self._out.data
        return 0

    cdef Py_ssize_t _listpack(self, int fields) noexcept:
        """The payload with a listpack, in `_body`: its size, or 0 if it would be too long for one."""
        cdef uint8_t *body = self._body.data
        cdef uint8_t *start = body + 3  # behind the type and the listpack's length, which needs one byte or two
        cdef uint8_t *out = start + 6
        cdef int column
        cdef Py_ssize_t size
        for column in range(self._written):
            if self._values[column].size < 0:
                continue
            if out - start + self._names[column].size + self._values[column].size > MOST_LISTPACK_BYTES + FIELD_OVERHEAD:
                # only integers shrink, by less than their 20 digits each: look closer before giving up
                if self._values[column].size > MOST_DIGITS or self._names[column].size > MOST_DIGITS:
                    return 0
            out = put(out, self._name_elements[column].data, self._name_elements[column].size)
            out = put_element(out, self._values[column].data, self._values[column].size)
            if out - start + 1 > MOST_LISTPACK_BYTES:
                return 0
        out[0] = 0xFF
        out += 1
        size = out - start
        put_little(start, size, 4)
        put_little(start + 4, 2 * fields, 2)
        if size < 64:
            body = start - 2
        else:
            body = start - 3
        body[0] = 16
        put_rdb_length(body + 1, size)
        if body != self._body.data:  # rare: a very small row
            self._body.used = out - body
            for column in range(<int>self._body.used):
                self._body.data[column] = body[column]
            out = self._body.data + self._body.used
        return self._footed(out, 10)

    cdef Py_ssize_t _plain_hash(self, int fields) noexcept:
        """The payload of a plain hash, in `_body`: its size."""
        cdef uint8_t *out = self._body.data
        cdef int column
        out[0] = 4
        out = put_rdb_length(out + 1, fields)
        for column in range(self._written):
            if self._values[column].size >= 0:
                out = put(out, self._name_strings[column].data, self._name_strings[column].size)
                out = put_rdb_length(out, self._values[column].size)
                out = put(out, self._values[column].data, self._values[column].size)
        return self._footed(out, 9)

    cdef Py_ssize_t _footed(self, uint8_t *out, int version) noexcept:
        """Version and checksum behind the body that ends at `out`; the size of it all."""
        out = put_little(out, version, 2)
        out = put_little(out, crc64_of(self._body.data, out - self._body.data, True), 8)
        return out - self._body.data
