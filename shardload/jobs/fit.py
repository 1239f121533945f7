"""Will it fit? Rows are sampled, encoded as the job does it, and tried; Redis is asked; the rest is arithmetic.

`run` and `resume` do no more than needed: where even twice the first guess is far below the limit, nothing is tried.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from shardload import source, target
from shardload.config.spec import JobSpec
from shardload.encoding import SLOTS, Form, slot_of
from shardload.errors import DoesNotFit, SourceError, TargetBusy, TargetError
from shardload.jobs import sample
from shardload.jobs.sample import Effort, Line, Subject
from shardload.jobs.trials import Item, items_of, trials_of
from shardload.model.keys import PlannedRange
from shardload.model.memory import Family
from shardload.model.projection import NodeMemory, Projection, fullest, told
from shardload.model.wording import counted, size

_MIB = 2**20
GLANCE = Effort(places=8, values=1000, most_bytes=2 * _MIB, read_s=0.05)
THOROUGH = Effort(places=64, values=15_000, most_bytes=16 * _MIB, read_s=0.2, count_s=0.2)
AT_LEISURE = Effort(places=96, values=40_000, most_bytes=32 * _MIB, read_s=1.0, count_s=1.5)
_FAR_BELOW = 4.0  # times the first guess, which may be off by half, and the tables that grow
_LEAST_ROW_BYTES = 20  # of a row in MySQL
_MOST_FIELD_BYTES, _MOST_KEY_BYTES = 64, 400  # in Redis, beside names and values
_WORKER_BYTES = 256 * 1024  # of buffers in Redis, while a worker writes
_MOST_ASKED = 500  # keys, whether they exist


@dataclass(frozen=True)
class Fit:
    """What is known of a job before it runs.

    - `rows` and `is_exact`; `sampled` rows were looked at. `projections`: one for each node, none if nothing is known.
    - `how` the keys' memory was found; `existing`: the share of the keys that are there already, None if not asked.
    - `rows_per_s`: what Redis takes at most, 0 if not tried. `upkeep`: what each node does beside its work.
    """

    rows: int = 0
    is_exact: bool = False
    sampled: int = 0
    projections: tuple[Projection, ...] = ()
    how: str = ""
    existing: float | None = None
    rows_per_s: float = 0.0
    upkeep: tuple[target.Upkeep, ...] = ()
    is_thorough: bool = True

    @property
    def told(self) -> str:
        """The fullest node's projection in words; empty if nothing is known."""
        if not self.projections:
            return ""
        return told(fullest(self.projections), len(self.projections))

    @property
    def is_limited(self) -> bool:
        """True if every node tells how much memory it may use."""
        return bool(self.projections) and all(one.node.limit_bytes is not None for one in self.projections)

    def check(self) -> None:
        """DoesNotFit if a node has too little memory."""
        if not self.projections or (most := fullest(self.projections)).fits:
            return
        evicts = most.node.limit == "maxmemory" and most.node.policy != "noeviction"
        why = "Redis would evict keys" if evicts else "it does not fit"
        whole = size(1.05 * most.peak_bytes)
        raise DoesNotFit(
            f"{why}: {self.told}: {size(most.missing_bytes)} are missing",
            f"raise {most.node.limit or 'the limit'} to {whole} or more, import less (--where, --columns), or --force",
        )


@dataclass
class _Work:
    """One look at a job: what it is about, and what was found so far. Each item has the weight of its row."""

    spec: JobSpec
    subject: Subject
    form: Form
    ranges: Sequence[PlannedRange]
    sampled: int = 0
    windows: int = 0
    sampled_weight: float = 0.0
    items: list[tuple[Item, float]] = field(default_factory=list)
    rows: int = 0
    is_exact: bool = False

    def sample(self, line: Line, effort: Effort) -> None:
        """Look at rows; what an earlier look found is forgotten."""
        now_ms = int(time.time() * 1000)
        self.sampled, self.sampled_weight, self.items = 0, 0.0, []
        found = sample.survey(line, self.subject, self.ranges, effort)
        self.rows, self.is_exact, self.windows = found.rows, found.is_exact, len(found.windows)
        for window in found.windows:
            self.sampled += len(window.rows)
            self.sampled_weight += window.weight * len(window.rows)
            for values in window.rows:
                made = items_of(self.subject.layout, self.form, values, now_ms)
                self.items += [(item, window.weight) for item in made]

    @property
    def keys_per_row(self) -> float:
        """How many keys a row makes on average, with its lookups."""
        return sum(weight for _, weight in self.items) / self.sampled_weight if self.sampled_weight else 0.0


