"""The coordinator's children: a worker for every slot, and the janitor. They are forked, counted, replaced and
ended."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shardload.coordinator.janitor import Janitor
from shardload.coordinator.slot import MOST_BAD_STARTS, Slot
from shardload.errors import GaveUp, IpcError, NoProcess, ShardloadError
from shardload.ipc import IpcSet, Phase
from shardload.model.limits import MOST_WORKERS
from shardload.process import describe_death, die_with_parent, fork_child, is_alive, reap_all, set_title, start_time

_LOOK_AGAIN_S = 0.002
_JANITOR_PAUSE_S = 1.0

_log = logging.getLogger("shardload.pool")

WorkerBody = Callable[[int, IpcSet, int], int]
"""What a forked worker runs: (slot, ipc, doorbell) to an exit code."""


@dataclass(frozen=True)
class Death:
    """A worker that ended; `words` say how."""

    slot: int
    pid: int
    words: str
    status: int
    was_asked: bool
    had_begun: bool  # it had come as far as waiting for a range
    range_id: int  # of its current range, as the board has it; 0: none, or not known


class Pool:
    """All children of one run.

    `before_fork` closes what must not cross a fork, and `private` are descriptors that a child has to close. NoProcess
    if the system refuses to make the janitor.
    """

    def __init__(
        self,
        job: str,
        ipc: IpcSet,
        body: WorkerBody,
        *,
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
        self._others: set[int] = set()  # children that are neither workers nor the janitor
        self._janitor = self._new_janitor()
        self._janitor_not_before_s = 0.0

    @property
    def used_slots(self) -> list[Slot]:
        """The slots up to the last that was ever used: there is no worker in the others."""
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
        """Fork workers into the empty ones of the first `slots` slots until `most` are alive, except where a slot has
        to wait after a bad start; and a janitor, if the last one was killed."""
        if self._janitor.is_gone and self._janitor_not_before_s <= now_s:
            self._replace_janitor(now_s)
        for number, slot in enumerate(self.slots[:slots]):
            if self.alive >= most:
                return
            if not slot.pid and slot.not_before_s <= now_s:
                self._used = max(self._used, number + 1)
                slot.prepare(now_s)
                try:
                    pid = self._fork_worker(number)
                except NoProcess as error:
                    slot.note_refused()
                    self._note_bad_start(number, error, now_s)
                    return
                slot.fill(pid, start_time(pid))

    def due_s(self, now_s: float) -> list[float]:
        """When a slot, or the janitor, may be tried again: monotonic times, none before `now_s`."""
        due = [slot.not_before_s for slot in self.used_slots]
        return [at_s for at_s in (*due, self._janitor_not_before_s) if at_s >= now_s]

    def retire(self, number: int) -> None:
        """Tell one worker to leave when it has done what it received. The caller has taken back the rest."""
        slot = self.slots[number]
        if slot.pid and not slot.is_leaving:
            slot.tell_to_leave()
            self._ipc.tasks.send_stop(number)

    def renew(self) -> None:
        """Replace all workers, each when it has done what it received."""
        for number in range(self._used):
            self.retire(number)

    def kill(self, number: int) -> None:
        """Kill a worker that hangs; its death is reaped like any other."""
        slot = self.slots[number]
        if slot.pid and is_alive(slot.pid, slot.start):
            os.kill(slot.pid, signal.SIGKILL)

    def fork(self, name: str, body: Callable[[], int], keep: Sequence[int]) -> int:
        """Fork a child that is no worker, and dies with the coordinator. The result is its pid.

        `name` is what `ps` shows, `keep` are the only descriptors of the run that it keeps. NoProcess if the system
        refuses.
        """
        coordinator = os.getpid()

        def live() -> int:
            set_title(f"shardload: {name} {self._job}")
            return body() if die_with_parent(coordinator) else 1

        self._before_fork()
        run = {*self._private, *self._janitor.descriptors(), self._doorbell}
        pid = fork_child(live, run - set(keep))
        self._others.add(pid)
        return pid

    def end_other(self, pid: int) -> None:
        """Kill a child that is no worker, and reap it, unless it was reaped already: its pid may be another's now."""
        if pid in self._others:
            self._others.remove(pid)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def reap(self) -> list[Death]:
        """The workers that have ended since the last call. Other children are reaped, too."""
        deaths = []
        for pid, status in reap_all():
            self._others.discard(pid)
            if pid == self._janitor.pid and not self._janitor.is_gone:
                self._janitor.forget()
            for number, slot in enumerate(self.slots):
                if slot.pid == pid:
                    deaths.append(self._death_of(number, status))
                    slot.vacate()
                    self._ipc.board.clear(number)
        return deaths

    def _death_of(self, number: int, status: int) -> Death:
        slot, seen = self.slots[number], self._ipc.board.worker(number)
        return Death(
            slot=number,
            pid=slot.pid,
            words=describe_death(status),
            status=status,
            was_asked=slot.is_leaving,
            had_begun=seen.phase not in (Phase.NONE, Phase.CONNECTING),
            range_id=seen.range_id,
        )

    def note_start(self, death: Death, now_s: float) -> None:
        """Count workers that die before they have begun to work. GaveUp if the workers of a slot never get further."""
        if not (self.slots[death.slot].has_spoken or death.had_begun):
            self._note_bad_start(death.slot, GaveUp(f"it {death.words}", "see the job's log"), now_s)

    def _note_bad_start(self, number: int, reason: ShardloadError, now_s: float) -> None:
        """Try again later. GaveUp after several bad starts, unless others are at work, or, if the system only refuses
        one more process, are there."""
        slot = self.slots[number]
        slot.note_bad_start(now_s)
        _log.warning("worker %d did not start: %s", number, reason.message)
        others = [other for other in self.slots if other.pid and (other.is_up or slot.is_refused)]
        if slot.bad_starts >= MOST_BAD_STARTS and not others:
            raise GaveUp(f"worker {number} cannot start: {reason.message}", reason.hint)

    def stop(self) -> None:
        """Tell every worker to leave: those at work after the current batch, those that wait at once."""
        self._ipc.board.ask_to_stop()
        for number, slot in enumerate(self.slots):
            try:
                if slot.pid:
                    self._ipc.tasks.send_stop(number)
            except IpcError:
                return  # the queue is gone, which stops them as well

    def end(self, grace_s: float) -> None:
        """Wait for the workers to leave, kill those that do not leave within `grace_s`, and reap every one."""
        give_up_s = time.monotonic() + grace_s
        for slot in self.slots:
            if slot.pid:
                _wait_or_kill(slot.pid, give_up_s)
                slot.vacate()

    def dismiss_janitor(self) -> None:
        """Let the janitor go, and wait for it: the SysV objects are removed."""
        if self._janitor.is_gone:
            return
        self._janitor.dismiss()
        _wait_or_kill(self._janitor.pid, time.monotonic() + 1.0)

    def _fork_worker(self, number: int) -> int:
        self._before_fork()
        close = [*self._private, *self._janitor.descriptors()]
        return fork_child(lambda: self._body(number, self._ipc, self._doorbell), close)

    def _replace_janitor(self, now_s: float) -> None:
        """If the system refuses a janitor, the job goes on without one for a while: the next command would clean up."""
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
