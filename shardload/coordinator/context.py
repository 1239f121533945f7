"""What a run is told, what it works with, and why it ends: the nouns between `run.py` and the loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shardload.coordinator.gauges import Gauges, Measured
from shardload.coordinator.pool import Pool
from shardload.coordinator.targetwatch import TargetGuard
from shardload.errors import GaveUp, ShardloadError, StoppedAsAsked, StoppedBySignal
from shardload.ipc import IpcSet
from shardload.jobdir.directory import JobDirectory
from shardload.model.limits import CREDITS
from shardload.model.nodes import NodeFacts
from shardload.model.orders import Limits
from shardload.process import ControlInbox, SignalInbox
from shardload.ranges.tracker import Tracker
from shardload.reporting.display import Display
from shardload.target import TargetFacts


@dataclass
class Ending:
    """Why the run ends before its work does: an error, a signal, or else an order.

    `rows_unfinished` were written in ranges that are not done; if it is not exact, it is at least so many.
    """

    since_s: float
    signal_number: int = 0
    error: ShardloadError | None = None
    at_once: bool = False
    rows_unfinished: int = 0
    rows_unfinished_exact: bool = True

    def reason(self) -> ShardloadError:
        """The error that a person is told."""
        return self.error or (StoppedBySignal(self.signal_number) if self.signal_number else StoppedAsAsked())


def reason_to_stop(error: ShardloadError | OSError) -> ShardloadError:
    """The error as the reason of the job's end. An OSError may come from anywhere: the system may refuse a descriptor,
    a process or disk space."""
    if isinstance(error, ShardloadError):
        return error
    return GaveUp(f"the coordinator cannot go on: {error}", "fix the cause, then resume the job")


@dataclass(frozen=True)
class Settings:
    """What a run is told beside its job.

    `range_rows` is about how many rows a range should have. `ask_target` is told the nodes that the target had, and
    raises TargetLost if it cannot be reached. `keys_stay` says that each row has a key of its own, for good.
    `read_limits` gives the limits that a reload should apply, and a text that says where they come from. `clock` gives
    seconds, and never goes back. `measured` is what the guards watch, and where. A slot may hold `credits_` ranges.
    What a killed worker held is given to others after `fence_s`: the machine that it worked for may write until then.
    """

    range_rows: int
    limits: Limits
    give_up_after_s: float
    hung_after_s: float
    stops_at_hangup: bool
    ask_target: Callable[[Sequence[NodeFacts]], TargetFacts]
    keys_stay: bool
    read_limits: Callable[[], tuple[Limits | None, str]]
    on_ready: Callable[[], None]
    reopen_log: Callable[[], None]
    measured: Measured
    credits_: int = CREDITS
    fence_s: float = 0.0
    clock: Callable[[], float] = time.monotonic


@dataclass
class Context:
    """What a run works with, from its beginning to its end."""

    directory: JobDirectory
    tracker: Tracker
    ipc: IpcSet
    pool: Pool
    guard: TargetGuard
    gauges: Gauges
    signals: SignalInbox
    control: ControlInbox
    bell: int
    display: Display
    note_clock: Callable[[float], None]
    note_trouble: Callable[[str], None]
    note_event: Callable[[str], None]
    started_s: float