@dataclass(frozen=True)
class _Tried:
    """What was tried: what keys take more than by arithmetic, at each node; and the share that exists."""

    measured: dict[int, target.Measured] = field(default_factory=dict)
    refusal: str = ""
    existing: float | None = None


_Asked = list[tuple[int, NodeMemory, target.Upkeep]]
"""The number of each node, and what it says."""


def look(
    connection: source.Connection[Any],
    spec: JobSpec,
    subject: Subject,
    form: Form,
    ranges: Sequence[PlannedRange],
    *,
    at_leisure: bool = False,
) -> Fit:
    """See whether what the rows of `ranges` become fits into the target, which is connected to. TargetError or
    SourceError if a server does not answer. The connection may be of no more use behind this."""
    line = Line(connection, lambda: source.connect(spec.mysql))
    there = target.open_target(spec.redis)
    try:
        asked = _ask(there, spec, asks_config=at_leisure)
        work = _Work(spec, subject, form, ranges)
        effort = AT_LEISURE if at_leisure else THOROUGH
        if not at_leisure:
            if _is_surely_below(connection, work, asked):
                return Fit(rows=_estimated(ranges), is_thorough=False)
            work.sample(line, GLANCE)
            fit = _projected(there, work, asked, _Tried())
            if _is_far_below(fit):
                return replace(fit, is_thorough=False)
        work.sample(line, effort)
        return _projected(there, work, asked, _try(there, work, asked))
    finally:
        there.close()
        line.close()


def foresee(
    connection: source.Connection[Any], spec: JobSpec, subject: Subject, form: Form, ranges: Sequence[PlannedRange]
) -> Fit:
    """Before a run: see whether it fits. DoesNotFit if not, unless the spec says that it is forced.

    Nothing is known if a server does not answer: the run will say so. Nor of a query, each sample of which may take as
    long as the whole; a verify adds nothing.
    """
    if spec.query is not None or spec.is_verify:
        return Fit(is_thorough=False)
    try:
        fit = look(connection, spec, subject, form, ranges)
    except (SourceError, TargetError) as error:
        return Fit(how=error.message, is_thorough=False)
    if not spec.force:
        fit.check()
    return fit


def _ask(there: target.Target, spec: JobSpec, *, asks_config: bool) -> _Asked:
    """Ask every node; nothing if one may not be asked."""
    found: _Asked = []
    routes = there.routes
    addresses = [node.address for node in there.describe().nodes]
    for address, (number, connection) in zip(addresses, there.masters(), strict=True):
        slots = routes.count(number) if routes is not None else 0
        told_by_it = target.ask_memory(connection, address, slots, spec.redis.database, asks_config=asks_config)
        if told_by_it is None:
            return []
        found.append((number, *told_by_it))
    return found


def _estimated(ranges: Sequence[PlannedRange]) -> int:
    """The planner's estimate of all rows."""
    return sum(planned.estimated_rows for planned in ranges)


def _is_surely_below(connection: source.Connection[Any], work: _Work, asked: _Asked) -> bool:
    """True if the keys cannot come near a limit, even if each is many times as large as a row is in MySQL."""
    free = [node.free_bytes for _, node, _ in asked if node.free_bytes is not None]
    if not free or not work.spec.table:
        return not free
    rows = _estimated(work.ranges)
    size_bytes = source.data_bytes(connection, work.spec.table)
    if size_bytes < _LEAST_ROW_BYTES * rows:
        return False  # out of date
    fields = sum(len(column) + _MOST_FIELD_BYTES for column in work.subject.layout.columns)
    lookups = 1 + len(work.subject.layout.lookups)
    return _FAR_BELOW * size_bytes + 2 * rows * (fields + lookups * _MOST_KEY_BYTES) < min(free)


