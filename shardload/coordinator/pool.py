"""The coordinator's children: a worker for every slot, and the janitor. Forked, counted, replaced, ended."""

from __future__ import annotations

import logging
import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shardload.coordinator.janitor import Janitor
from shardload.errors import GaveUp, IpcError, NoProcess, ShardloadError
from shardload.ipc import IpcSet, Phase
from shardload.model import backoff
from shardload.model.limits import CREDITS, MOST_WORKERS
from shardload.process import describe_death, fork_child, is_alive, reap_all, start_time

MOST_BAD_STARTS = 5
_LOOK_AGAIN_S = 0.002
_JANITOR_PAUSE_S = 1.0

_log = logging.getLogger("shardload.coordinator.pool")

WorkerBody = Callable[[int, IpcSet, int], int]
"""What a forked worker runs: (slot, ipc, doorbell) to an exit code."""


@dataclass
class Slot:
    """A worker's place. It outlives the process that fills it."""

    pid: int = 0
    start: int = 0
    is_leaving: bool = False  # this worker was told to leave: it gets no more work
    has_spoken: bool = False  # this worker has acknowledged something
    is_up: bool = False  # this worker has reached both servers
    is_refused: bool = False  # there is none, for the system refused to make one
    heartbeat: tuple[float, float] = (0.0, 0.0)  # the newest one seen, and when it was seen first
    bad_starts: int = 0
    losses: int = 0  # attempts in a row that lost a server or could not reach it
    not_before_s: float = 0.0

    def wait_after_loss(self, now_s: float) -> bool:
        """No task for a while: longer each time, at random. False if it waits already: one loss may hit several."""
        if now_s < self.not_before_s:
            return False
        self.losses += 1
        self.not_before_s = now_s + backoff.delay_s(self.losses, random.random())
        return True

    def most_ranges(self, now_s: float) -> int:
        """How many ranges its worker may hold now, as far as it is concerned: one, until it has its servers again."""
        is_ready = self.pid != 0 and not self.is_leaving and now_s >= self.not_before_s
        return 0 if not is_ready else 1 if self.losses else CREDITS

    def silent_s(self, heartbeat_s: float, now_s: float) -> float:
        """For how long this worker has shown the same heartbeat, by looks at it such as this one."""
        if self.heartbeat[0] != heartbeat_s:
            self.heartbeat = (heartbeat_s, now_s)
        return now_s - self.heartbeat[1]


@dataclass(frozen=True)
class Death:
    """A worker that ended, and how, in words."""

    slot: int
    pid: int
    words: str
    status: int
    was_asked: bool
    had_begun: bool  # it had come as far as waiting for a range
    range_id: int  # of the range in its hand, as the board has it; 0: none, or not known


