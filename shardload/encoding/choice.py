"""Chooses between the native encoder and the one in Python."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from shardload.encoding.batch import Encoder
from shardload.encoding.comparison import Comparison, ReferenceComparison, ends_of
from shardload.encoding.fingerprints import ReferenceTally, Tally
from shardload.encoding.form import Form
from shardload.encoding.layout import Layout
from shardload.encoding.rdbfile import Checksum, reference_checksum
from shardload.encoding.reference import ReferenceEncoder


def is_native_built() -> bool:
    """True if this installation has the compiled encoder."""
    return importlib.util.find_spec("shardload.encoding.native._native") is not None


def make_encoder(layout: Layout, form: Form, *, native: bool) -> Encoder:
    """Make the native encoder, or the one in Python. ImportError if `native` is True and it is not built."""
    if not native:
        return ReferenceEncoder(layout, form)
    from shardload.encoding.native._native import NativeEncoder

    return NativeEncoder(layout, form)


def make_tally(slots: int, examples: int, *, native: bool) -> Tally:
    """Make the native tally with so many slots, or the one in Python. ImportError as for `make_encoder`."""
    if not native:
        return ReferenceTally(slots, examples)
    from shardload.encoding.native._native import NativeTally

    return NativeTally(slots, examples)


def find_ends(data: bytes | memoryview, count: int) -> list[int]:
    """`ends_of` of the fastest kind that there is."""
    if not is_native_built():
        return ends_of(data, count)
    from shardload.encoding.native import _native

    return _native.ends_of(data, count)


def checksum_of(data: bytes | memoryview, before: Checksum = Checksum()) -> Checksum:  # noqa: B008 - immutable
    """`reference_checksum` of the fastest kind that there is."""
    if not is_native_built():
        return reference_checksum(data, before)
    from shardload.encoding.native import _native

    return Checksum(_native.crc64(data, before.crc), before.size_bytes + len(data))


def make_comparison(answers: Sequence[bytes | memoryview], most_age_ms: int, *, native: bool) -> Comparison:
    """Make the native comparison (see `ReferenceComparison`), or the one in Python. ImportError as for
    `make_encoder`."""
    if not native:
        return ReferenceComparison(answers, most_age_ms)
    from shardload.encoding.native._native import NativeComparison

    return NativeComparison(answers, most_age_ms)
