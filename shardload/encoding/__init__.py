"""Rows as MySQL sends them, to commands as Redis reads them. Pure: bytes in, bytes out.

`template` reads a key template, `layout` says which column goes where, `packets` takes MySQL's text
protocol apart, and `reference` (Python) is the definition of what is written.
"""

from shardload.encoding.layout import Layout, make_layout, selected_columns
from shardload.encoding.reference import Batch, ReferenceEncoder
from shardload.encoding.template import KeyTemplate, default_template, parse_template

__all__ = [
    "Batch",
    "KeyTemplate",
    "Layout",
    "ReferenceEncoder",
    "default_template",
    "make_layout",
    "parse_template",
    "selected_columns",
]
