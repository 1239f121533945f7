"""A key that differs, in words and in JSON."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from shardload.model.differences import Difference
from shardload.model.printable import shown_bytes


def difference_line(one: Difference) -> str:
    """One difference, for people."""
    repaired = " (repaired)" if one.is_repaired else ""
    return f"{shown_bytes(one.key)}: {one.detail or one.fault.words}{repaired}"


def difference_json(one: Difference) -> dict[str, Any]:
    """One difference. Its names are an interface."""
    return {"key": exact(one.key), "fault": one.fault.value, "detail": one.detail, "repaired": one.is_repaired}


def exact(value: bytes) -> str | dict[str, str]:
    """The text, or base64 of what is not UTF-8: either is exact."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(value).decode()}
