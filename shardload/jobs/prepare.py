"""Prepares a job: cleans up after dead runs, asks both servers, plans, and makes or finds the job's directory.

`run`, `resume`, `plan` and `verify` share this. If a server refuses, or the spec does not fit, nothing is left behind.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Mapping as Named
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from shardload import source
from shardload.config.spec import JobSpec, load_stored
from shardload.encoding import Form, KeyTemplate, Layout
from shardload.errors import SpecError
from shardload.files.jsonfile import damaged
from shardload.jobdir.directory import JobDirectory
from shardload.jobdir.journal import Journal
from shardload.jobdir.lease import Lease
from shardload.jobdir.runfile import wrong_in_spec
from shardload.jobs.cleanup import clean_up
from shardload.jobs.fit import Fit, foresee
from shardload.jobs.machines import check_goes_with_fleet, count_machines, wait_for_leases
from shardload.jobs.mapping import Mapping, asked_as, check_extra, form_of, make_mapping, written_as
from shardload.jobs.owner import become_owner
from shardload.jobs.targets import look_at_target, uses_native
from shardload.jobs.unchanged import check_unchanged
from shardload.model.differences import CHECKS
from shardload.model.keys import PlannedRange
from shardload.ranges.split import split
from shardload.target import Choice, TargetFacts

_PLAN_S = 0.3  # before the first range is loaded


@dataclass(frozen=True)
class Subject:
    """What a spec means for its table: which rows are read, and what becomes of them. `word` is what a person should
    know of how the table is split; empty if it is as one expects."""

    table: source.Table
    selection: source.Selection
    word: str
    mapping: Mapping

    @property
    def template(self) -> KeyTemplate:
        """The rows' key."""
        return self.mapping.template

    @property
    def layout(self) -> Layout:
        """What the rows' values are used for."""
        return self.mapping.layout

    def collision(self) -> str:
        """Why two rows may get the same key; empty if they cannot."""
        return self.mapping.collision()

    def _key_column(self, name: str) -> list[Any]:
        """What orders the keys: another collation would put rows into other ranges."""
        column = self.table.column(name)
        return [name, column.type, column.collation, column.is_nullable]

    def description(self) -> dict[str, Any]:
        """What has to be the same when the job is resumed. JSON types only."""
        return self.mapping.description() | {"split_by": list(map(self._key_column, self.selection.key_names))}


@dataclass
class Job:
    """A job that is ready to run: its directory, which this process holds by `lock`, and what its workers need."""

    spec: JobSpec
    subject: Subject
    directory: JobDirectory
    journal: Journal
    target: TargetFacts
    choice: Choice
    lock: int
    fit: Fit
    machines: int = 0
    """How many machines the job's fleet had when it was prepared; 0 without a fleet."""

    @property
    def form(self) -> Form:
        """How the job's keys are written."""
        form = form_of(self.spec, self.choice.payload, whole=self.choice.whole)
        return replace(form, fingerprints=bool(self.subject.collision()))

    @property
    def form_with_fingerprints(self) -> Form:
        """The same, with the fingerprint of every key."""
        return replace(self.form, fingerprints=True)

    @property
    def keys_stay(self) -> bool:
        """True if each row has a key of its own, whatever becomes of the row meanwhile, and none expires."""
        key = self.subject.table.primary_key
        names_row = bool(key) and set(key) <= set(self.subject.template.telling_columns)
        return not self.spec.expires and names_row and not self.subject.collision()

    @property
    def encoder(self) -> str:
        """The encoder and what it writes or asks, for people."""
        name = "native" if uses_native(self.spec) else "reference"
        return f"{name}, {asked_as(self.form) if self.spec.is_verify else written_as(self.form)}"

    @property
    def checks(self) -> dict[str, Any]:
        """What a verify checks, as its journal has it."""
        return self.journal.fact(CHECKS, {})


def examine(connection: source.Connection[Any], spec: JobSpec) -> Subject:
    """Check that the table has what the spec asks for. SpecError if not, SourceDenied if it may not be read."""
    table, chosen = _selected(connection, spec)
    selection = chosen.selection
    mapping = make_mapping(table, selection.key_names, spec)
    columns = tuple(dict.fromkeys(mapping.layout.columns))
    if spec.extra:
        check_extra(mapping.layout)
    source.check_readable(connection, selection.relation, columns, selection.name)
    return Subject(table, selection, chosen.word, mapping)


