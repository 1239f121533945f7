"""The coordinator's loop with the real kernel's IPC and forked workers that play their part, without servers."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from shardload.config.guards import GuardSpec
from shardload.config.mysqlreach import NO_MYSQL
from shardload.config.spec import NO_REDIS
from shardload.coordinator.context import Settings
from shardload.coordinator.gauges import Measured
from shardload.coordinator.run import run
from shardload.errors import TargetLost
from shardload.ipc import IpcSet, Stop
from shardload.jobdir.directory import JobDirectory
from shardload.jobdir.journal import Journal
from shardload.jobdir.runfile import RunRecord
from shardload.model.counts import Counts
from shardload.model.keys import PlannedRange, integer_range
from shardload.model.nodes import NodeFacts
from shardload.model.orders import CONTROL_SIGNALS, STOP_SIGNALS, Limits
from shardload.model.tasks import Ack, Outcome
from shardload.process import SignalInbox
from shardload.reporting.display import SilentDisplay
from shardload.target import TargetFacts
from tests.harness import wait_until

NO_GUARDS = GuardSpec(keep_free=0, on_eviction="ignore")
RANGES = 20
STEP_S = 0.02
TARGET = TargetFacts("redis", 1, 0)


class SteppingClock:
    """The real clock, and up to STEP_S more at each reading: so much may pass between any two."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._gained_s = 0.0

    def __call__(self) -> float:
        """Seconds."""
        self._gained_s += self._random.uniform(0, STEP_S)
        return time.monotonic() + self._gained_s


def flaky_worker(seed: int) -> Callable[[int, IpcSet, int], int]:
    """Every second range or so finds a server away; it rings for every ack, and at no other time."""

    def body(slot: int, ipc: IpcSet, doorbell: int) -> int:
        chance = random.Random(seed + os.getpid())
        while not isinstance(message := ipc.tasks.receive(slot), Stop):
            if message is not None:
                outcome = chance.choice((Outcome.DONE, Outcome.UNREACHABLE))
                ipc.acks.send(Ack(slot, message.range_id, message.attempt, outcome, Counts(), 1))
                os.write(doorbell, b".")
        return 0

    return body


def target_that_comes_back(losses: int, counts: Path) -> Callable[[Sequence[NodeFacts]], TargetFacts]:
    """Asked for the last time, it is away at first. Each question is another process's: a file counts them."""

    def ask(_known: Sequence[NodeFacts]) -> TargetFacts:
        with counts.open("ab") as file:
            file.write(b".")
        if counts.stat().st_size <= losses:
            raise TargetLost("away")
        return TARGET

    return ask


def coordinate(state_dir: Path, seed: int) -> int:
    """One job from plan to end; 0 if it is complete."""
    directory = JobDirectory.create(state_dir, "job")
    plan = [PlannedRange(integer_range(n, n + 1), 1) for n in range(RANGES)]
    journal = Journal.create(directory.journal_file, {}, plan)
    signals = SignalInbox((*STOP_SIGNALS, *CONTROL_SIGNALS[False]))
    settings = Settings(
        range_rows=1, limits=Limits(1), give_up_after_s=3600, hung_after_s=3600, stops_at_hangup=False,
        ask_target=target_that_comes_back(3, state_dir / "asked"), keys_stay=False, read_limits=lambda: (None, ""),
        on_ready=lambda: None, measured=Measured(NO_GUARDS, NO_MYSQL, (), NO_REDIS),
        reopen_log=lambda: None, clock=SteppingClock(seed),
    )  # fmt: skip
    display = SilentDisplay(sys.stderr)  # it never wants to be woken
    ending, _ = run(
        directory,
        journal,
        settings,
        flaky_worker(seed),
        TARGET,
        display=display,
        signals=signals,
        lock=directory.lock(),
        about=RunRecord(),
    )
    return int(ending is not None or journal.totals().ranges_done != RANGES)


@pytest.mark.parametrize("attempt", range(3))
def test_no_wake_up_is_lost_however_the_clock_steps(tmp_path: Path, attempt: int) -> None:
    """What comes due between two readings of the clock is dealt with, or wakes the loop. A lost wake-up is a job that
    hangs until a signal comes; here SIGCHLD and doorbells come only when something was begun."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    pid = os.fork()  # a coordinator reaps every child of its process, so it gets one of its own
    if pid == 0:
        code = 70
        try:
            code = coordinate(tmp_path, seed)
        finally:
            os._exit(code)
    try:
        status = wait_until(lambda: (seen := os.waitpid(pid, os.WNOHANG))[0] and seen, "the job's end", 60)[1]
    except AssertionError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    assert os.waitstatus_to_exitcode(status) == 0
