"""Shows what an import would do, and changes nothing: estimate, ranges, the first key; the target, if it is named."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shardload import source
from shardload.config import spec
from shardload.encoding import Layout
from shardload.errors import TargetError
from shardload.jobs import prepare
from shardload.jobs.launch import warn_of_collisions
from shardload.model.keys import PlannedRange
from shardload.model.orders import STOP_SIGNALS
from shardload.model.printable import shown_bytes
from shardload.process import stop_by_exception
from shardload.reporting.output import echo

_MOST_SHOWN_BYTES = 200  # of a value

FirstKey = tuple[bytes | None, list[tuple[bytes, bytes]]]
"""The key, None if a column of it is NULL, and the hash's fields and values (see `_first_fields`)."""


def show_plan(file: Path | None, flags: Mapping[str, Any]) -> None:
    """Plan a job and print the plan, as text or JSON. `flags` and `file` as for `launch.start`."""
    with stop_by_exception(STOP_SIGNALS):
        wanted = spec.load(flags, file, needs_redis=False)
        connection = source.connect(wanted.mysql)
        try:
            subject = prepare.examine(connection, wanted)
            ranges = prepare.plan(connection, wanted, subject)
            estimate = source.TableKeys(connection, wanted.table, subject.key_column).table_rows()
            first = _first_key(connection, wanted, subject, ranges)
        finally:
            source.abandon(connection)
        target = _target_text(wanted)
        warn_of_collisions(subject)
        if wanted.json_summary:
            echo(json.dumps(_in_json(wanted, subject, ranges, estimate, first, target)))
        else:
            echo(*_lines(wanted, subject, ranges, estimate, first, target))


def _target_text(wanted: spec.JobSpec) -> str:
    """The target in words, or why it cannot be asked, which is no reason not to plan; empty if none is named."""
    if wanted.redis == spec.NO_REDIS:
        return ""
    try:
        return prepare.ask_target(wanted).described
    except TargetError as error:
        return f"not asked: {error}"


def _first_key(
    connection: source.Connection[Any], wanted: spec.JobSpec, subject: prepare.Subject, ranges: Sequence[PlannedRange]
) -> FirstKey | None:
    """Key and hash of the row with the smallest primary key; None if there is no row."""
    if not ranges:
        return None
    for values in source.rows_of(connection, wanted.table, subject.key_column, subject.layout, ranges[0].keys):
        return subject.layout.key_of(values), _first_fields(wanted, subject.layout, values)
    return None


def _first_fields(wanted: spec.JobSpec, layout: Layout, values: source.Values) -> list[tuple[bytes, bytes]]:
    """What the row becomes: a hash's fields; else the whole value, under the name of its shape."""
    if wanted.shape == "hash":
        return layout.fields_of(values)
    value = layout.json_of(values) if wanted.is_json else layout.text_of(values)
    return [] if value is None else [(wanted.shape.encode(), value)]


def _in_json(
    wanted: spec.JobSpec,
    subject: prepare.Subject,
    ranges: Sequence[PlannedRange],
    estimate: int,
    first: FirstKey | None,
    target: str,
) -> dict[str, Any]:
    key, fields = first or (None, [])
    return {
        "table": wanted.table,
        "mysql": str(wanted.mysql),
        "target": target or None,
        "rows_estimated": estimate,
        "ranges": len(ranges),
        "key_column": subject.key_column,
        "lowest": ranges[0].keys.low if ranges else None,
        "highest": ranges[-1].keys.high - 1 if ranges else None,
        "first_key": None if key is None else _exact(key),
        "first_fields": {name.decode("utf-8", "surrogateescape"): _exact(value) for name, value in fields},
    }


def _lines(
    wanted: spec.JobSpec,
    subject: prepare.Subject,
    ranges: Sequence[PlannedRange],
    estimate: int,
    first: FirstKey | None,
    target: str,
) -> list[str]:
    lines = [f"table {wanted.table} on {wanted.mysql}: about {estimate:,} rows (an estimate), {len(ranges):,} ranges"]
    if ranges:
        lines.append(f"primary key {subject.key_column}: {ranges[0].keys.low} to {ranges[-1].keys.high - 1}")
    if first is not None:
        key, fields = first
        lines.append(f"first key: {'(none: a column of it is NULL)' if key is None else _shown(key)}")
        lines += [f"  {_shown(name)} = {_shown(value)}" for name, value in fields]
    return [*lines, f"target: {target}"] if target else lines


def _shown(value: bytes) -> str:
    return shown_bytes(value[:_MOST_SHOWN_BYTES]) + ("..." if len(value) > _MOST_SHOWN_BYTES else "")


def _exact(value: bytes) -> str | dict[str, str]:
    """The text, or base64 of what is not UTF-8: either is exact."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(value).decode()}