class Pool:
    """All children of one run. `before_fork` closes what must not cross a fork; `private` are descriptors that a
    child has to close. NoProcess if the system refuses the first, the janitor."""

    def __init__(
        self,
        job: str,
        ipc: IpcSet,
        body: WorkerBody,
        doorbell: int,
        private: Sequence[int],
        before_fork: Callable[[], None],
    ) -> None:
        self.slots = [Slot() for _ in range(MOST_WORKERS)]
        self._used = 0
        self._job = job
        self._ipc = ipc
        self._body = body
        self._doorbell = doorbell
        self._private = list(private)
        self._before_fork = before_fork
        self._janitor = self._new_janitor()
        self._janitor_not_before_s = 0.0

    @property
    def used_slots(self) -> list[Slot]:
        """Those that have had a worker, or should have had, and those between: the coordinator often looks at them."""
        return self.slots[: self._used]

    @property
    def is_gone(self) -> bool:
        """True if no worker is left."""
        return not self.alive

    @property
    def alive(self) -> int:
        """How many workers are alive."""
        return len([True for slot in self.used_slots if slot.pid])

    def staff(self, slots: int, most: int, now_s: float) -> None:
        """Fork workers for the empty ones of the first `slots` slots until there are `most`, except where a bad start
        asks for patience; and a janitor, if the last was killed."""
        if self._janitor.is_gone and self._janitor_not_before_s <= now_s:
            self._replace_janitor(now_s)
        for number, slot in enumerate(self.slots[:slots]):
            if self.alive >= most:
                return
            if not slot.pid and slot.not_before_s <= now_s:
                self._used = max(self._used, number + 1)
                slot.has_spoken = slot.is_up = slot.is_leaving = False
                slot.heartbeat = (0.0, now_s)
                try:
                    slot.pid = self._fork_worker(number)
                except NoProcess as error:
                    slot.is_refused = True
                    self._note_bad_start(number, error, now_s)
                    return
                slot.is_refused = False
                slot.start = start_time(slot.pid)

    def due_s(self, now_s: float) -> list[float]:
        """When patience with a slot, or with the system that refused a janitor, is over: what was due before the clock
        reading of this turn was dealt with in it."""
        due = [slot.not_before_s for slot in self.used_slots]
        return [at_s for at_s in (*due, self._janitor_not_before_s) if at_s >= now_s]

    def retire(self, number: int) -> None:
        """Tell one worker to leave when what it has received is done. What it has not received was taken back."""
        slot = self.slots[number]
        if slot.pid and not slot.is_leaving:
            slot.is_leaving = True
            self._ipc.tasks.send_stop(number)

    def renew(self) -> None:
        """Have others in the place of all workers, when what these have received is done."""
        for number in range(self._used):
            self.retire(number)

    def kill(self, number: int) -> None:
        """End a worker that does not answer; its death is reaped like any other."""
        slot = self.slots[number]
        if slot.pid and is_alive(slot.pid, slot.start):
            os.kill(slot.pid, signal.SIGKILL)

    def reap(self) -> list[Death]:
        """The workers that have ended since the last call."""
        deaths = []
        for pid, status in reap_all():
            if pid == self._janitor.pid and not self._janitor.is_gone:
                self._janitor.forget()
            for number, slot in enumerate(self.slots):
                if slot.pid == pid:
                    seen = self._ipc.board.worker(number)
                    had_begun = seen.phase not in (Phase.NONE, Phase.CONNECTING)
                    words = describe_death(status)
                    deaths.append(Death(number, pid, words, status, slot.is_leaving, had_begun, seen.range_id))
                    slot.pid = slot.start = 0
                    slot.is_leaving = False
                    self._ipc.board.clear(number)
        return deaths

    def note_start(self, death: Death, now_s: float) -> None:
        """Count workers that die before they have begun to work. GaveUp if a slot's never get further."""
        if not (self.slots[death.slot].has_spoken or death.had_begun):
            self._note_bad_start(death.slot, GaveUp(f"it {death.words}", "see the job's log"), now_s)

    def _note_bad_start(self, number: int, reason: ShardloadError, now_s: float) -> None:
        """Have patience, longer each time. GaveUp if that does not help, unless others are at work, or, where it is
        only the system that refuses one more, are there."""
        slot = self.slots[number]
        slot.bad_starts += 1
        slot.not_before_s = now_s + backoff.delay_s(slot.bad_starts, random.random())
        _log.warning("worker %d did not start: %s", number, reason.message)
        others = [other for other in self.slots if other.pid and (other.is_up or slot.is_refused)]
        if slot.bad_starts >= MOST_BAD_STARTS and not others:
            raise GaveUp(f"worker {number} cannot start: {reason.message}", reason.hint)

    def stop(self) -> None:
        """Tell every worker to leave: those at work after the batch in hand, those that wait at once."""
        self._ipc.board.ask_to_stop()
        for number, slot in enumerate(self.slots):
            try:
                if slot.pid:
                    self._ipc.tasks.send_stop(number)
            except IpcError:
                return  # the queue is gone, which stops them as well

    def end(self, grace_s: float) -> None:
        """Wait for the workers to leave, kill those that do not within the grace, and reap every one."""
        give_up_s = time.monotonic() + grace_s
        for slot in self.slots:
            if slot.pid:
                _wait_or_kill(slot.pid, give_up_s)
                slot.pid = 0

    def dismiss_janitor(self) -> None:
        """The SysV objects are removed: the janitor may go, and is waited for."""
        if self._janitor.is_gone:
            return
        self._janitor.dismiss()
        _wait_or_kill(self._janitor.pid, time.monotonic() + 1.0)

    def _fork_worker(self, number: int) -> int:
        self._before_fork()
        close = [*self._private, *self._janitor.descriptors()]
        return fork_child(lambda: self._body(number, self._ipc, self._doorbell), close)

    def _replace_janitor(self, now_s: float) -> None:
        """The job goes on without one for a while, if it must: what a janitor does is done by the next command too."""
        try:
            self._janitor = self._new_janitor()
        except NoProcess as error:
            _log.warning("no new janitor yet: %s", error.message)
            self._janitor_not_before_s = now_s + _JANITOR_PAUSE_S

    def _new_janitor(self) -> Janitor:
        self._before_fork()
        return Janitor(self._job, self._ipc, [*self._private, self._doorbell])


def _wait_or_kill(pid: int, give_up_s: float) -> None:
    try:
        while os.waitpid(pid, os.WNOHANG)[0] == 0:
            if time.monotonic() >= give_up_s:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                return
            time.sleep(_LOOK_AGAIN_S)
    except ChildProcessError:
        return  # reaped already
