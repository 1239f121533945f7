"""The coordinator: one event loop that dispatches ranges, settles acks, keeps loaders alive and writes the journal.

It sleeps in a selector until a signal, a loader's doorbell or a due time wakes it. It never touches a row, and holds
no connection to MySQL or Redis; the journal is closed around every fork.
"""

from __future__ import annotations

import logging
import os
import random
import selectors
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from shardload import retry
from shardload.crew import Crew, Death, LoaderBody, Slot
from shardload.display import Display
from shardload.errors import GaveUp, ShardloadError, TargetLost
from shardload.ipc import BoardHeader, IpcSet, create
from shardload.jobdir import JobDirectory
from shardload.journal import Journal
from shardload.ledger import Ledger
from shardload.model import Ack, Counts, Outcome, SetAside, Task
from shardload.process import SignalInbox, children_usage, set_title, start_time
from shardload.progress import Meter
from shardload.target import TargetFacts

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
NOTE_CLOCK_EVERY_S = 1.0  # how much of a run's time a kill -9 may leave out of the journal
STOP_GRACE_S = 5.0  # for loaders to finish the batch in hand; below the 10 s that docker stop grants

_log = logging.getLogger("shardload.coordinator")


@dataclass
class Ending:
    """Why the run ends before its work does."""

    since_s: float
    signal_number: int = 0
    error: ShardloadError | None = None
    at_once: bool = False


