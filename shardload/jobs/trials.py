"""What a row becomes, for a projection: the bytes that its key should take, and the scratch key that tries it."""

from __future__ import annotations

import os
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from shardload.encoding import (
    Expiry,
    Form,
    Layout,
    Payload,
    Shape,
    Values,
    compact_bytes,
    json_set_commands,
    restore_command,
    set_command,
)
from shardload.encoding.commands import hset_commands
from shardload.encoding.payload import MOST_LISTPACK_BYTES
from shardload.model.memory import Family, Value, argument_bytes, hash_value, key_bytes
from shardload.target import MOST_TRIAL_BYTES, MOST_TRIALS, Trial

_FAR_MS = 4_102_444_800_000  # the year 2100
_LEAST_RANDOM = 12  # letters in the name of a scratch key
_LETTERS = (string.ascii_letters + string.digits).encode()
_HSET_COMPACT = 64  # hash-max-listpack-value


@dataclass(frozen=True)
class Item:
    """A key that a row makes, and what it has: the fields of a hash, or one text. `is_lookup` says that it stands
    beside the row's own; `expires`: it will."""

    key: bytes
    fields: list[tuple[bytes, bytes]]
    text: bytes | None = None
    is_lookup: bool = False
    expires: bool = False
    pieces: tuple[bytes, bytes] = (b"", b"")
    """The key, parted before its first value."""

    value: Value = field(default_factory=Value)
    """What the server keeps."""

    @property
    def size_bytes(self) -> int:
        """Of its names and values."""
        return len(self.text or b"") + sum(len(name) + len(value) for name, value in self.fields)

    def expected_bytes(self, family: Family, key_length: int = 0) -> int:
        """What it should take, by arithmetic; with a name of another length."""
        return key_bytes(family, key_length or len(self.key), self.value, expires=self.expires)


def items_of(layout: Layout, form: Form, values: Values, now_ms: int) -> Iterator[Item]:
    """The keys that a row makes: none if it is skipped."""
    key = layout.key_of(values)
    expiry_ms = layout.expiry_of(values) if form.dated else 0
    if key is None or expiry_ms is None or (expiry_ms and expiry_ms <= now_ms):
        return
    expires = bool(expiry_ms or form.ttl_ms)
    literal = layout.key[0] if layout.key and isinstance(layout.key[0], bytes) else b""
    pieces = literal, key[len(literal) :]
    fields, text = [], None
    if form.shape is Shape.HASH:
        fields = layout.fields_of(values)
    else:
        text = layout.text_of(values) if form.shape is Shape.STRING else layout.json_of(values)
    if fields or text is not None:
        yield Item(key, fields, text, False, expires, pieces, _kept(fields, text, form))
    for name, found in layout.lookups_of(values):
        yield Item(name, [], found, True, expires, value=_kept([], found, form))


def _kept(fields: list[tuple[bytes, bytes]], text: bytes | None, form: Form) -> Value:
    """What the server keeps of it."""
    if text is not None:
        return Value(len(text), is_string=True)
    compact = compact_bytes(fields)
    is_listpack = form.payload is Payload.LISTPACK and compact <= MOST_LISTPACK_BYTES
    most = MOST_LISTPACK_BYTES if is_listpack else _HSET_COMPACT
    return hash_value([(len(name), len(value)) for name, value in fields], compact, most_compact=most)


def trial_of(item: Item, form: Form, family: Family, name: bytes) -> Trial:
    """The scratch key that has what the item has, under another name. It is written in a transaction: it needs none of
    its own, and its time to expire does not matter, because it is removed there, too.

    The text of a SET is there before the transaction begins, and does not count. A time to expire is a date, and a SET
    has none: others are rewritten for replicas, and what that frees would seem to be the key's.
    """
    form = replace(form, whole=False, keeps=False)
    expiry = Expiry(_FAR_MS, is_date=True) if item.expires else Expiry()
    count, waiting_bytes = 1, 0
    if item.text is not None and form.shape is not Shape.REDISJSON:
        commands, waiting_bytes = set_command(name, item.text), argument_bytes(family, len(item.text))
        item = replace(item, expires=False)
    elif form.shape is Shape.REDISJSON:
        commands, count = json_set_commands(name, item.text or b"", form, expiry), form.commands_per_key
    elif form.payload is None:
        commands, count = hset_commands(name, item.fields, form, expiry), form.commands_per_key
    else:
        commands = restore_command(name, item.fields, form.payload, expiry)
    return Trial(name, commands, count, item.expected_bytes(family, len(name)) - waiting_bytes, item.expires)


def trials_of(own: Sequence[Item], form: Form, family: Family, tag: bytes) -> list[Trial]:
    """Scratch keys for some of the items, under names of about their length, which Redis's access rules cover like
    theirs, and which by all odds nobody has."""
    step = max(1, len(own) // MOST_TRIALS)
    mark = b"{%b}" % tag if tag else b""
    trials: list[Trial] = []
    left_bytes = MOST_TRIAL_BYTES
    for item in own[::step][:MOST_TRIALS]:
        if item.size_bytes > left_bytes:  # a payload's checksum takes long
            break
        literal, rest = item.pieces
        chance = os.urandom(max(_LEAST_RANDOM, len(rest)))
        trial = trial_of(item, form, family, literal + mark + bytes(_LETTERS[one % len(_LETTERS)] for one in chance))
        left_bytes -= len(trial.commands)
        if left_bytes < 0:
            break
        trials.append(trial)
    return trials
