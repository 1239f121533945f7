"""Rows as MySQL sends them, to commands as Redis reads them. Pure: bytes in, bytes out.

`template` reads a key template, `layout` says which column goes where, `form` how a key is written, `packets` takes
MySQL's text protocol apart, `payload` builds what RESTORE takes, and `reference` (Python) is the definition of what
is written. `_native` (Cython) writes the same bytes, in one pass.
"""

from shardload.encoding.batch import Batch, Encoder
from shardload.encoding.choice import is_native_built, make_encoder
from shardload.encoding.form import Form, Payload, jitter_ms
from shardload.encoding.layout import Layout, Values, make_layout, selected_columns
from shardload.encoding.reference import ReferenceEncoder, restore_command
from shardload.encoding.template import KeyTemplate, default_template, parse_template

__all__ = [
    "Batch",
    "Encoder",
    "Form",
    "KeyTemplate",
    "Layout",
    "Payload",
    "ReferenceEncoder",
    "Values",
    "default_template",
    "is_native_built",
    "jitter_ms",
    "make_encoder",
    "make_layout",
    "parse_template",
    "restore_command",
    "selected_columns",
]
