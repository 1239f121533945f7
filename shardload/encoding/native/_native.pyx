# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The native encoder: turns MySQL's packets into Redis's commands in one pass, without a Python object per row.

It writes the same bytes as `reference.py`, which defines and explains them. The way of a row:
1. `_packets.pxi` finds its values, and checks every length that comes from the wire.
2. `_templates.pxi` makes its key, `_fields.pxi` its fields, with `_conversions.pxi` for values that are not written as
   MySQL sends them.
3. This module finds the node that has the key (`_slots.pxd`, `_outputs.pxi`), and reserves room for the most that the
   commands can need.
4. `_commands.pxd` writes the commands into that room (`_questions.pxd` those that ask for keys, `_entries.pxd` the
   entries of an RDB file), `_payloads.pxd` RESTORE's payload, `_json.pxd` a JSON object, all with the basic writers of `_writers.pxd`. None of them checks bounds.
`_comparison.pxi` compares what Redis answers.
"""

cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.float cimport FLT_MAX
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from shardload.encoding.native._commands cimport (
    COMMANDS_OVERHEAD, Expiry, put_after, put_before, put_hset, put_json_set, put_restore, put_set, ttl_of,
)
from shardload.encoding.native._entries cimport ENTRY_OVERHEAD, expires_at_ms, put_entry
from shardload.encoding.native._json cimport json_bound, put_json
from shardload.encoding.native._payloads cimport (
    FIELD_OVERHEAD, MOST_LISTPACK_FIELDS, PAYLOAD_OVERHEAD, Name, Row, Value, crc64_of, crc64_on,
    crc64_prepare, put_footer, put_listpack_value, put_plain_value,
)
from shardload.encoding.native._questions cimport ANSWER_OVERHEAD, put_expiry_answer, put_hash_answer, put_question
from shardload.encoding.native._slots cimport sl_crc16_of, sl_crc16_prepare, slot_of
from shardload.encoding.native._writers cimport put, put_bulk, put_element, put_little, put_number, put_rdb_string

from shardload.encoding.batch import Batch, Part
from shardload.encoding.document import json_text
from shardload.encoding.fingerprints import END, most_of
from shardload.encoding.form import COMMANDS_PER_QUESTION as PER_QUESTION, Payload, Shape
from shardload.encoding.slots import SLOTS
from shardload.errors import MalformedAnswer, MalformedPacket

include "_room.pxi"
include "_outputs.pxi"
include "_packets.pxi"
include "_conversions.pxi"
include "_templates.pxi"
include "_fields.pxi"
include "_fingerprints.pxi"
include "_comparison.pxi"

crc64_prepare()
sl_crc16_prepare()


@cython.final
cdef class NativeEncoder:
    """Encodes one result set after another; call `begin` before each. See `Encoder`."""

    cdef readonly str name
    cdef readonly int replies_per_key
    cdef int _replies_per_lookup
    cdef object _layout
    cdef int _columns
    cdef int _expiry  # the column that says when a key expires, or -1
    cdef bint _is_hash, _is_string, _is_document  # a document of the JSON module
    cdef bint _restores, _packs, _whole, _keeps, _expires, _may_be_empty, _reads, _writes_entries
    cdef uint64_t _ttl_ms, _jitter_ms
    cdef int64_t _now_ms
    cdef uint8_t _sequence  # of the next packet
    cdef Value *_values  # of the row in hand
    cdef _Fields _fields
    cdef _Template _key_template
    cdef list _lookups  # of each: two templates, key and value
    cdef _Outputs _outputs, _lookup_outputs  # the commands of the batch
    cdef _Fingerprints _fingerprints  # of the batch's keys, if the form wants them
    cdef _Room _body  # the payload or the document of the row in hand
    cdef _Room _key, _lookup_key, _lookup_value  # of the row in hand
    cdef _Room _joined  # a payload that came in several packets
    cdef Py_ssize_t _rows_read, _rows_skipped  # of the batch
    cdef list _set_aside  # of the batch

    def __cinit__(self, layout, form):
        form.check_fields(len(layout.fields))
        self.name = "native"
        self.replies_per_key = form.replies_per_key
        self._layout = layout
        self._columns = len(layout.columns)
        self._expiry = -1 if layout.expiry is None else layout.expiry
        self._is_hash = form.shape is Shape.HASH
        self._is_string = form.shape is Shape.STRING
        self._is_document = form.shape is Shape.REDISJSON
        self._reads, self._writes_entries = form.reads, form.writes_entries
        self._replies_per_lookup = form.replies_per_lookup
        self._restores = self._is_hash and form.payload is not None and not form.reads
        self._packs = form.payload is Payload.LISTPACK
        self._whole = form.whole
        self._keeps = form.keeps
        self._expires = form.expires
        self._may_be_empty = form.shape in (Shape.JSON, Shape.REDISJSON)
        self._ttl_ms, self._jitter_ms = form.ttl_ms, form.jitter_ms
        self._values = <Value *>PyMem_Malloc((self._columns + 1) * sizeof(Value))
        if not self._values:
            raise MemoryError
        self._fields = _Fields(layout)
        self._key_template = _Template(layout.key)
        self._lookups = [(_Template(lookup.key), _Template(lookup.value)) for lookup in layout.lookups]
        self._outputs = _Outputs(form.reads)
        self._lookup_outputs = _Outputs(form.reads) if self._lookups else None
        self._fingerprints = _Fingerprints(form.fingerprints)
        self._body = _Room(BODY_BYTES)
        self._key = _Room(KEY_BYTES)
        self._lookup_key, self._lookup_value = _Room(KEY_BYTES), _Room(KEY_BYTES)
        self._joined = _Room(16)

    def __dealloc__(self):
        PyMem_Free(self._values)

    def route(self, routes):
        """Write the commands of later batches into a part for each node; None: into one part for node 0."""
        self._outputs.route(routes)
        if self._lookups:
            self._lookup_outputs.route(routes)

    def begin(self, int sequence, int64_t now_ms=0):
        """Start a result set. `sequence` (0 to 255) is the packet number of its first row, `now_ms` the Unix time in
        ms: rows that expire until then are skipped, and in an RDB file TTLs count from then."""
        self._sequence = <uint8_t>sequence
        self._now_ms = now_ms

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
        parts = self._outputs.parts(self.replies_per_key, False)
        lookups = 0
        if self._lookups:
            parts += self._lookup_outputs.parts(self._replies_per_lookup, True)
            lookups = self._lookup_outputs.keys()
        return Batch(
            at, self._rows_read, self._rows_skipped, self._outputs.keys(), parts, self._set_aside, ended, error_packet,
            lookups, self._fingerprints.taken(),
        )

    cdef int _begin_batch(self) except -1:
        self._outputs.begin_batch()
        if self._lookups:
            self._lookup_outputs.begin_batch()
        self._fingerprints.begin_batch()
        self._body.settle(BODY_BYTES)
        self._rows_read = self._rows_skipped = 0
        self._set_aside = []
        return 0

    cdef int _write_row(self) except -1:
        """Append the commands of the row in `_values`, and count it: as written, skipped or set aside."""
        cdef Row row
        cdef Expiry expiry
        cdef int64_t date_ms = 0
        self._rows_read += 1
        if not self._key_template.fill(self._values, self._key) or not self._read_expiry(&date_ms):
            self._set_aside.append(self._layout.set_aside(self._python_values()))
            return 0
        if self._expiry >= 0 and date_ms != 0 and date_ms <= self._now_ms:
            self._rows_skipped += 1
            return 0
        self._fields.read(self._values, &row)
        if not row.fields and not self._may_be_empty:
            self._rows_skipped += 1
            return 0
        row.key.data, row.key.size = self._key.data, self._key.used
        expiry.is_date = date_ms != 0
        expiry.ms = <uint64_t>date_ms if date_ms else ttl_of(&row.key, self._ttl_ms, self._jitter_ms)
        if not self._write_key(&row, &expiry):
            return 0
        self._fingerprints.note(&row.key)
        if self._lookups:
            self._write_lookups(&expiry)
        return 0

    cdef bint _read_expiry(self, int64_t *date_ms) except -1:
        """Set when the row's key expires; 0 if the row does not say so. False if what it says is no time."""
        if self._expiry < 0 or self._values[self._expiry].size < 0:
            return True
        return parse_time(&self._values[self._expiry], date_ms)

    cdef list _python_values(self):
        cdef int column
        return [
            None if self._values[column].size < 0 else self._values[column].data[: self._values[column].size]
            for column in range(self._columns)
        ]

    cdef bint _write_key(self, const Row *row, const Expiry *expiry) except -1:
        """Append the commands of the row's own key. False if the row was set aside, because it is too long."""
        cdef Value body
        cdef _Room room
        cdef uint8_t *out
        if self._is_string:
            body = row.values[0]
        elif self._restores or not self._is_hash:
            self._make_body(row, &body)
        else:
            body.data, body.size = NULL, row.most_bytes
        if body.size > MOST_VALUE_BYTES and body.data is not NULL:
            self._set_aside.append(self._layout.too_long(self._python_values(), body.size))
            return False
        if self._reads:
            self._outputs.add_question(row, expiry, &body, self._is_hash, self._is_document)
            return True
        if self._writes_entries:
            self._outputs.add_entry(&row.key, expires_at_ms(expiry, self._now_ms), &body, not self._is_hash)
            return True
        room = self._outputs.room_of(&row.key, False)
        room.reserve(body.size + 4 * row.key.size + COMMANDS_OVERHEAD)
        out = room.data + room.used
        if self._is_hash and self._restores:
            out = put_restore(out, &row.key, expiry, &body, self._keeps)
        elif self._is_hash:
            out = put_hset(put_before(out, &row.key, self._whole), row)
            out = put_after(out, &row.key, self._expires, expiry, self._whole)
        elif not self._is_document:
            out = put_set(out, &row.key, expiry, &body, self._keeps)
        elif self._keeps:
            out = put_json_set(out, &row.key, &body, True)
        else:
            out = put_json_set(put_before(out, &row.key, self._whole), &row.key, &body, False)
            out = put_after(out, &row.key, self._expires, expiry, self._whole)
        room.used = out - room.data
        return True

    cdef int _make_body(self, const Row *row, Value *body) except -1:
        """Put the row's payload or JSON object into `_body`; for an RDB file the payload without its footer."""
        self._body.used = 0
        self._body.reserve(row.most_bytes + PAYLOAD_OVERHEAD if self._restores else json_bound(row))
        body.data, body.size = self._body.data, 0
        if not self._restores:
            body.size = put_json(self._body.data, row) - self._body.data
            return 0
        if self._packs and row.fields <= MOST_LISTPACK_FIELDS:
            body.size = put_listpack_value(self._body.data, row)
        if not body.size:
            body.size = put_plain_value(self._body.data, row)
        if not self._writes_entries:
            body.size = put_footer(self._body.data, body.size)
        return 0

    cdef int _write_lookups(self, const Expiry *expiry) except -1:
        """Append the command of each of the row's lookups that has no NULL."""
        cdef Value key, value
        cdef Row row
        cdef _Room room
        cdef _Template key_template, value_template
        for both in self._lookups:
            key_template, value_template = both
            if not key_template.fill(self._values, self._lookup_key):
                continue
            if not value_template.fill(self._values, self._lookup_value):
                continue
            key.data, key.size = self._lookup_key.data, self._lookup_key.used
            value.data, value.size = self._lookup_value.data, self._lookup_value.used
            self._fingerprints.note(&key)
            if self._reads:
                row.key = key
                self._lookup_outputs.add_question(&row, expiry, &value, False, False)
                continue
            if self._writes_entries:
                self._lookup_outputs.add_entry(&key, expires_at_ms(expiry, self._now_ms), &value, True)
                continue
            room = self._lookup_outputs.room_of(&key, False)
            room.reserve(key.size + value.size + COMMANDS_OVERHEAD)
            room.used = put_set(room.data + room.used, &key, expiry, &value, self._keeps) - room.data
        return 0
