"""Sends the parts of batches to one node, as one batch."""

from __future__ import annotations

from collections.abc import Iterable

from shardload.encoding import Part
from shardload.target.connection import TargetConnection


def send_parts(connection: TargetConnection, parts: Iterable[Part]) -> list[Part]:
    """Send at least one part. The result: the parts in the order in which they were sent, rows' own keys first, because
    their replies are told apart by their places. TargetLost if the connection breaks."""
    ordered = sorted(parts, key=lambda part: part.is_lookup)
    first, *more = [part.commands for part in ordered]
    replies = sum([part.replies for part in ordered if not part.is_lookup])
    lookups = sum([part.replies for part in ordered if part.is_lookup])
    connection.send(first, replies, *more, lookups=lookups)
    return ordered
