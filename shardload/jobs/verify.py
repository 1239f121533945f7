"""Compares every row of a job's table with its key. One process; it only reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shardload import source
from shardload.config import environment
from shardload.encoding import Form
from shardload.errors import EXIT_COMPLETE, EXIT_DIFFERENCES, SourceError
from shardload.jobdir.directory import JobDirectory
from shardload.jobs import prepare
from shardload.jobs.mapping import form_of
from shardload.jobs.owner import become_owner
from shardload.model.keys import KeyRange
from shardload.model.orders import STOP_SIGNALS
from shardload.process import stop_by_exception
from shardload.reporting.output import echo
from shardload.target import Target, open_target
from shardload.worker.verify import MOST_SHOWN, Differences, compare

_PIPELINE_ROWS = 500
_PIPELINE_BYTES = 4 * 1024 * 1024  # of values, so that a pipeline of large rows stays small


def verify(name: str, state_dir: Path | None, flags: Mapping[str, Any]) -> int:
    """Compare, and print what differs. The result is the exit code. `flags` are those of the command line."""
    with stop_by_exception(STOP_SIGNALS):
        directory = JobDirectory.find(environment.state_dir_from(state_dir), name)
        found = _compare_job(become_owner(directory, imports_more=True), flags)
        echo(*found.shown)
        if found.total > len(found.shown):
            echo(f"... and {found.total - len(found.shown):,} more (the first {MOST_SHOWN} are shown)")
        echo(
            f"{found.rows_compared:,} rows compared: {found.missing:,} missing, {found.different:,} different, "
            f"{found.other_type:,} of another type, {found.rows_without_key:,} rows that make no key"
            + (f", {found.kept:,} kept as they were" if found.kept else ""),
            f"target: {found.target}",
        )
    return EXIT_DIFFERENCES if found.total else EXIT_COMPLETE


def _compare_job(directory: JobDirectory, flags: Mapping[str, Any]) -> Differences:
    wanted, journal = prepare.stored_job(directory, flags)
    connection = source.connect(wanted.mysql)
    subject = prepare.examine(connection, wanted)
    prepare.check_unchanged(directory.name, "table", journal.fact("table"), subject.description())
    journal.close()
    target = open_target(wanted.redis)
    found = Differences(target=target.describe().described)
    _compare_table(connection, target, subject, form_of(wanted, None, whole=False), found)
    return found


def _compare_table(
    connection: source.Connection[Any],
    target: Target,
    subject: prepare.Subject,
    form: Form,
    found: Differences,
) -> None:
    """Compare the whole table, as it is now, and add to `found`. Rows are read and counted in one snapshot, if the
    storage engine has them. SourceError if MySQL sends fewer rows than it counts."""
    source.begin_snapshot(connection)
    space = source.TableKeys(connection, subject.selection)
    counted = 0
    for root in space.roots():
        _compare_range(connection, target, subject, form, root, found)
        counted += space.counted_rows(root)
    if counted > found.rows_compared:
        raise SourceError(
            f"MySQL sent {found.rows_compared:,} rows of {subject.selection.name} and counts {counted:,}: "
            "not all were compared",
            "something cuts results short, a proxy with a limit for rows perhaps; or rows came in meanwhile",
        )


def _compare_range(
    connection: source.Connection[Any],
    target: Target,
    subject: prepare.Subject,
    form: Form,
    keys: KeyRange,
    found: Differences,
) -> None:
    waiting: list[source.Values] = []
    waiting_bytes = 0
    for values in source.rows_of(connection, subject.selection, subject.layout, keys):
        waiting.append(values)
        waiting_bytes += sum(len(value) for value in values if value is not None)
        if len(waiting) >= _PIPELINE_ROWS or waiting_bytes >= _PIPELINE_BYTES:
            compare(target, subject.layout, form, waiting, found)
            waiting.clear()
            waiting_bytes = 0
    compare(target, subject.layout, form, waiting, found)
