"""Turns rows as MySQL sends them into commands as Redis reads them. Pure: bytes in, bytes out.

- `packets` splits MySQL's text protocol into rows of values.
- `template` parses a key template; `layout` says what a row's values are used for (fields, key, lookups, expiry), and
  `arrange` makes a layout.
- `conversions` and `document` (JSON) say what a value becomes.
- `sizes` says how long a compact hash is.
- `slots` says which node of a Redis Cluster has a key.
- `form` says how a key is written: shape, command, kind of payload, TTL; `commands` packs the commands.
- `entries` packs keys for an RDB file instead, and `rdbfile` has what stands around them.
- `questions` asks for keys, and says what right ones answer; `comparison` compares that with what comes back.
- `fingerprints` finds keys that several rows make.
- `reference` is the encoder in Python, and defines the bytes of every command.
- `native` has the same encoder in Cython, in one pass over the stream; `choice` picks one of the two.

RESTORE's payload (a hash as RDB, with checksum) is made in `payload.hash_payload`, its native twin is in
`native/_payloads.pxd`.
"""

from shardload.encoding.arrange import Rules, make_layout
from shardload.encoding.batch import Batch, Encoder, Part
from shardload.encoding.choice import (
    checksum_of,
    find_ends,
    is_native_built,
    make_comparison,
    make_encoder,
    make_tally,
)
from shardload.encoding.commands import Expiry, json_set_commands, packed, restore_command, set_command
from shardload.encoding.comparison import Comparison
from shardload.encoding.conversions import Conversion
from shardload.encoding.document import JsonType
from shardload.encoding.fingerprints import Tally, fingerprint_of, slots_in
from shardload.encoding.form import Form, Payload, Shape, jitter_ms
from shardload.encoding.layout import Field, Layout, Lookup, NullRule, Slot, Values
from shardload.encoding.questions import Answer, parse_answer
from shardload.encoding.rdbfile import Checksum
from shardload.encoding.reference import ReferenceEncoder
from shardload.encoding.sizes import compact_bytes
from shardload.encoding.slots import SLOTS, make_routes, slot_of
from shardload.encoding.template import KeyTemplate, Piece, default_template, parse_lookup, parse_template

__all__ = [
    "SLOTS",
    "Answer",
    "Batch",
    "Checksum",
    "Comparison",
    "Conversion",
    "Encoder",
    "Expiry",
    "Field",
    "Form",
    "JsonType",
    "KeyTemplate",
    "Layout",
    "Lookup",
    "NullRule",
    "Part",
    "Payload",
    "Piece",
    "ReferenceEncoder",
    "Rules",
    "Shape",
    "Slot",
    "Tally",
    "Values",
    "checksum_of",
    "compact_bytes",
    "default_template",
    "find_ends",
    "fingerprint_of",
    "is_native_built",
    "jitter_ms",
    "json_set_commands",
    "make_comparison",
    "make_encoder",
    "make_layout",
    "make_routes",
    "make_tally",
    "packed",
    "parse_answer",
    "parse_lookup",
    "parse_template",
    "restore_command",
    "set_command",
    "slot_of",
    "slots_in",
]
