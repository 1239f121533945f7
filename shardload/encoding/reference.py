"""The reference encoder, in Python. It defines which bytes a row becomes; the native encoder writes the same ones."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from shardload.encoding.batch import Batch, Part
from shardload.encoding.commands import (
    Expiry,
    ValueTooLong,
    checked,
    hset_commands,
    json_set_commands,
    restore_command,
    set_command,
)
from shardload.encoding.entries import entry
from shardload.encoding.fingerprints import BYTES, fingerprint_of
from shardload.encoding.form import Form, Shape
from shardload.encoding.layout import NO_TIME_MS, Layout, Values
from shardload.encoding.packets import split_rows
from shardload.encoding.payload import hash_value, string_value
from shardload.encoding.questions import expiry_answer, hash_answer, question, text_answer
from shardload.encoding.slots import slot_of


@dataclass
class _Output:
    """The commands of one batch, by node."""

    routes: array[int] | None
    pieces: dict[int, list[bytes]] = field(default_factory=dict)
    answers: dict[int, list[bytes]] = field(default_factory=dict)
    expiring: dict[int, int] = field(default_factory=dict)  # of entries

    def add(self, key: bytes, commands: bytes, answer: bytes, expiring: int) -> None:
        node = self.routes[slot_of(key)] if self.routes else 0
        self.pieces.setdefault(node, []).append(commands)
        self.answers.setdefault(node, []).append(answer)
        self.expiring[node] = self.expiring.get(node, 0) + expiring

    def parts(self, replies_per_key: int, *, is_lookup: bool = False) -> list[Part]:
        return [
            Part(
                node, len(pieces), b"".join(pieces), len(pieces) * replies_per_key, is_lookup,
                b"".join(self.answers[node]), self.expiring[node],
            )
            for node, pieces in sorted(self.pieces.items())
        ]  # fmt: skip


class ReferenceEncoder:
    """Encodes one result set after another; call `begin` before each. See `Encoder`."""

    name = "reference"

    def __init__(self, layout: Layout, form: Form | None = None) -> None:
        self._layout = layout
        self._form = form or Form()
        self._form.check_fields(len(layout.fields))
        self._sequence = 0
        self._now_ms = 0
        self._routes: array[int] | None = None
        self._fingerprints = bytearray()  # of the batch's keys
        self.replies_per_key = self._form.replies_per_key

    def route(self, routes: array[int] | None) -> None:
        """Write the commands of later batches into a part for each node; None: into one part for node 0."""
        self._routes = routes

    def begin(self, sequence: int, now_ms: int = 0) -> None:
        """Start a result set. `sequence` (0 to 255) is the packet number of its first row, `now_ms` the Unix time in
        ms: rows that expire until then are skipped, and in an RDB file TTLs count from then."""
        self._sequence = sequence
        self._now_ms = now_ms

    def encode(self, data: bytes | bytearray | memoryview) -> Batch:
        """Encode every whole row in `data`. MalformedPacket if the bytes break MySQL's protocol."""
        found = split_rows(bytes(data), len(self._layout.columns), self._sequence)
        self._sequence = found.sequence
        batch = Batch(
            consumed_bytes=found.consumed_bytes,
            rows_read=len(found.rows),
            rows_skipped=0,
            keys=0,
            ended=found.ended,
            error_packet=found.error_packet,
        )
        self._fingerprints.clear()
        rows, lookups = _Output(self._routes), _Output(self._routes)
        for values in found.rows:
            self._add_row(batch, rows, lookups, values)
        parts = rows.parts(self.replies_per_key)
        more = lookups.parts(self._form.replies_per_lookup, is_lookup=True)
        batch.keys, batch.lookups = (sum(part.keys for part in several) for several in (parts, more))
        batch.parts = parts + more
        batch.fingerprints = bytes(self._fingerprints)
        return batch

    def _add_row(self, batch: Batch, rows: _Output, lookups: _Output, values: Values) -> None:
        """Append a row's commands, or count it as skipped or set aside."""
        layout = self._layout
        key, date_ms = layout.key_of(values), layout.expiry_of(values)
        if key is None or date_ms is None:
            batch.set_aside.append(layout.set_aside(values))
            return
        is_date = date_ms != NO_TIME_MS
        written = None
        if not is_date or date_ms > self._now_ms:
            expiry = Expiry(date_ms if is_date else self._form.ttl_of(key), is_date)
            try:
                written = (
                    self._question(key, values, expiry) if self._form.reads else self._written(key, values, expiry)
                )
            except ValueTooLong as error:
                batch.set_aside.append(layout.too_long(values, error.size_bytes))
                return
        if written is None:
            batch.rows_skipped += 1
            return
        expiring = int(self._form.writes_entries and expiry.at_ms(self._now_ms) != 0)
        rows.add(key, *written, expiring)
        names = [key]
        for name, value in layout.lookups_of(values):
            lookups.add(name, *self._lookup(name, value, expiry), expiring)
            names.append(name)
        if self._form.fingerprints:
            self._fingerprints += b"".join(fingerprint_of(name).to_bytes(BYTES, "little") for name in names)

    def _lookup(self, key: bytes, value: bytes, expiry: Expiry) -> tuple[bytes, bytes]:
        """The commands of a lookup, and their answer."""
        if self._form.reads:
            return question(key, Shape.STRING, expiry), text_answer(value) + expiry_answer(expiry)
        if self._form.rdb:
            return entry(key, string_value(value), expiry.at_ms(self._now_ms)), b""
        return set_command(key, value, expiry, keeps=self._form.keeps), b""

    def _question(self, key: bytes, values: Values, expiry: Expiry) -> tuple[bytes, bytes] | None:
        """The commands that ask for the row's own key, and their answer; None if nothing of the row is written."""
        layout, shape = self._layout, self._form.shape
        if shape is Shape.HASH:
            fields = layout.fields_of(values)
            answer = hash_answer(fields) if fields else None
        else:
            text = layout.text_of(values) if shape is Shape.STRING else layout.json_of(values)
            answer = None if text is None else text_answer(checked(text))
        return None if answer is None else (question(key, shape, expiry), answer + expiry_answer(expiry))

    def _written(self, key: bytes, values: Values, expiry: Expiry) -> tuple[bytes, bytes] | None:
        """What writes the row's own key, which has no answer to compare; None as for `_question`."""
        if self._form.rdb:
            value = self._value(values)
            written = None if value is None else entry(key, value, expiry.at_ms(self._now_ms))
        else:
            written = self._commands(key, values, expiry)
        return None if written is None else (written, b"")

    def _value(self, values: Values) -> bytes | None:
        """The value of the row's own key as an RDB file has it; None if nothing of the row is written."""
        layout, form = self._layout, self._form
        if form.shape is not Shape.HASH:
            text = layout.text_of(values) if form.shape is Shape.STRING else layout.json_of(values)
            return None if text is None else string_value(checked(text))
        fields = layout.fields_of(values)
        assert form.payload is not None
        return checked(hash_value(fields, form.payload)) if fields else None

    def _commands(self, key: bytes, values: Values, expiry: Expiry) -> bytes | None:
        """The commands that write the row's own key; None if nothing of the row is written."""
        layout, form = self._layout, self._form
        if form.shape is Shape.JSON:
            return set_command(key, layout.json_of(values), expiry, keeps=form.keeps)
        if form.shape is Shape.REDISJSON:
            return json_set_commands(key, layout.json_of(values), form, expiry)
        if form.shape is Shape.STRING:
            text = layout.text_of(values)
            return None if text is None else set_command(key, text, expiry, keeps=form.keeps)
        fields = layout.fields_of(values)
        if not fields:
            return None
        if form.payload is None:
            return hset_commands(key, fields, form, expiry)
        return restore_command(key, fields, form.payload, expiry, keeps=form.keeps)
