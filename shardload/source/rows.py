"""A range's rows as Python values, one by one: for whoever compares or shows rows. Imports do not use this."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pymysql.connections import Connection

from shardload.encoding import Layout
from shardload.encoding.packets import has_packet, split_rows
from shardload.model.keys import Key, KeyRange
from shardload.source.connection import raise_error_packet
from shardload.source.keys import sorted_sql, value_of, value_sql
from shardload.source.select import Selection
from shardload.source.session import NO_LIMIT
from shardload.source.stream import BUFFER_BYTES, RangeStream

Values = list[bytes | None]
"""One row: a value for each of the layout's columns, as MySQL sends it; None is NULL."""


def rows_of(
    connection: Connection[Any], selection: Selection, layout: Layout, keys: KeyRange, most_rows: int = NO_LIMIT
) -> Iterator[Values]:
    """Every row of a range, or `most_rows` of it. SourceError on anything but a clean end.

    A caller that stops early must not use the connection again.
    """
    sql = selection.select(selection.head(layout.columns, layout.readings), keys, most_rows)
    return _rows(connection, sql, len(layout.columns))


def keyed_rows_of(
    connection: Connection[Any], selection: Selection, layout: Layout, keys: KeyRange
) -> Iterator[tuple[Values, Key]]:
    """Every row of a range that has bounds, in the order of the keys by which the selection is split, with its key.
    Otherwise as `rows_of`."""
    key, columns = selection.key, len(layout.columns)
    head = selection.head(layout.columns, layout.readings, [value_sql(one, sorted_sql(one)) for one in key])
    for row in _rows(connection, selection.select(head, keys, ordered=True), columns + len(key)):
        found = [value or b"" for value in row[columns:]]
        yield row[:columns], tuple(value_of(column, value) for column, value in zip(key, found, strict=True))


def _rows(connection: Connection[Any], sql: str, columns: int) -> Iterator[Values]:
    stream = RangeStream(connection)
    stream.send_query(sql)
    sequence = stream.read_head()
    ended = False
    while not ended:
        while len(there := stream.read()) > BUFFER_BYTES and not has_packet(there):
            pass  # a large row comes in many pieces
        found = split_rows(bytes(there), columns, sequence)
        stream.consume(found.consumed_bytes)
        if found.error_packet is not None:
            raise_error_packet("reading a range", found.error_packet)
        sequence, ended = found.sequence, found.ended
        yield from found.rows
    stream.check_end()
