"""Turns rows as MySQL sends them into commands as Redis reads them. Pure: bytes in, bytes out.

- `packets` splits MySQL's text protocol into rows of values.
- `template` parses a key template; `layout` says which columns become fields and which make the key.
- `slots` says which node of a Redis Cluster has a key.
- `form` says how a key is written: command, kind of payload, TTL.
- `reference` is the encoder in Python, and defines the bytes of every command.
- `native` has the same encoder in Cython, in one pass over the stream; `choice` picks one of the two.

RESTORE's bytes are made in `payload.hash_payload` (the payload: a hash as RDB, with checksum) and in
`reference.restore_command` (the command around it). Their native twins are `native/_payloads.pxd` and `put_restore` in
`native/_commands.pxd`.
"""

from shardload.encoding.batch import Batch, Encoder, Part
from shardload.encoding.choice import is_native_built, make_encoder
from shardload.encoding.form import Form, Payload, jitter_ms
from shardload.encoding.layout import Layout, Values, make_layout, selected_columns
from shardload.encoding.reference import ReferenceEncoder, restore_command
from shardload.encoding.slots import SLOTS, make_routes, slot_of
from shardload.encoding.template import KeyTemplate, default_template, parse_template

__all__ = [
    "SLOTS",
    "Batch",
    "Encoder",
    "Form",
    "KeyTemplate",
    "Layout",
    "Part",
    "Payload",
    "ReferenceEncoder",
    "Values",
    "default_template",
    "is_native_built",
    "jitter_ms",
    "make_encoder",
    "make_layout",
    "make_routes",
    "parse_template",
    "restore_command",
    "selected_columns",
    "slot_of",
]
