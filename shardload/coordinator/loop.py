"""The coordinator: one event loop that dispatches ranges, settles acks, keeps workers alive and writes the journal.

It sleeps in a selector until a signal, an order, a worker's doorbell or a due time wakes it. It never touches a row,
and holds no connection to MySQL or Redis; the journal is closed around every fork. What it works with is made, and
removed, by `run.py`.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
from contextlib import suppress

from shardload.coordinator.context import Context, Ending, Settings, reason_to_stop
from shardload.coordinator.controls import Controls, Silent
from shardload.coordinator.guards import Confirmation
from shardload.coordinator.pool import Death, Slot
from shardload.coordinator.publisher import Publisher
from shardload.coordinator.watchdog import Watchdog
from shardload.errors import GaveUp, IpcError, ShardloadError, TargetFull, TargetLost
from shardload.model import backoff
from shardload.model.counts import SetAside
from shardload.model.orders import Answer, Order, order_of_signal, parse_order
from shardload.model.tasks import Ack, Outcome
from shardload.reporting.text import describe
from shardload.target import TargetFacts

NOTE_CLOCK_EVERY_S = 1.0  # how much of a run's time a kill -9 may leave out of the journal
COMMIT_AFTER_S = 0.05  # and of its last acks (then their ranges are loaded again), if there is anything else to do
COMMIT_AT_LAST_S = 0.1  # if there is not
STOP_GRACE_S = 5.0  # for workers to finish the batch in hand; below the 10 s that docker stop grants
AFTER_ERROR_S = 0.05

_log = logging.getLogger("shardload.coordinator.loop")


class Coordinator:
    """One run of one job. `ending` is the reason of an early end."""

    def __init__(self, settings: Settings, context: Context, target: TargetFacts) -> None:
        self._settings = settings
        self._context = context
        self._tracker, self._pool, self._ipc = context.tracker, context.pool, context.ipc
        self._confirmation = Confirmation(settings.ask_target, target, keys_stay=settings.keys_stay)
        self._trouble_since_s: float | None = None
        self._rows_at_trouble = 0
        self._interrupts = 0
        self._is_confirmed = self._is_ready = False
        self._clock_noted_s = self._now_s = context.started_s
        board, dispatcher = context.ipc.board, context.tracker.dispatcher
        self._watchdog = Watchdog(self._pool, board, dispatcher, settings.hung_after_s)
        self.controls = Controls(self._pool, board, dispatcher, settings.limits, self._recall, self._say)
        self._publisher = Publisher(board, self._tracker, self._pool, self.controls, context.display, context.started_s)
        self.ending: Ending | None = None

    def loop(self) -> None:
        """Until every range is settled and the target still has them, or until something ends the run before."""
        with selectors.DefaultSelector() as selector:
            for source in (self._context.signals, self._context.control, self._context.bell):
                selector.register(source, selectors.EVENT_READ)
            while not self._is_over():
                is_troubled = False
                self._now_s = self._settings.clock()  # once: what is due by a later reading would wake nobody
                try:
                    self._handle_signals()
                    self._handle_control()
                    self._settle_acks()
                    self._reap()
                    self._end_hung()
                    self.controls.advance()
                    self._dispatch()
                    self._confirm_target()
                    self._publisher.show_if_due(self._now_s)
                except (ShardloadError, OSError) as error:
                    self._stop(error=reason_to_stop(error))
                    is_troubled = True  # what the verbs after it would have heeded wakes nobody again
                if not self._is_over():
                    selector.select(AFTER_ERROR_S if is_troubled else self._idle_s())
        if self.ending is None:
            self._tell_ready()
        self.controls.break_off("the job has ended")
        self._publisher.show_end(self.ending)

    def _is_over(self) -> bool:
        if self.ending is None:
            return self._is_confirmed
        is_late = self._settings.clock() - self.ending.since_s >= STOP_GRACE_S
        return self._pool.is_gone or is_late or self.ending.at_once

    def _idle_s(self) -> float | None:
        """Seconds until something is due, 0 if its time has come; None: until something happens."""
        due = self._pool.due_s(self._now_s)
        if self.ending is not None:
            due.append(self.ending.since_s + STOP_GRACE_S)
        elif (show_s := self._publisher.due_s()) is not None:
            due.append(show_s)
        if self._is_all_acknowledged():
            due.append(self._confirmation.not_before_s)
        if not self._tracker.is_committed:
            due.append(self._clock_noted_s + COMMIT_AT_LAST_S)
        if (look_s := self._watchdog.due_s()) is not None:
            due.append(look_s)
        return max(0.0, min(due) - self._now_s) if due else None

    def _handle_signals(self) -> None:
        for number in self._context.signals.drain():
            order = order_of_signal(number, self.controls.workers, stops_at_hangup=self._settings.stops_at_hangup)
            if order is not None:
                _log.info("%s: %s", signal.Signals(number).name, order.verb)
                self._apply_order(order, Silent(), number)

    def _handle_control(self) -> None:
        for words, answer in self._context.control.drain():
            try:
                order = parse_order(words)
            except ValueError as error:
                answer.refuse(str(error))
                continue
            _log.info("order: %s", words)
            self._apply_order(order, answer)

    def _apply_order(self, order: Order, answer: Answer, signal_number: int = 0) -> None:
        if order.verb in ("stop", "stop-now"):
            answer.done(self._stop_as_asked(signal_number, at_once=order.verb == "stop-now"))
        elif order.verb == "reopen-log":
            self._settings.reopen_log()
        elif order.verb == "log-status":
            _log.info("status: %s", describe(self._publisher.progress()))
        elif self.ending is not None:
            answer.refuse("the job is stopping")
        else:
            if order.verb == "reload":
                self._read_limits()
            if order.verb == "unpause":
                self._trouble_since_s = None
            self.controls.apply(order, answer)
            self._publisher.is_due_now()

    def _stop_as_asked(self, signal_number: int, *, at_once: bool) -> str:
        """End in order, or at once, which a second INT means too. What is done about it, in words."""
        self._interrupts += signal_number == signal.SIGINT
        at_once = at_once or self._interrupts > 1
        if self.ending is None or at_once:
            who = signal.Signals(signal_number).name if signal_number else "asked to stop"
            told = "leaving at once" if at_once else "finishing the batches in hand (INT twice, or stop --now: at once)"
            self._say(f"{who}: {told}")
        self._stop(signal_number=signal_number, at_once=at_once)
        return "stopping at once" if at_once else "stopping: the batches in hand are finished"

    def _stop(self, signal_number: int = 0, error: ShardloadError | None = None, *, at_once: bool = False) -> None:
        """Take back what nobody has begun, and have the workers leave after the batch in hand, or at once."""
        at_once = at_once or isinstance(error, IpcError)  # what the workers still do cannot be heard
        if self.ending is not None:
            self.ending.at_once |= at_once
            return
        self.ending = Ending(self._now_s, signal_number, error, at_once)
        if error is not None:
            _log.error("%s", error)
        self.controls.break_off("the job is stopping")
        with suppress(ShardloadError):  # the queue is gone, which stops the workers as well
            for number in range(len(self._pool.slots)):
                self._recall(number)
        self._pool.stop()

    def _read_limits(self) -> None:
        limits, told = self._settings.read_limits()
        if told:
            self._say(told)
        if limits is not None:
            if limits.workers != self.controls.workers:
                self.controls.scale(limits.workers, Silent())
            if limits.rate_rows != self._ipc.board.rate():
                self.controls.set_rate(limits.rate_rows)

    def _settle_acks(self) -> None:
        with suppress(BlockingIOError):  # nobody rang: a look does not hurt
            os.read(self._context.bell, 4096)
        for ack in self._ipc.acks.receive_all():
            slot = self._pool.slots[ack.slot]
            slot.has_spoken, slot.bad_starts = True, 0
            task = self._tracker.dispatcher.acknowledged(ack)
            is_plain = self._tracker.is_plain(ack, task)
            told = [] if is_plain else self._context.directory.take_report(ack.range_id, ack.attempt)
            if task is None:
                _log.warning("an ack of attempt %d is out of date", ack.attempt, extra={"range_id": ack.range_id})
            else:
                self._note_outcome(ack, slot, told)
                self._tracker.settle(ack, task, told)
        if self._now_s - self._clock_noted_s >= (NOTE_CLOCK_EVERY_S if self._tracker.is_committed else COMMIT_AFTER_S):
            self._clock_noted_s = self._now_s
            self._context.note_clock(self._now_s - self._context.started_s)

    def _tell_ready(self) -> None:
        if not self._is_ready:
            self._is_ready = True
            self._settings.on_ready()

    def _note_outcome(self, ack: Ack, slot: Slot, told: list[SetAside]) -> None:
        """How the slot fares with its servers: success ends its waiting, a loss prolongs it, up to giving up."""
        if ack.outcome is Outcome.DONE:
            slot.losses = 0
            slot.is_up = True
            self._trouble_since_s = None
        elif ack.outcome in (Outcome.UNREACHABLE, Outcome.BROKEN_OFF, Outcome.CROWDED):
            if self.ending is None:  # else all is taken back, and the STOP stays
                self._recall(ack.slot)
            reason = told[-1].reason if told else "no reason given"
            if slot.wait_after_loss(self._now_s) and slot.losses == 1:
                self._say(f"worker {ack.slot}: {reason}; trying again")
            if ack.outcome is Outcome.CROWDED and self.ending is None:
                self._watchdog.note_up()
                self.controls.make_do(reason)
            self._consider_giving_up(reason)

    def _consider_giving_up(self, reason: str) -> None:
        now_s, rows = self._now_s, self._publisher.progress().rows
        if self._trouble_since_s is None or rows > self._rows_at_trouble:  # another worker gets on
            self._trouble_since_s, self._rows_at_trouble = now_s, rows
        if backoff.is_hopeless(now_s, self._trouble_since_s, self._settings.give_up_after_s):
            raise GaveUp(
                f"nothing has succeeded for {self._settings.give_up_after_s:g} s, the last reason: {reason}",
                "mend it, then resume",
            )

    def _reap(self) -> None:
        for death in self._pool.reap():
            self._settle_acks()  # what it still said counts
            self._handle_death(death)

    def _handle_death(self, death: Death) -> None:
        """The range in a dead worker's hand goes back with a mark, those that Redis had not confirmed yet without, and
        those that it had not begun as if never sent."""
        was_orderly = not death.status and (death.was_asked or self.ending is not None)
        if was_orderly:
            _log.info("worker %d (pid %d) left as it was asked", death.slot, death.pid)
        else:
            self._say(f"worker {death.slot} (pid {death.pid}) {death.words}")
            self._context.note_trouble(f"worker {death.slot} (pid {death.pid}) {death.words}")
        self._recall(death.slot)
        for task, was_in_hand in self._tracker.dispatcher.lost(death.slot, death.range_id):
            self._tracker.fail(task, f"its worker {death.words}", is_blamed=was_in_hand)
        if self.ending is None and not was_orderly:
            self._pool.note_start(death, self._now_s)

    def _end_hung(self) -> None:
        for number, words in self._watchdog.hung(self._now_s):
            self._say(f"worker {number} (pid {self._pool.slots[number].pid}) {words}: it is killed and replaced")
            self._pool.kill(number)

    def _recall(self, number: int) -> None:
        """Take back what the slot has not received yet. A STOP among it is sent again: it still holds."""
        for task in reversed(self._ipc.tasks.take_back(number)):
            if task in self._tracker.dispatcher.held(number):
                self._tracker.dispatcher.take_from(number, task)
        if self._pool.slots[number].is_leaving:
            self._ipc.tasks.send_stop(number)

    def _dispatch(self) -> None:
        """Workers for what is to do, and ranges for the workers that have credit."""
        if self.ending is not None:
            return
        now_s, workers = self._now_s, self.controls.workers
        wanted = min(workers, self._tracker.dispatcher.open_ranges)
        self._pool.staff(workers, wanted, now_s)
        slots = [] if self.controls.is_paused else self._pool.slots[:workers]
        granted = [self._tracker.dispatcher.next_tasks(n, slot.most_ranges(now_s)) for n, slot in enumerate(slots)]
        self._publisher.write_board()  # before a worker can begin a range, and show it in the place of a settled one
        for number, tasks in enumerate(granted):
            for task in tasks:
                self._ipc.tasks.send(number, task)
        if not self._is_ready and self._watchdog.is_up(wanted):
            self._tell_ready()

    def _confirm_target(self) -> None:
        """When every range is acknowledged: is the Redis that confirmed them still the one that runs?"""
        if not self._is_all_acknowledged() or self._now_s < self._confirmation.not_before_s:
            return
        try:
            target = self._confirmation.ask(self._settings.clock)
        except TargetLost as error:
            if isinstance(error, TargetFull):
                self._pool.renew()  # the workers have connections, and nothing to do
            self._consider_giving_up(str(error))
            return
        self._tracker.note_epoch(target.epoch)
        if self._tracker.dispatcher.open_ranges:
            self._dispatch()
            return
        self._is_confirmed = True
        for doubt in self._confirmation.doubts(target, self._tracker.totals.counts.keys_written):
            self._say(f"warning: {doubt}")
            self._context.note_trouble(doubt)

    def _is_all_acknowledged(self) -> bool:
        return self.ending is None and not self._tracker.dispatcher.open_ranges

    def _say(self, text: str) -> None:
        _log.warning("%s", text)
        self._publisher.note(text)
