# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The native encoder: MySQL's packets in, Redis's commands out, in one pass, without a Python object a row.

It writes the same bytes as `reference.py`, which defines them; the comments there are not repeated. A row's way:
`_packets.pxi` finds its values, and holds every length that comes from the wire against what is there; here its key is
made and the room for its commands reserved, once, for the most that the row can need; `_payloads.pxd` and `_writers.pxd`
write without looking.
"""

from cpython.buffer cimport PyBuffer_FillInfo
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from shardload.encoding.native._payloads cimport (
    BODY_OVERHEAD, FIELD_OVERHEAD, MOST_LISTPACK_FIELDS, Name, Value, crc64_of, crc64_prepare, listpack, plain_hash,
)
from shardload.encoding.native._writers cimport MOST_DIGITS, put, put_bulk, put_element, put_number, put_rdb_length

from shardload.encoding.batch import Batch
from shardload.encoding.form import Payload
from shardload.errors import MalformedPacket

cdef extern from *:
    """
    #ifdef SHARDLOAD_SMALL /* the fuzzer's build: no room to spare, and short packets are continued */
    enum { OUT_BYTES = 16, BODY_BYTES = 16, KEY_BYTES = 1, SPARE_PERCENT = 0, CONTINUED = 250 };
    #else
    enum { OUT_BYTES = 1 << 20, BODY_BYTES = 1 << 16, KEY_BYTES = 1 << 10, SPARE_PERCENT = 25, CONTINUED = 0xFFFFFF };
    #endif
    """
    enum:
        OUT_BYTES
        BODY_BYTES
        KEY_BYTES
        SPARE_PERCENT
        CONTINUED

cdef enum:
    END_SHORTER_THAN = 9
    MORE_RESULTS = 0x08  # SERVER_MORE_RESULTS_EXISTS in the end's status
    ROW_OVERHEAD = 512  # the words, lengths and line ends of a row's commands, apart from its fields

CONTINUED_BYTES = CONTINUED
crc64_prepare()

include "_room.pxi"
include "_packets.pxi"


def checksums(const uint8_t[::1] data):
    """The CRC64 of a text in both ways that this module knows (the same, where the processor cannot fold)."""
    cdef const uint8_t *start = &data[0] if data.shape[0] else NULL
    return crc64_of(start, data.shape[0], True), crc64_of(start, data.shape[0], False)


cdef class NativeEncoder:
    """Encodes one result set after another; `begin` starts each. See `ReferenceEncoder`."""

    cdef readonly str name
    cdef readonly int replies_per_key
    cdef object _layout
    cdef int _columns, _written, _parts
    cdef bint _null_as_empty, _restores, _packs, _whole
    cdef uint64_t _ttl_ms, _jitter_ms
    cdef uint8_t _sequence
    cdef list _kept  # the objects behind the pointers below
    cdef Value *_values
    cdef Name *_names  # of the fields
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
        if not 0 <= layout.row_id < self._columns or self._written > self._columns or any(isinstance(part, int) and part >= self._columns for part in layout.key_parts):
            raise ValueError(f"a layout of {self._columns} columns that uses more of them: {layout}")
        self._null_as_empty = layout.null_as_empty
        self._restores = form.payload is not None
        self._packs = form.payload is Payload.LISTPACK
        self._whole = form.whole
        self._ttl_ms = form.ttl_ms
        self._jitter_ms = form.jitter_ms
        self._kept = []
        self._values = <Value *>PyMem_Malloc((self._columns + 1) * sizeof(Value))
        self._names = <Name *>PyMem_Malloc((self._columns + 1) * sizeof(Name))
        self._key_texts = <Value *>PyMem_Malloc((self._parts + 1) * sizeof(Value))
        self._key_columns = <int *>PyMem_Malloc((self._parts + 1) * sizeof(int))
        if not self._values or not self._names or not self._key_texts or not self._key_columns:
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
        self._key = _Room(KEY_BYTES)
        self._joined = _Room(16)

    def __dealloc__(self):
        PyMem_Free(self._values)
        PyMem_Free(self._names)
        PyMem_Free(self._key_texts)
        PyMem_Free(self._key_columns)

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
        self._keep(&self._names[at].text, name)
        text = self._names[at].text
        self._keep(&self._names[at].bulk, bytes(room[: put_bulk(start, text.data, text.size) - start]))
        self._keep(&self._names[at].element, bytes(room[: put_element(start, text.data, text.size) - start]))
        self._keep(&self._names[at].string, bytes(room[: put(put_rdb_length(start, text.size), text.data, text.size) - start]))
        self._names_bytes += text.size
        return 0

    def begin(self, int sequence):
        """A new result set, whose first row's packet bears this number."""
        self._sequence = <uint8_t>sequence

    def encode(self, data):
        """Every whole row in `data`, as commands. MalformedPacket if it is not MySQL's protocol."""
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
            length = payload_length(base, at, self._sequence)
            if length > end - at - HEADER_BYTES:
                break
            packet = base + at + HEADER_BYTES
            at += HEADER_BYTES + length
            if length == CONTINUED:
                length = join_packets(self._joined, base, start, end, &self._sequence, &at)
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
                if length > 3 and packet[3] & MORE_RESULTS:
                    raise MalformedPacket(f"an end at offset {start + HEADER_BYTES} that announces another result")
                ended = True
            else:
                split_row(self._values, self._columns, packet, length, start + HEADER_BYTES)
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
        if self._whole:
            out = self._put_word(out, b"*1\r\n$5\r\nMULTI\r\n", 15)
        out = self._put_word(out, b"*2\r\n$3\r\nDEL\r\n", 13)
        out = put_bulk(out, self._key.data, self._key.used)
        out[0] = 42  # *
        out = put_number(out + 1, 2 + 2 * fields)
        out = self._put_word(out, b"\r\n$4\r\nHSET\r\n", 12)
        out = put_bulk(out, self._key.data, self._key.used)
        for column in range(self._written):
            if self._values[column].size >= 0:
                out = put(out, self._names[column].bulk.data, self._names[column].bulk.size)
                out = put_bulk(out, self._values[column].data, self._values[column].size)
        if self._ttl_ms:
            out = self._put_word(out, b"*3\r\n$7\r\nPEXPIRE\r\n", 17)
            out = put_bulk(out, self._key.data, self._key.used)
            out = put_bulk(out, ttl, put_number(ttl, self._ttl()) - ttl)
        if self._whole:
            out = self._put_word(out, b"*1\r\n$4\r\nEXEC\r\n", 14)
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
            payload = listpack(self._body.data, self._names, self._values, self._written, fields)
        if not payload:
            payload = plain_hash(self._body.data, self._names, self._values, self._written, fields)
        self._out.reserve(payload + self._key.used + ROW_OVERHEAD)
        out = self._out.data + self._out.used
        out = self._put_word(out, b"*5\r\n$7\r\nRESTORE\r\n", 17)
        out = put_bulk(out, self._key.data, self._key.used)
        out = put_bulk(out, ttl, put_number(ttl, self._ttl()) - ttl)
        out = put_bulk(out, self._body.data, payload)
        out = self._put_word(out, b"$7\r\nREPLACE\r\n", 13)
        self._out.used = out - self._out.data
        return 0
