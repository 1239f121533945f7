"""A machine of a fleet, inside of a process of Dask's: it serves one head at a time, and runs its blocks.

`talk` is called for each word of the head, while a block runs; `run_block` is Dask's task. A block is a job of this
machine, with a directory, a journal, a lease and a process of its own (`engine.py`). Who claims the machine, and until
when, is said here alone.
"""

from __future__ import annotations

import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from shardload.config import environment
from shardload.errors import EXIT_CANNOT_START, ShardloadError
from shardload.fleet.blockjob import BlockJob, make_block_job
from shardload.fleet.engine import Engine
from shardload.jobdir.lease import lease_clock_s
from shardload.model.blocks import BlockEnd, BlockOrder, Reply, SettledRange, Word
from shardload.process import ControlRequest, NoListener

_LOOK_S = 0.1
_CLAIM_S = 5.0  # a claim that was never renewed is kept for so long
_ENDED_WELL = (0, 1, 4)  # exit codes: every range has an end


@dataclass
class _Claim:
    """Who has the machine, and since when nothing was heard of it. `until_s` is the end of its lease, by
    `lease_clock_s`; `block` is the number of its newest block."""

    number: int
    job: str
    heard_s: float
    until_s: float = 0.0
    block: int = 0
    settled: tuple[SettledRange, ...] = ()
    rate_rows: int = 0
    stops: bool = False


@dataclass
class Machine:
    """The only one of this process. `talk` and `run` are called by different threads."""

    workers: int
    state_dir: Path
    _claim: _Claim | None = None
    _running: BlockJob | None = None
    _engine: Engine | None = None  # kept from block to block
    _is_leaving: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def talk(self, word: Word) -> Reply:
        """Hear one word of a head, and answer."""
        with self._lock:
            now_s = lease_clock_s()
            claim = self._claim
            if claim is None or (claim.number != word.claim and self._running is None and self._is_left(claim, now_s)):
                claim = self._claim = _Claim(word.claim, word.job, now_s)
            if claim.number != word.claim:
                return Reply(False, now_s, self.workers, holder=claim.job)
            claim.heard_s = now_s
            if word.anchor_s is not None:
                claim.until_s = max(claim.until_s, word.anchor_s + word.lease_s)
            if self._running is not None:
                self._running.lease.renew(claim.until_s)
            claim.rate_rows, claim.stops = word.rate_rows, word.stops
            if word.releases and self._running is None:
                self._claim = None
            return Reply(True, now_s, self.workers, number=claim.block, settled=claim.settled)

    def leave(self, most_s: float) -> None:
        """Begin no block any more, and end the one that runs in order; wait until that is done, or for so long."""
        self._is_leaving = True
        give_up_s = time.monotonic() + most_s
        while self._running is not None and time.monotonic() < give_up_s:
            time.sleep(_LOOK_S)
        if self._engine is not None:
            self._engine.close()

    @staticmethod
    def _is_left(claim: _Claim, now_s: float) -> bool:
        """True if the head that has the claim cannot begin a block any more."""
        return now_s > claim.until_s and now_s > claim.heard_s + _CLAIM_S

    def run(self, order: BlockOrder) -> BlockEnd:
        """Run a block to its end, or to that of its lease. Whatever happens, no process of it is left."""
        with self._lock:
            claim = self._claim
            if claim is None or claim.number != order.claim or lease_clock_s() >= claim.until_s:
                return BlockEnd(0, was_stale=True)
            if self._running or self._is_leaving:
                return BlockEnd(0, was_stale=True)
            claim.block, claim.settled = order.number, ()
            try:
                job = self._running = make_block_job(order, self.state_dir, self.workers, claim.rate_rows)
            except (ShardloadError, OSError) as error:
                return BlockEnd(getattr(error, "exit_code", EXIT_CANNOT_START), str(error))
            job.lease.renew(claim.until_s)
        try:
            return self._run(job, claim)
        finally:
            with self._lock:
                self._running = None
            job.remove()

    def _run(self, job: BlockJob, claim: _Claim) -> BlockEnd:
        if self._engine is None or not self._engine.is_usable:
            self._engine = Engine()
        engine = self._engine
        words = ["resume", job.directory.name, "--state-dir", str(job.directory.path.parent), "--progress", "none"]
        engine.begin([*words, "--json"], job.environment, job.directory.path / "log.errors")
        try:
            told = _Told(claim.rate_rows)
            while engine.is_running:
                claim.settled = job.journal.settled()
                if not job.lease.holds:
                    engine.signal(signal.SIGKILL)
                told.tell(engine, job, claim, stops=claim.stops or self._is_leaving)
                engine.wait(_LOOK_S)
        finally:
            held = job.lease.holds
            code, said = engine.end()
        claim.settled = job.journal.settled()
        reason = "" if code in _ENDED_WELL else said if held else "its lease ran out"
        return BlockEnd(code, reason, claim.settled)


@dataclass
class _Told:
    """What the block's process was told."""

    rate_rows: int
    stops: bool = False

    def tell(self, engine: Engine, job: BlockJob, claim: _Claim, *, stops: bool) -> None:
        """Pass on what the head wants now."""
        if stops and not self.stops:
            engine.signal(signal.SIGTERM)
            self.stops = True
        if claim.rate_rows != self.rate_rows:
            words = f"rate {claim.rate_rows or 'off'}"
            with suppress(NoListener, OSError), ControlRequest(job.directory.path, words):
                self.rate_rows = claim.rate_rows


_ours: Machine | None = None


def set_up(workers: int, state_dir: Path) -> None:
    """Say how many workers this process's machine has, and where its blocks are."""
    global _ours
    _ours = Machine(workers, state_dir)


def ours() -> Machine:
    """This process's machine."""
    if _ours is None:  # a Dask worker that somebody else started
        set_up(environment.DEFAULT_WORKERS, environment.state_dir_from(None))
    assert _ours is not None
    return _ours


def talk(word: Word) -> Reply:
    """What Dask calls for a word of the head."""
    return ours().talk(word)


def run_block(order: BlockOrder) -> BlockEnd:
    """Dask's task."""
    return ours().run(order)