def _selected(connection: source.Connection[Any], spec: JobSpec) -> tuple[source.Table, source.Chosen]:
    """The table or query, and how it is read. What a person wrote in SQL is tried."""
    if spec.query is not None:
        table, whole = source.describe_query(connection, spec.query)
        word = "" if spec.split_by else "the query is read in one piece (--split-by COLUMN splits it)"
        chosen = source.Chosen(source.split_query(table, whole, spec.split_by), word)
    else:
        assert spec.table is not None
        table = source.describe(connection, spec.table)
        chosen = source.choose_key(table, spec.split_by)
    if spec.time_zone:
        source.check_time_zone(connection, spec.time_zone)
    selection = replace(chosen.selection, where=spec.where or "", time_zone=spec.time_zone)
    if selection.where:
        source.check_where(connection, selection)
    return table, replace(chosen, selection=selection)


def plan(
    connection: source.Connection[Any], spec: JobSpec, subject: Subject, most_s: float = math.inf
) -> list[PlannedRange]:
    """Split the table into ranges. MySQL estimates them from its index; no row is read. After `most_s` the rest stays
    in larger ranges, which workers cut before they load them."""
    late_s = time.monotonic() + most_s
    space = source.TableKeys(connection, subject.selection)
    return split(space, spec.planned_range_rows, is_late=lambda: time.monotonic() > late_s)


def check_repair(subject: Subject) -> None:
    """SpecError if several rows may get one key: each range would judge, and write, it for itself."""
    if reason := subject.collision():
        raise SpecError(
            f"--repair cannot be used here: {reason}: several rows may get the same key, and each would be written "
            "over the other",
            "leave it out",
        )


def begin(spec: JobSpec, checks: Named[str, Any] | None = None, *, shares_none: bool = False) -> Job:
    """Plan a new job and make its directory; `checks` is what a verify checks, `shares_none` says that its import found
    no key that several rows make. If anything fails, no directory is left."""
    clean_up(spec.state_dir)
    JobDirectory(spec.state_dir / spec.job).check_free()
    machines = count_machines(spec)
    connection = source.connect(spec.mysql)
    try:
        subject = examine(connection, spec)
        check_goes_with_fleet(spec, subject.collision())
        if spec.repair and not shares_none:
            check_repair(subject)
        target, choice = look_at_target(spec, subject.template)
        ranges = plan(connection, spec, subject, math.inf if machines else _PLAN_S)
        form = form_of(spec, choice.payload, whole=choice.whole)
        fit = foresee(connection, spec, subject, form, ranges)
    finally:
        connection.close()
    directory = JobDirectory.create(spec.state_dir, spec.job)
    try:
        lock = directory.lock()
        facts = {"identity": spec.identity(), "table": subject.description()} | (
            {CHECKS: dict(checks)} if checks else {}
        )
        journal = Journal.create(directory.journal_file, facts, ranges)
        directory.write_spec(spec.stored())
    except BaseException:
        shutil.rmtree(directory.path, ignore_errors=True)
        raise
    return Job(spec, subject, directory, journal, target, choice, lock, fit, machines)


def reopen(state_dir: Path, name: str, flags: Named[str, Any]) -> Job:
    """Open an existing job to go on with it. SpecError if its spec or its table has changed."""
    clean_up(state_dir)
    directory = become_owner(JobDirectory.find(state_dir, name), imports_more=True)
    lock = directory.lock()
    spec, journal = stored_job(directory, flags)
    wait_for_leases(directory)
    machines = count_machines(spec)
    connection = source.connect(spec.mysql)
    try:
        subject = examine(connection, spec)
        check_goes_with_fleet(spec, subject.collision())
        check_unchanged(name, "table", journal.fact("table"), subject.description())
        before = journal.checkpoints()
        target, choice = look_at_target(spec, subject.template, before[-1].nodes if before else ())
        form = form_of(spec, choice.payload, whole=choice.whole)
        left = [PlannedRange(record.keys, record.estimated_rows) for record in journal.todo()]
        is_block = Lease.of(directory.path).is_limited  # its head has looked
        fit = Fit(is_thorough=False) if is_block else foresee(connection, spec, subject, form, left)
    finally:
        connection.close()
    return Job(spec, subject, directory, journal, target, choice, lock, fit, machines)


def stored_job(
    directory: JobDirectory, flags: Named[str, Any], changes: Named[str, Any] | None = None
) -> tuple[JobSpec, Journal]:
    """The spec of an existing job, with passwords from `flags` or the environment and with `changes` that are no
    flags, and its journal."""
    stored = directory.read_spec()
    if wrong := wrong_in_spec(stored, directory.name):
        raise damaged(directory.spec_file, f"has wrong values: {', '.join(wrong)}")
    spec = load_stored({**stored, **(changes or {})}, {**flags, "state_dir": directory.path.parent})
    journal = Journal(directory.journal_file)
    check_unchanged(directory.name, "spec", journal.fact("identity"), spec.identity())
    return spec, journal
