"""Shows what an import would do, and changes nothing: estimate, ranges, the first key; the target, if it is named."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shardload import source
from shardload.config import spec
from shardload.encoding import Layout
from shardload.errors import SourceError, TargetError
from shardload.jobs import outlook, prepare, targets
from shardload.jobs.fit import Fit, look
from shardload.jobs.launch import warn_of
from shardload.jobs.mapping import form_of
from shardload.model.keys import Key, KeyRange, PlannedRange, shown_key
from shardload.model.orders import STOP_SIGNALS
from shardload.model.printable import shown_bytes
from shardload.model.wording import counted
from shardload.process import stop_by_exception
from shardload.reporting.differences import exact
from shardload.reporting.output import echo
from shardload.target import Choice

_MOST_SHOWN_BYTES = 200  # of a value

_MOST_TRIED = 10  # ranges that are read for the first key; with --where they may have no row

FirstKey = tuple[bytes | None, list[tuple[bytes, bytes]]]
"""The key, None if a column of it is NULL, and the hash's fields and values (see `_first_fields`)."""


@dataclass(frozen=True)
class _Plan:
    """What was found. `ends` are the first and the last key by which the rows are split, None if there is none."""

    wanted: spec.JobSpec
    subject: prepare.Subject
    ranges: Sequence[PlannedRange]
    estimate: int
    ends: tuple[Key | None, Key | None]
    first: FirstKey | None
    target: str
    choice: Choice | None
    refusal: str
    fit: Fit | None


def show_plan(file: Path | None, flags: Mapping[str, Any]) -> None:
    """Plan a job and print the plan, as text or JSON. `flags` and `file` as for `launch.start`."""
    with stop_by_exception(STOP_SIGNALS):
        wanted = spec.load(flags, file, needs_redis=False)
        connection = source.connect(wanted.mysql)
        try:
            subject = prepare.examine(connection, wanted)
            ranges = prepare.plan(connection, wanted, subject)
            space = source.TableKeys(connection, subject.selection)
            ends = space.ends(KeyRange()) if subject.selection.key else (None, None)
            estimate = space.table_rows()
            first = _first_key(connection, wanted, subject, ranges)
            asked = _ask_target(wanted, subject)
            fit = _fit(connection, wanted, subject, ranges, asked[1])
        finally:
            source.abandon(connection)
        warn_of(subject)
        found = _Plan(wanted, subject, ranges, estimate, ends, first, *asked, fit)
        echo(*([json.dumps(_in_json(found))] if wanted.json_summary else _lines(found)))


def _ask_target(wanted: spec.JobSpec, subject: prepare.Subject) -> tuple[str, Choice | None, str]:
    """The target in words, or why it cannot be asked, which is no reason not to plan; empty if none is named. How it
    can be written, or why not."""
    if wanted.redis == spec.NO_REDIS:
        return "", None, ""
    try:
        described = targets.ask_target(wanted).described
    except TargetError as error:
        return f"not asked: {error}", None, ""
    try:
        return described, targets.probe_target(wanted, subject.template)[1], ""
    except TargetError as error:
        return described, None, str(error)


def _fit(
    connection: source.Connection[Any],
    wanted: spec.JobSpec,
    subject: prepare.Subject,
    ranges: Sequence[PlannedRange],
    choice: Choice | None,
) -> Fit | None:
    """Whether it fits; None if the target cannot be asked."""
    if choice is None:
        return None
    form = form_of(wanted, choice.payload, whole=choice.whole)
    try:
        return look(connection, wanted, subject, form, ranges, at_leisure=True)
    except (TargetError, SourceError) as error:
        return Fit(how=f"not known: {error.message}")


def _first_key(
    connection: source.Connection[Any], wanted: spec.JobSpec, subject: prepare.Subject, ranges: Sequence[PlannedRange]
) -> FirstKey | None:
    """Key and hash of the first row; None if none is found."""
    for planned in ranges[:_MOST_TRIED]:
        for values in list(source.rows_of(connection, subject.selection, subject.layout, planned.keys, 1)):
            return subject.layout.key_of(values), _first_fields(wanted, subject.layout, values)
    return None


def _first_fields(wanted: spec.JobSpec, layout: Layout, values: source.Values) -> list[tuple[bytes, bytes]]:
    """What the row becomes: a hash's fields; else the whole value, under the name of its shape."""
    if wanted.shape == "hash":
        return layout.fields_of(values)
    value = layout.json_of(values) if wanted.is_json else layout.text_of(values)
    return [] if value is None else [(wanted.shape.encode(), value)]


def _in_json(found: _Plan) -> dict[str, Any]:
    key, fields = found.first or (None, [])
    lowest, highest = found.ends
    return {
        "table": found.wanted.table,
        "mysql": str(found.wanted.mysql),
        "target": found.target or None,
        "rows_estimated": found.estimate,
        "ranges": len(found.ranges),
        "split_by": list(found.subject.selection.key_names),
        "lowest": _key_in_json(lowest),
        "highest": _key_in_json(highest),
        "first_key": None if key is None else exact(key),
        "first_fields": {name.decode("utf-8", "surrogateescape"): exact(value) for name, value in fields},
        **outlook.in_json(found.fit or Fit(how="not asked"), found.wanted, found.choice, found.refusal),
    }


def _key_in_json(key: Key | None) -> Any:
    """Of one column its value, of several a list."""
    values = [exact(value) if isinstance(value, bytes) else value for value in key or ()]
    return values if len(values) > 1 else values[0] if values else None


def _lines(found: _Plan) -> list[str]:
    what = f"table {found.wanted.table}" if found.wanted.table else "the query"
    unfiltered = " before --where" if found.wanted.where else ""
    about = f"about {found.estimate:,} rows{unfiltered} (an estimate), {counted(len(found.ranges), 'range')}"
    lines = [f"{what} on {found.wanted.mysql}: {about}"]
    lowest, highest = found.ends
    if lowest is not None:
        names = ", ".join(found.subject.selection.key_names)
        lines.append(f"split by {names}: {shown_key(lowest)} to {shown_key(highest)}")
    if found.first is not None:
        key, fields = found.first
        lines.append(f"first key: {'(none: a column of it is NULL)' if key is None else _shown(key)}")
        lines += [f"  {_shown(name)} = {_shown(value)}" for name, value in fields]
    lines += [f"target: {found.target}"] if found.target else []
    lines += [f"rights: {found.refusal}"] if found.refusal else []
    return lines + ([] if found.fit is None else outlook.lines(found.fit, found.wanted, found.choice, ""))


def _shown(value: bytes) -> str:
    return shown_bytes(value[:_MOST_SHOWN_BYTES]) + ("..." if len(value) > _MOST_SHOWN_BYTES else "")