class Coordinator:
    """One run of one job. `ask_target` asks the target what it is now (TargetLost if it cannot be reached)."""

    def __init__(
        self,
        directory: JobDirectory,
        journal: Journal,
        key_name: str,
        give_up_after_s: float,
        ask_target: Callable[[], TargetFacts],
        display: Display,
    ) -> None:
        self._directory = directory
        self._journal = journal
        self._key_name = key_name
        self._give_up_after_s = give_up_after_s
        self._ask_target = ask_target
        self._display = display
        self._confirm_losses = 0
        self._confirm_not_before_s = 0.0
        self._is_confirmed = False
        self.ending: Ending | None = None

    # ---- a run, from its first breath to its last

    def run(self, workers: int, loader_body: LoaderBody, target: TargetFacts, lock: int) -> None:
        """Load every range that is to do; the journal has the result, `ending` the reason of an early end.

        GaveUp, IpcError or JournalError if the job had to stop. Whatever happens, no process and no SysV object of
        this run is left. `target` is what it was when the job began, `lock` the job's descriptor, which no child may
        keep.
        """
        self._evicted_keys = target.evicted_keys
        self._started_s = self._last_success_s = time.monotonic()
        self._run_number = self._journal.begin_run(time.strftime("%Y-%m-%dT%H:%M:%S%z"))
        self._ledger = Ledger(self._journal, self._key_name, workers, target.life, self._say)
        self._clock_noted_s = self._started_s
        self._directory.remove_reports()
        inbox = SignalInbox((*STOP_SIGNALS, signal.SIGCHLD))
        self._bell, doorbell = os.pipe()
        os.set_blocking(self._bell, False)
        os.set_blocking(doorbell, False)
        run_id = int.from_bytes(os.urandom(8), "little") >> 1
        me = {"pid": os.getpid(), "start": start_time(os.getpid()), "run_id": run_id}
        self._ipc: IpcSet | None = None
        try:
            ipc = self._ipc = create(self._directory.key_file, BoardHeader(workers, run_id, me["pid"], me["start"]))
            self._directory.write_run({**me, "ipc": ipc.record})
            private = (lock, self._bell, *inbox.descriptors())
            self._crew = Crew(self._directory.name, ipc, workers, loader_body, doorbell, private, self._journal.close)
            self._run_loop(inbox)
        finally:
            if self._ipc is not None:
                self._ipc.remove()
                self._ipc.board.detach()
            os.close(self._bell)
            os.close(doorbell)
            inbox.close()
        self._directory.remove_reports()
        self._directory.write_run({**me, "ipc": None})
        self._journal.end_run(self._run_number, time.monotonic() - self._started_s)
        if self.ending is not None and self.ending.error is not None:
            raise self.ending.error

    def _run_loop(self, inbox: SignalInbox) -> None:
        set_title(f"shardload: coordinator {self._directory.name}")
        try:
            self._loop(inbox)
            self._crew.stop()
        finally:
            self._crew.end(STOP_GRACE_S if self.ending is None else 0.0)
            self._ipc_set.remove()
            self._crew.dismiss_janitor()
            _log.info("the loaders used %.2f s of CPU, %d MiB of memory at most", *children_usage())

    def _loop(self, inbox: SignalInbox) -> None:
        self._meter = Meter(self._started_s, self._ledger.totals.counts.rows_read, self._ledger.share([]))
        self._next_show_s = self._started_s
        with selectors.DefaultSelector() as selector:
            selector.register(inbox, selectors.EVENT_READ)
            selector.register(self._bell, selectors.EVENT_READ)
            while not self._is_over():
                try:
                    self._heed_signals(inbox)
                    self._settle_acks()
                    self._reap()
                    self._dispatch()
                    self._confirm_target()
                    self._publish()
                except ShardloadError as error:
                    self._stop(error=error)
                if not self._is_over():
                    selector.select(self._idle_s())
        self._publish(last=True)

    def _is_over(self) -> bool:
        if self.ending is None:
            return self._is_confirmed
        is_late = time.monotonic() - self.ending.since_s >= STOP_GRACE_S
        return self._crew.is_gone or is_late or self.ending.at_once

    def _idle_s(self) -> float | None:
        """Seconds until something is due; None: until something happens."""
        now_s = time.monotonic()
        due = [slot.not_before_s for slot in self._crew.slots if slot.not_before_s > now_s]
        if self.ending is not None:
            due.append(self.ending.since_s + STOP_GRACE_S)
        elif self._display.every_s is not None:
            due.append(self._next_show_s)
        if self._confirm_not_before_s > now_s:
            due.append(self._confirm_not_before_s)
        return max(0.0, min(due) - now_s) if due else None

    # ---- the loop's verbs

    def _heed_signals(self, inbox: SignalInbox) -> None:
        for number in inbox.drain():
            if number not in STOP_SIGNALS:
                continue
            if self.ending is not None:
                self.ending.at_once = True
            else:
                self._say(f"{signal.Signals(number).name}: finishing the batches in hand (once more: leave now)")
                self._stop(signal_number=number)

    def _stop(self, signal_number: int = 0, error: ShardloadError | None = None) -> None:
        """Take back what nobody has begun, and have the loaders leave after the batch in hand."""
        if self.ending is not None:
            return
        self.ending = Ending(time.monotonic(), signal_number, error, at_once=signal_number == signal.SIGQUIT)
        if error is not None:
            _log.error("%s", error)
        for number in range(len(self._crew.slots)):
            self._recall(number)
        self._crew.stop()

    def _settle_acks(self) -> None:
        with suppress(BlockingIOError):  # nobody rang: a look does not hurt
            os.read(self._bell, 4096)
        for ack in self._ipc_set.acks.receive_all():
            slot = self._crew.slots[ack.slot]
            slot.has_spoken, slot.bad_starts = True, 0
            is_plain = ack.outcome is Outcome.DONE and not ack.counts.rows_failed
            told = [] if is_plain else self._directory.take_report(ack.range_id, ack.attempt)
            task = self._ledger.dispatcher.acknowledged(ack)
            if task is None:
                _log.warning("an ack for range %d, attempt %d, is out of date", ack.range_id, ack.attempt)
            else:
                self._note_outcome(ack, slot, told)
                self._ledger.settle(ack, task, told)
        now_s = time.monotonic()
        if now_s - self._clock_noted_s >= NOTE_CLOCK_EVERY_S:
            self._clock_noted_s = now_s
            self._journal.end_run(self._run_number, now_s - self._started_s)

    def _note_outcome(self, ack: Ack, slot: Slot, told: list[SetAside]) -> None:
        """How the slot fares with its servers: success ends its waiting, a loss prolongs it, up to giving up."""
        now_s = time.monotonic()
        if ack.outcome is Outcome.DONE:
            slot.losses = 0
            self._last_success_s = now_s
        elif ack.outcome in (Outcome.UNREACHABLE, Outcome.BROKEN_OFF):
            slot.wait_after_loss(now_s)
            reason = told[-1].reason if told else "no reason given"
            if slot.losses == 1:
                self._say(f"loader {ack.slot}: {reason}; trying again")
            self._consider_giving_up(now_s, reason)

    def _consider_giving_up(self, now_s: float, reason: str) -> None:
        if retry.is_hopeless(now_s, self._last_success_s, self._give_up_after_s):
            raise GaveUp(
                f"nothing has succeeded for {self._give_up_after_s:g} s, the last reason: {reason}",
                "mend it, then resume",
            )

    def _reap(self) -> None:
        for death in self._crew.reap():
            self._settle_acks()  # what it still said counts
            self._mourn(death)

    def _mourn(self, death: Death) -> None:
        """A loader's waiting range goes back as if never sent; the one in its hand goes back with a mark."""
        if self.ending is None or death.status:
            self._say(f"loader {death.slot} {death.words}")
        self._recall(death.slot)
        for task in self._ledger.dispatcher.held(death.slot):
            self._ledger.dispatcher.release(death.slot, task)
            self._ledger.fail(task, f"its loader {death.words}", is_blamed=True)
        if self.ending is None:
            self._crew.note_start(death, time.monotonic())

    def _recall(self, number: int) -> None:
        for task in self._ipc_set.tasks.take_back(number):
            if task in self._ledger.dispatcher.held(number):
                self._ledger.dispatcher.take_from(number, task)

    def _dispatch(self) -> None:
        """Loaders for what is to do, and ranges for the loaders that have credit."""
        if self.ending is not None:
            return
        now_s = time.monotonic()
        self._crew.staff(min(len(self._crew.slots), self._ledger.dispatcher.open_ranges), now_s)
        for number, slot in enumerate(self._crew.slots):
            while slot.is_ready(now_s) and (task := self._ledger.dispatcher.next_task(number)):
                self._ipc_set.tasks.send(number, task)

    def _confirm_target(self) -> None:
        """When every range is acknowledged: is the Redis that confirmed them still the one that runs?"""
        now_s = time.monotonic()
        if self.ending is not None or self._ledger.dispatcher.open_ranges or now_s < self._confirm_not_before_s:
            return
        try:
            target = self._ask_target()
        except TargetLost as error:
            self._confirm_losses += 1
            self._confirm_not_before_s = now_s + retry.delay_s(self._confirm_losses, random.random())
            self._consider_giving_up(now_s, str(error))
            return
        self._confirm_losses = 0
        self._ledger.heed_life(target.life)
        if self._ledger.dispatcher.open_ranges:
            self._dispatch()
            return
        self._is_confirmed = True
        evicted = target.evicted_keys - self._evicted_keys
        if evicted > 0:
            self._say(f"warning: Redis evicted {evicted:,} keys meanwhile, perhaps of these; raise its maxmemory")

    def _publish(self, *, last: bool = False) -> None:
        """Show the progress, if it is due."""
        now_s = time.monotonic()
        if not last and (self._display.every_s is None or now_s < self._next_show_s):
            return
        self._next_show_s = now_s + (self._display.every_s or 0)
        in_hand = self._in_hand()
        rows = self._ledger.totals.counts.rows_read + sum(counts.rows_read for _, counts in in_hand)
        share = self._ledger.share(in_hand)
        self._display.show(self._meter.reading(now_s, rows, share, self._crew.loaders, self._ledger.retries))

    # ---- small questions

    @property
    def _ipc_set(self) -> IpcSet:
        assert self._ipc is not None
        return self._ipc

    def _in_hand(self) -> list[tuple[Task, Counts]]:
        """What the board shows of ranges that are out; a settled or given-up attempt is not among them."""
        shown = []
        for number, view in enumerate(self._ipc_set.board.loaders()):
            held = {(task.range_id, task.attempt): task for task in self._ledger.dispatcher.held(number)}
            shown += [(held[r, a], counts) for r, a, counts in view.cells if (r, a) in held]
        return shown

    def _say(self, text: str) -> None:
        _log.warning("%s", text)
        self._display.note(text)
