"""Starts a verify: a job that compares rows with their keys. It runs as an import does (`launch.py`)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from shardload.config import environment, spec
from shardload.errors import JobError, SpecError
from shardload.jobdir.directory import JobDirectory
from shardload.jobdir.journal import Journal
from shardload.jobs import prepare
from shardload.jobs.guarded import check_replicas
from shardload.jobs.owner import become_owner
from shardload.jobs.prepare import Job
from shardload.jobs.status import look
from shardload.model.jobname import is_job_name, verify_name
from shardload.model.shared import SHARED, Shared
from shardload.reporting.facts import RESUMABLE, RUNNING

_ALL = {"sample": 1.0, "extra": False, "repair": False}  # unless flags say so; not as `run --verify` had it
_AS_VERIFY = {"kind": "verify", "verify": False}


def begin(name: str | None, file: Path | None, state_dir: Path | None, flags: Mapping[str, Any]) -> Job:
    """Plan the verify of a job, or of what a file and flags say. JobError if that is no job, or if its last verify has
    not ended; SpecError if flags say twice what is compared."""
    if name is None:
        wanted = spec.load({**flags, "state_dir": state_dir}, file, kind="verify")
        check_replicas(wanted)
        return prepare.begin(wanted, _checks(wanted))
    named = [key for key in spec.SUBJECT if flags.get(key) is not None]
    if named or file is not None:
        which = f"--{named[0].replace('_', '-')}" if named else str(file)
        raise SpecError(f"JOB and {which} both say what is compared", "leave one of them out")
    directory = become_owner(JobDirectory.find(environment.state_dir_from(state_dir), name), imports_more=True)
    return begin_after(directory, {**_ALL, **{name: value for name, value in flags.items() if value is not None}})


def begin_after(directory: JobDirectory, flags: Mapping[str, Any]) -> Job:
    """Plan the verify of an existing job. Errors as for `begin`."""
    again = flags.get("job") or verify_name(directory.name)
    if not is_job_name(str(again)) or again == directory.name:
        raise SpecError(f"--job {again!r} is no name for the verify of {directory.name}", "give another one")
    wanted, journal = prepare.stored_job(directory, {**flags, "job": None}, {"job": again} | _AS_VERIFY)
    check_replicas(wanted)
    _make_room(JobDirectory(wanted.state_dir / wanted.job), directory.name)
    began_s, found = _began(journal), journal.fact(SHARED, {})
    journal.close()
    shares_none = bool(found.get("is_final")) and Shared.from_json(found) == Shared()
    return prepare.begin(wanted, _checks(wanted, began_s), shares_none=shares_none)


def _checks(wanted: spec.JobSpec, began_s: float = 0.0) -> dict[str, Any]:
    return {
        "sample": wanted.sample,
        "seed": int.from_bytes(os.urandom(4), "little"),
        "repairs": wanted.repair,
        "finds_extra": wanted.extra,
        "began_s": began_s,
    }


def _make_room(directory: JobDirectory, of: str) -> None:
    """Remove the last verify of this job, if it has ended. JobError if it has not."""
    if not directory.path.exists():
        return
    state = look(directory).state
    if state in RUNNING:
        raise JobError(f"job {directory.name} is {state}", f"watch it: shardload attach {directory.name}")
    if state in RESUMABLE:
        raise JobError(
            f"the last verify of {of} did not end: job {directory.name} is {state}",
            f"go on with it: shardload resume {directory.name}; or remove it: shardload clean {directory.name}",
        )
    lock = directory.lock()
    try:
        if not directory.remove():
            raise JobError(f"{directory.path} has files that are not shardload's", "remove them")
    finally:
        os.close(lock)


def _began(journal: Journal) -> float:
    """The Unix time at which the job's first run began; 0 if it never ran."""
    began = [datetime.strptime(started, "%Y-%m-%dT%H:%M:%S%z").timestamp() for started, _ in journal.runs()]
    return min(began, default=0.0)