def _is_far_below(fit: Fit) -> bool:
    """True if nothing has to be known better: no limit is near, or none is known."""
    for one in fit.projections:
        free = one.node.free_bytes
        if free is not None and _FAR_BELOW * (one.peak_bytes - one.node.used_bytes) > free:
            return False
    return True


def _try(there: target.Target, work: _Work, asked: _Asked) -> _Tried:
    """Write scratch keys at every node, and ask whether keys of the sample exist."""
    own = [item for item, _ in work.items if not item.is_lookup]
    step = max(1, len(own) // _MOST_ASKED)
    some = [item.key for item in own[::step]]
    found = target.existing(there, some) if some else 0
    share = None if found is None else found / max(1, len(some))
    measured: dict[int, target.Measured] = {}
    for (number, node, _), (_, connection) in zip(asked, there.masters(), strict=False):
        tag = target.tag_for(there, number)
        if there.routes is not None and (not tag or any(b"{" in item.pieces[0] for item in own[:1])):
            return _Tried(refusal="keys with a hash tag of their own cannot share a transaction", existing=share)
        trials = trials_of(own, work.form, node.family, tag)
        if not trials:
            return _Tried(
                refusal="the first row is too large to try" if own else "too few rows to tell", existing=share
            )
        room = sum(len(trial.commands) for trial in trials) * 8
        if node.limit == "maxmemory" and (node.free_bytes or 0) < room:
            return _Tried(refusal="there is no room for scratch keys", existing=share)
        try:
            result = target.measure(connection, trials, node)
        except TargetBusy as error:
            result = error.message
        if isinstance(result, str):
            return _Tried(refusal=result, existing=share)
        measured[number] = result
    return _Tried(measured, "", share)


def _projected(there: target.Target, work: _Work, asked: _Asked, tried: _Tried) -> Fit:
    """All that is known, for each node."""
    keys = round(work.rows * work.keys_per_row)
    new_keys = keys * (1 - (tried.existing or 0.0))
    weight = sum(one for _, one in work.items) or 1.0
    expiring = sum(one for item, one in work.items if item.expires) / weight
    shares = _shares(there, work)
    projections = []
    means: dict[Family, float] = {}
    for number, node, _ in asked:
        if node.family not in means:
            means[node.family] = sum(one * item.expected_bytes(node.family) for item, one in work.items) / weight
        expected = means[node.family]
        excess = tried.measured[number].excess_bytes if number in tried.measured else 0.0
        margin = work.spec.workers * _WORKER_BYTES
        many = round(new_keys * shares.get(number, 1.0))
        projections.append(Projection(node, many, max(0.0, expected + excess), expiring, margin))
    seconds = [one.seconds for one in tried.measured.values()]
    return Fit(
        rows=work.rows,
        is_exact=work.is_exact,
        sampled=work.sampled,
        projections=tuple(projections),
        how=_how(tried) if projections else "",
        existing=tried.existing,
        rows_per_s=len(seconds) / max(seconds) / max(1.0, work.keys_per_row) if seconds else 0.0,
        upkeep=tuple(upkeep for _, _, upkeep in asked),
    )


def _how(tried: _Tried) -> str:
    if not tried.measured:
        return f"by arithmetic: {tried.refusal}" if tried.refusal else "by arithmetic"
    return f"measured with {counted(sum(one.keys for one in tried.measured.values()), 'scratch key')}"


def _shares(there: target.Target, work: _Work) -> dict[int, float]:
    """The share of the keys that each node gets: that of its slots, unless the sample clearly says otherwise, because
    many keys have the same hash tag."""
    routes = there.routes
    if routes is None or not work.items:
        return {}
    weights: dict[int, float] = {}
    for item, weight in work.items:
        node = routes[slot_of(item.key)]
        weights[node] = weights.get(node, 0.0) + weight
    whole = sum(weights.values())
    shares = {number: routes.count(number) / SLOTS for number in set(routes)}
    spread = 4 * math.sqrt(0.25 / work.windows)  # keys that follow each other are no independent throws
    if any(abs(weights.get(number, 0.0) / whole - share) > spread for number, share in shares.items()):
        return {number: weights.get(number, 0.0) / whole for number in shares}
    return shares
