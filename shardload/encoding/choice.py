"""Which encoder serves: the native one where it was built, else the reference."""

from __future__ import annotations

import importlib.util

from shardload.encoding.batch import Encoder
from shardload.encoding.form import Form
from shardload.encoding.layout import Layout
from shardload.encoding.reference import ReferenceEncoder


def is_native_built() -> bool:
    """True if the compiled encoder is part of this installation."""
    return importlib.util.find_spec("shardload.encoding.native._native") is not None


def make_encoder(layout: Layout, form: Form, *, native: bool) -> Encoder:
    """An encoder for these rows. ImportError if the native one is asked for and was not built."""
    if not native:
        return ReferenceEncoder(layout, form)
    from shardload.encoding.native._native import NativeEncoder

    return NativeEncoder(layout, form)
