# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The native encoder: turns MySQL's packets into Redis's commands in one pass, without a Python object per row.

It writes the same bytes as `reference.py`, which defines and explains them. The way of a row:
1. `_packets.pxi` finds its values, and checks every length that comes from the wire.
2. This module makes its key, finds the node that has it (`_slots.pxd`), and reserves room for the most that its commands
   can need.
3. `_commands.pxd` writes HSET or RESTORE into that room, `_payloads.pxd` RESTORE's payload, both with the basic writers
   of `_writers.pxd`. None of them checks bounds.
"""

cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.string cimport memcpy

from shardload.encoding.native._commands cimport COMMANDS_OVERHEAD, put_hset, put_restore, ttl_of
from shardload.encoding.native._payloads cimport (
    FIELD_OVERHEAD, MOST_LISTPACK_FIELDS, PAYLOAD_OVERHEAD, Name, Row, Value, crc64_of, crc64_prepare,
    put_listpack_payload, put_plain_payload,
)
from shardload.encoding.native._slots cimport sl_crc16_prepare, slot_of
from shardload.encoding.native._writers cimport put, put_bulk, put_element, put_rdb_length

from shardload.encoding.batch import Batch, Part
from shardload.encoding.form import Payload
from shardload.encoding.slots import SLOTS
from shardload.errors import MalformedPacket

cdef extern from *:
    """
    #ifdef SHARDLOAD_SMALL /* the fuzzer's build: no room to spare, and short packets are continued */
    enum { OUT_BYTES = 16, NODE_BYTES = 16, BODY_BYTES = 16, KEY_BYTES = 1, SPARE_PERCENT = 0, CONTINUED = 250 };
    #else
    enum { OUT_BYTES = 1 << 20, NODE_BYTES = 1 << 18, BODY_BYTES = 1 << 16, KEY_BYTES = 1 << 10, SPARE_PERCENT = 25, CONTINUED = 0xFFFFFF };
    #endif
    """
    enum:
        OUT_BYTES
        NODE_BYTES
        BODY_BYTES
        KEY_BYTES
        SPARE_PERCENT
        CONTINUED

CONTINUED_BYTES = CONTINUED
crc64_prepare()
sl_crc16_prepare()

include "_room.pxi"
include "_outputs.pxi"
include "_packets.pxi"


def checksums(const uint8_t[::1] data):
    """The CRC64 of `data`, computed by folding and by table. Both use the table if the processor cannot fold."""
    cdef const uint8_t *start = &data[0] if data.shape[0] else NULL
    return crc64_of(start, data.shape[0], True), crc64_of(start, data.shape[0], False)


@cython.final
cdef class NativeEncoder:
    """Encodes one result set after another; call `begin` before each. See `Encoder`.

    ValueError if the layout uses more columns than it has.
    """

    cdef readonly str name
    cdef readonly int replies_per_key
    cdef object _layout
    cdef int _columns, _written, _parts
    cdef bint _null_as_empty, _restores, _packs, _whole
    cdef uint64_t _ttl_ms, _jitter_ms
    cdef uint8_t _sequence  # of the next packet
    cdef list _kept  # the objects behind the pointers below
    cdef Value *_values  # of the row in hand
    cdef Name *_names  # of the fields
    cdef Value *_key_texts  # a literal piece of the key; of no use where `_key_columns` names a column
    cdef int *_key_columns  # the column that is a piece of the key, or -1 for a literal
    cdef Py_ssize_t _names_bytes
    cdef _Outputs _outputs  # the commands of the batch
    cdef _Room _body  # the payload of the row in hand
    cdef _Room _key  # the key of the row in hand
    cdef _Room _joined  # a payload that came in several packets
    cdef Py_ssize_t _rows_read, _rows_skipped, _keys  # of the batch
    cdef list _set_aside  # of the batch

    def __cinit__(self, layout, form):
        self.name = "native"
        self.replies_per_key = form.replies_per_key
        self._layout = layout
        self._columns = len(layout.columns)
        self._written = layout.written
        self._parts = len(layout.key_parts)
        used = [*layout.row_id, layout.written - 1, *(part for part in layout.key_parts if isinstance(part, int))]
        if min(layout.row_id, default=0) < 0 or max(used) >= self._columns:
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
        self._prepare_names()
        self._prepare_key_parts()
        self._outputs = _Outputs()
        self._body = _Room(BODY_BYTES)
        self._key = _Room(KEY_BYTES)
        self._joined = _Room(16)

    def __dealloc__(self):
        PyMem_Free(self._values)
        PyMem_Free(self._names)
        PyMem_Free(self._key_texts)
        PyMem_Free(self._key_columns)

    cdef int _keep(self, Value *value, bytes text) except -1:
        """Point `value` at the text, and keep the text alive."""
        self._kept.append(text)
        value.data = text
        value.size = len(text)
        return 0

    cdef int _prepare_names(self) except -1:
        """Encode every field's name for each kind of output."""
        cdef int at
        cdef bytearray room
        cdef uint8_t *start
        cdef Name *name
        cdef Value text
        self._names_bytes = 0
        for at in range(self._written):
            name = &self._names[at]
            self._keep(&name.text, self._layout.columns[at].encode())
            text = name.text
            room = bytearray(text.size + FIELD_OVERHEAD)
            start = room
            self._keep(&name.bulk, bytes(room[: put_bulk(start, text.data, text.size) - start]))
            self._keep(&name.element, bytes(room[: put_element(start, text.data, text.size) - start]))
            self._keep(&name.string, bytes(room[: put(put_rdb_length(start, text.size), text.data, text.size) - start]))
            self._names_bytes += text.size
        return 0

    cdef int _prepare_key_parts(self) except -1:
        cdef int at
        for at in range(self._parts):
            part = self._layout.key_parts[at]
            self._key_columns[at] = part if isinstance(part, int) else -1
            if not isinstance(part, int):
                self._keep(&self._key_texts[at], part)
        return 0

    def route(self, routes):
        """Write the commands of later batches into a part for each node; None: into one part for node 0."""
        self._outputs.route(routes)

    def begin(self, int sequence):
        """Start a result set. `sequence` (0 to 255) is the packet number of its first row."""
        self._sequence = <uint8_t>sequence

    def encode(self, data):
        """Encode every whole row in `data`. MalformedPacket if the bytes break MySQL's protocol."""
        cdef const uint8_t[::1] view = data
        cdef Py_ssize_t end = view.shape[0], at = 0, length = 0, offset
        cdef const uint8_t *base = &view[0] if end else NULL
        cdef const uint8_t *packet
        cdef bint ended = False
        cdef bytes error_packet = None
        self._begin_batch()
        while not ended and error_packet is None:
            offset = at + HEADER_BYTES
            packet = next_packet(self._joined, base, end, &at, &self._sequence, &length)
            if packet is NULL:
                break
            if length == 0:
                raise MalformedPacket(f"an empty packet at offset {offset}")
            if packet[0] == 0xFF:
                error_packet = packet[:length]
            elif packet[0] == 0xFE and length < END_SHORTER_THAN:
                check_end(packet, length, offset)
                ended = True
            else:
                split_row(self._values, self._columns, packet, length, offset)
                self._write_row()
        if ended and at != end:
            raise MalformedPacket(f"{end - at} bytes after the end of the result set")
        self._joined.settle(16)
        return Batch(
            at, self._rows_read, self._rows_skipped, self._keys, self._outputs.parts(), self._set_aside, ended,
            error_packet,
        )

    cdef int _begin_batch(self) except -1:
        self._outputs.begin_batch()
        self._body.settle(BODY_BYTES)
        self._rows_read = self._rows_skipped = self._keys = 0
        self._set_aside = []
        return 0

    cdef int _write_row(self) except -1:
        """Append the commands of the row in `_values`, and count it: as written, skipped or set aside."""
        cdef Row row
        cdef int column
        cdef _Room room
        cdef Py_ssize_t most_bytes = self._names_bytes + <Py_ssize_t>self._written * FIELD_OVERHEAD
        self._rows_read += 1
        if not self._make_key():
            self._set_aside.append(self._layout.set_aside(self._python_values()))
            return 0
        row.fields = 0
        for column in range(self._written):
            if self._values[column].size >= 0:
                row.fields += 1
                most_bytes += self._values[column].size
            elif self._null_as_empty:
                self._values[column].data = <const uint8_t *>b""
                self._values[column].size = 0
                row.fields += 1
        if not row.fields:
            self._rows_skipped += 1
            return 0
        row.key.data, row.key.size = self._key.data, self._key.used
        row.names, row.values, row.columns = self._names, self._values, self._written
        room = self._outputs.room_of(&row.key)
        if self._restores:
            self._write_restore(room, &row, most_bytes)
        else:
            self._write_hset(room, &row, most_bytes)
        self._keys += 1
        return 0

    cdef bint _make_key(self) except -1:
        """Put the key into `_key`. False if one of its columns is NULL."""
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

    cdef list _python_values(self):
        cdef int column
        return [
            None if self._values[column].size < 0 else self._values[column].data[: self._values[column].size]
            for column in range(self._columns)
        ]

    cdef int _write_hset(self, _Room room, const Row *row, Py_ssize_t most_bytes) except -1:
        """Append HSET and its companions. `most_bytes` is the most that the fields can need."""
        cdef uint64_t ttl_ms = ttl_of(&row.key, self._ttl_ms, self._jitter_ms)
        cdef uint8_t *out
        room.reserve(most_bytes + 3 * row.key.size + COMMANDS_OVERHEAD)
        out = put_hset(room.data + room.used, row, self._ttl_ms != 0, ttl_ms, self._whole)
        room.used = out - room.data
        return 0

    cdef int _write_restore(self, _Room room, const Row *row, Py_ssize_t most_bytes) except -1:
        """Append RESTORE. `most_bytes` is the most that the fields can need."""
        cdef uint64_t ttl_ms = ttl_of(&row.key, self._ttl_ms, self._jitter_ms)
        cdef Value payload
        cdef uint8_t *out
        self._body.used = 0
        self._body.reserve(most_bytes + PAYLOAD_OVERHEAD)
        payload.data, payload.size = self._body.data, 0
        if self._packs and row.fields <= MOST_LISTPACK_FIELDS:
            payload.size = put_listpack_payload(self._body.data, row)
        if not payload.size:
            payload.size = put_plain_payload(self._body.data, row)
        room.reserve(payload.size + row.key.size + COMMANDS_OVERHEAD)
        out = put_restore(room.data + room.used, &row.key, ttl_ms, &payload)
        room.used = out - room.data
        return 0
