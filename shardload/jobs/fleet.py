"""The head of a job on several machines: what its slots run."""

from __future__ import annotations

import logging

from shardload.config.fleet import DEFAULT_LAG_MS
from shardload.config.guards import as_source
from shardload.coordinator.pool import WorkerBody
from shardload.fleet.head import FleetSettings, Head
from shardload.ipc import IpcSet
from shardload.jobdir import log
from shardload.jobs.prepare import Job
from shardload.worker.session import Session

_log = logging.getLogger("shardload.job")


def head_body(job: Job) -> WorkerBody:
    """What a slot of the head runs: the head's side of a machine."""
    spec = job.spec
    reads = tuple(as_source(url, spec.mysql) for url in spec.mysql_read)
    facts = {name: job.journal.fact(name) for name in ("identity", "table")}
    facts |= {"checks": job.checks} if job.checks else {}
    identities = {"": job.journal.fact("identity")}
    for url in reads:
        identities[str(url)] = spec.model_copy(update={"mysql": url}).identity()
    settings = FleetSettings(
        url=spec.fleet or "",
        directory=job.directory,
        redis=spec.redis,
        spec=spec.stored(),
        facts=facts,
        identities=identities,
        urls={"mysql": spec.mysql.with_password(), "redis": spec.redis.with_password()} if spec.is_private else {},
        reads=reads,
        most_lag_ms=spec.max_lag_millis or DEFAULT_LAG_MS,
        machines=job.machines,
        plan={record.range_id: record for record in job.journal.todo()},
    )

    def body(slot: int, ipc: IpcSet, doorbell: int) -> int:
        log.set_process_role(f"machine-{slot}")
        try:
            return Head(settings, ipc.tasks, Session(slot, ipc.board, ipc.acks, doorbell)).run()
        except Exception:
            _log.exception("the head's side of machine %d crashed", slot)
            raise

    return body
