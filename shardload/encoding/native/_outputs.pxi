# The native encoder's output: a buffer for each node of the target, and which of them a key's commands belong into.
# Included by _native.pyx.

cdef struct _Counts:  # of a node, in one batch
    Py_ssize_t keys
    Py_ssize_t expiring  # of the entries


@cython.final
cdef class _Outputs:
    """The buffers of one batch after another. Without routes there is one, for node 0."""

    cdef _Room first  # of node 0
    cdef list _rooms  # of each node
    cdef list _spares  # rooms of earlier batches, the oldest first; of most the caller still holds the commands
    cdef const uint16_t[::1] _nodes  # the routes: each slot's node
    cdef bint is_routed
    cdef _Counts *_counts  # of each node, in this batch
    cdef _Outputs answers  # what comes back for the commands, if they ask for keys; else None

    def __cinit__(self, bint has_answers=False):
        self.answers = _Outputs() if has_answers else None
        self.first = _Room(OUT_BYTES)
        self._rooms = [self.first]
        self._spares = []
        self._counts = <_Counts *>PyMem_Malloc(sizeof(_Counts))
        if not self._counts:
            raise MemoryError

    def __dealloc__(self):
        PyMem_Free(self._counts)

    cdef int route(self, routes) except -1:
        """See `NativeEncoder.route`."""
        if self.answers is not None:
            self.answers.route(routes)
        cdef Py_ssize_t nodes = 1 if routes is None else max(routes) + 1
        cdef void *grown
        if routes is not None and len(routes) != SLOTS:
            raise ValueError(f"routes of {len(routes)} slots")
        grown = PyMem_Realloc(self._counts, nodes * sizeof(_Counts))
        if not grown:
            raise MemoryError
        self._counts = <_Counts *>grown
        self.is_routed = routes is not None
        if routes is not None:
            self._nodes = routes
        while len(self._rooms) < nodes:
            self._rooms.append(_Room(NODE_BYTES))
        del self._rooms[nodes:]
        return 0

    cdef int begin_batch(self) except -1:
        """Empty every buffer; take another one where the caller still holds the commands of the last batch."""
        cdef Py_ssize_t node, size = NODE_BYTES if self.is_routed else OUT_BYTES
        if self.answers is not None:
            self.answers.begin_batch()
        for node in range(len(self._rooms)):
            self._counts[node].keys = self._counts[node].expiring = 0
            self._rooms[node] = self._emptied(self._rooms[node], size)
        self.first = self._rooms[0]
        return 0

    cdef _Room _emptied(self, _Room room, Py_ssize_t size):
        cdef Py_ssize_t at
        cdef _Room spare
        if room.views:
            self._spares.append(room)
            for at in range(len(self._spares)):
                spare = self._spares[at]
                if not spare.views:
                    del self._spares[at]
                    break
            else:
                spare = _Room(size)
            room = spare
        room.settle(size)
        return room

    cdef _Room room_of(self, const Value *key, bint expires):
        """The buffer for the commands of this key, which is counted."""
        cdef int node = 0
        if self.is_routed:
            node = self._nodes[slot_of(key)]
        self._counts[node].keys += 1
        self._counts[node].expiring += expires
        return self._rooms[node] if node else self.first

    cdef int add_question(
        self, const Row *row, const Expiry *expiry, const Value *body, bint is_hash, bint is_document
    ) except -1:
        """Append the commands that ask for a key, and their answer: the row's fields, or `body`."""
        cdef _Room room = self.room_of(&row.key, False), answer = self.answers.room_of(&row.key, False)
        cdef uint8_t *out
        room.reserve(2 * row.key.size + COMMANDS_OVERHEAD)
        room.used = put_question(room.data + room.used, &row.key, expiry, is_hash, is_document) - room.data
        answer.reserve(body.size + ANSWER_OVERHEAD)
        out = answer.data + answer.used
        out = put_hash_answer(out, row) if is_hash else put_bulk(out, body.data, body.size)
        answer.used = put_expiry_answer(out, expiry) - answer.data
        return 0

    cdef int add_entry(self, const Value *key, uint64_t at_ms, const Value *value, bint is_text) except -1:
        """Append the key as an entry of an RDB file; see `put_entry`."""
        cdef _Room room = self.room_of(key, at_ms != 0)
        room.reserve(key.size + value.size + ENTRY_OVERHEAD)
        room.used = put_entry(room.data + room.used, key, at_ms, value, is_text) - room.data
        return 0

    cdef Py_ssize_t keys(self):
        """How many keys the batch has, of all nodes."""
        cdef Py_ssize_t node, keys = 0
        for node in range(len(self._rooms)):
            keys += self._counts[node].keys
        return keys

    cdef list parts(self, int replies_per_key, bint is_lookup):
        """The batch's parts, of the nodes that get keys."""
        cdef Py_ssize_t node
        cdef _Counts counts
        cdef list parts = []
        for node in range(len(self._rooms)):
            counts = self._counts[node]
            if counts.keys:
                answers = self.answers.seen(node) if self.answers is not None else b""
                replies = counts.keys * replies_per_key
                seen = self.seen(node)
                parts.append(Part(node, counts.keys, seen, replies, is_lookup, answers, counts.expiring))
        return parts

    cdef object seen(self, Py_ssize_t node):
        """The node's buffer, to be read."""
        cdef _Output output = _Output.__new__(_Output)
        output.room = self._rooms[node]
        return memoryview(output)
