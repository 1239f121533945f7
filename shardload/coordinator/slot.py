"""A slot, as the coordinator knows it: the worker in it, and how that worker fares."""

from __future__ import annotations

import random
from dataclasses import dataclass

from shardload.model import backoff
from shardload.model.limits import CREDITS

MOST_BAD_STARTS = 5


@dataclass
class Slot:
    """A worker's place. It outlives the process in it. Others read the fields; only its methods change them."""

    pid: int = 0  # 0: there is no worker
    start: int = 0  # when the process began; it tells a process from a later one with the same pid
    is_leaving: bool = False  # the worker was told to leave: it gets no more work
    has_spoken: bool = False  # the worker has acknowledged something
    is_up: bool = False  # the worker has reached both servers
    is_refused: bool = False  # there is no worker, because the system refused to make one
    heartbeat: tuple[float, float] = (0.0, 0.0)  # the newest one seen, and when it was seen first
    bad_starts: int = 0
    losses: int = 0  # attempts in a row that lost a server or could not reach it
    not_before_s: float = 0.0  # no worker is started, and no range is sent, before this time

    def prepare(self, now_s: float) -> None:
        """A worker is about to be forked into the slot."""
        self.has_spoken = self.is_up = self.is_leaving = False
        self.heartbeat = (0.0, now_s)

    def fill(self, pid: int, start: int) -> None:
        """A worker was forked."""
        self.pid, self.start, self.is_refused = pid, start, False

    def vacate(self) -> None:
        """The worker has ended."""
        self.pid = self.start = 0
        self.is_leaving = False

    def tell_to_leave(self) -> None:
        """The worker was told to leave."""
        self.is_leaving = True

    def note_spoken(self) -> None:
        """The worker has acknowledged something, so it started well."""
        self.has_spoken, self.bad_starts = True, 0

    def note_done(self) -> None:
        """The worker has done a range, so both servers are there."""
        self.is_up, self.losses = True, 0

    def note_up(self) -> None:
        """The worker has reached both servers."""
        self.is_up = True

    def note_fenced(self, until_s: float) -> None:
        """What the last worker began elsewhere may go on until then: the slot waits."""
        self.not_before_s = max(self.not_before_s, until_s)

    def note_refused(self) -> None:
        """The system refused to make a process for the slot."""
        self.is_refused = True

    def note_bad_start(self, now_s: float) -> None:
        """A worker did not start. The next one is tried later, after a pause that grows."""
        self.bad_starts += 1
        self.not_before_s = max(self.not_before_s, now_s + backoff.delay_s(self.bad_starts, random.random()))

    def note_loss(self, now_s: float) -> bool:
        """The worker lost a server: it gets no range for a while, longer each time. False if it is waiting already,
        because one loss may concern several ranges."""
        if now_s < self.not_before_s:
            return False
        self.losses += 1
        self.not_before_s = now_s + backoff.delay_s(self.losses, random.random())
        return True

    def most_ranges(self, now_s: float, credits_: int = CREDITS) -> int:
        """How many ranges the worker may hold now: 0, 1 until it has its servers again, or all credits."""
        is_ready = self.pid != 0 and not self.is_leaving and now_s >= self.not_before_s
        return 0 if not is_ready else 1 if self.losses else credits_

    def note_heartbeat(self, heartbeat_s: float, now_s: float) -> None:
        """The worker's heartbeat counts as fresh at this moment."""
        self.heartbeat = (heartbeat_s, now_s)

    def silent_s(self, heartbeat_s: float, now_s: float) -> float:
        """For how long the worker has shown this heartbeat, as far as it was looked at."""
        if self.heartbeat[0] != heartbeat_s:
            self.note_heartbeat(heartbeat_s, now_s)
        return now_s - self.heartbeat[1]
