# The native encoder's output: a buffer for each node of the target, and which of them a key's commands belong into.
# Included by _native.pyx.

@cython.final
cdef class _Outputs:
    """The buffers of one batch after another. Without routes there is one, for node 0."""

    cdef _Room first  # of node 0
    cdef list _rooms  # of each node
    cdef list _spares  # rooms of earlier batches, the oldest first; of most the caller still holds the commands
    cdef const uint16_t[::1] _nodes  # the routes: each slot's node
    cdef bint is_routed
    cdef Py_ssize_t *_keys  # of each node, in this batch
    cdef _Outputs answers  # what comes back for the commands, if they ask for keys; else None

    def __cinit__(self, bint has_answers=False):
        self.answers = _Outputs() if has_answers else None
        self.first = _Room(OUT_BYTES)
        self._rooms = [self.first]
        self._spares = []
        self._keys = <Py_ssize_t *>PyMem_Malloc(sizeof(Py_ssize_t))
        if not self._keys:
            raise MemoryError

    def __dealloc__(self):
        PyMem_Free(self._keys)

    cdef int route(self, routes) except -1:
        """See `NativeEncoder.route`."""
        if self.answers is not None:
            self.answers.route(routes)
        cdef Py_ssize_t nodes = 1 if routes is None else max(routes) + 1
        cdef void *grown
        if routes is not None and len(routes) != SLOTS:
            raise ValueError(f"routes of {len(routes)} slots")
        grown = PyMem_Realloc(self._keys, nodes * sizeof(Py_ssize_t))
        if not grown:
            raise MemoryError
        self._keys = <Py_ssize_t *>grown
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
            self._keys[node] = 0
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

    cdef _Room room_of(self, const Value *key):
        """The buffer for the commands of this key, which is counted."""
        cdef int node = 0
        if self.is_routed:
            node = self._nodes[slot_of(key)]
        self._keys[node] += 1
        return self._rooms[node] if node else self.first

    cdef Py_ssize_t keys(self):
        """How many keys the batch has, of all nodes."""
        cdef Py_ssize_t node, keys = 0
        for node in range(len(self._rooms)):
            keys += self._keys[node]
        return keys

    cdef list parts(self, int replies_per_key, bint is_lookup):
        """The batch's parts, of the nodes that get keys."""
        cdef Py_ssize_t node
        cdef list parts = []
        for node in range(len(self._rooms)):
            if self._keys[node]:
                answers = self.answers.seen(node) if self.answers is not None else b""
                replies = self._keys[node] * replies_per_key
                parts.append(Part(node, self._keys[node], self.seen(node), replies, is_lookup, answers))
        return parts

    cdef object seen(self, Py_ssize_t node):
        """The node's buffer, to be read."""
        cdef _Output output = _Output.__new__(_Output)
        output.room = self._rooms[node]
        return memoryview(output)
