"""The coordinator's loop: it dispatches ranges, settles acks, keeps workers alive and writes the journal.

It sleeps in a selector until a signal, an order, a worker's doorbell, the guard's answer or a due time wakes it. It
never touches a row and never waits for a server; the journal is closed around every fork. What it works with is made,
and removed, by `run.py`.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
from collections.abc import Sequence
from contextlib import suppress

from shardload.coordinator.context import Context, Ending, Settings, reason_to_stop
from shardload.coordinator.controls import Controls, Silent
from shardload.coordinator.lookout import Lookout
from shardload.coordinator.patience import Patience
from shardload.coordinator.publisher import Publisher
from shardload.coordinator.returns import Returns
from shardload.coordinator.sentry import Sentry
from shardload.coordinator.watchdog import Watchdog
from shardload.errors import IpcError, NoProcess, ShardloadError, TargetFull, TargetLost
from shardload.model.counts import SetAside
from shardload.model.orders import Answer, Order, order_of_signal, parsed
from shardload.model.tasks import Ack, Outcome
from shardload.reporting.text import describe

NOTE_CLOCK_EVERY_S = 1.0  # a kill -9 may leave so much of a run's time out of the journal
COMMIT_AFTER_S = 0.05  # and its last acks of this time, whose ranges are then done again, while there is work to do,
COMMIT_AT_LAST_S = 0.1  # or of this time, if there is none
STOP_GRACE_S = 5.0  # for workers to finish their current batch; below the 10 s that docker stop grants
AFTER_ERROR_S = 0.05

# A server was lost, or could not be reached.
_LOST = (Outcome.UNREACHABLE, Outcome.CONNECTION_LOST, Outcome.TOO_MANY_CONNECTIONS)

_log = logging.getLogger("shardload.coordinator")


class Coordinator:
    """One run of one job. `ending` says why it ended early, if it did."""

    def __init__(self, settings: Settings, context: Context) -> None:
        self._settings = settings
        self._context = context
        self._tracker, self._pool, self._ipc = context.tracker, context.pool, context.ipc
        self._lookout = Lookout(context.guard, context.tracker)
        self._patience = Patience(settings.give_up_after_s, context.directory.name)
        self._interrupts = 0
        self._is_confirmed = self._is_ready = False
        self._clock_noted_s = self._now_s = context.started_s
        board = context.ipc.board
        self._returns = Returns(context.tracker, self._pool, settings.fence_s)
        self._watchdog = Watchdog(self._pool, board, self._tracker, settings.hung_after_s)
        self.controls = Controls(
            self._pool, board, self._tracker, settings.limits, take_back=self._take_back, say=self._say
        )
        self._publisher = Publisher(
            board, self._tracker, self._pool, self.controls, context.display, started_s=context.started_s
        )
        self._sentry = Sentry(context, self.controls, self._publisher.progress)
        self.ending: Ending | None = None

    def loop(self) -> None:
        """Run until every range is settled and the target still has them, or until something ends the run before."""
        with selectors.DefaultSelector() as selector:
            context = self._context
            for source in (context.signals, context.control, context.bell, context.guard, context.gauges):
                selector.register(source, selectors.EVENT_READ)
            while not self._is_over():
                is_troubled = False
                self._now_s = self._settings.clock()  # read once: everything that is due by it is done in this turn
                try:
                    self._turn()
                except (ShardloadError, OSError) as error:
                    self._stop(error=reason_to_stop(error))
                    is_troubled = True  # the rest of the turn was left out, and nothing would wake the loop for it
                if not self._is_over():
                    selector.select(AFTER_ERROR_S if is_troubled else self._idle_s())
        if self.ending is None:
            self._tell_ready()
        self.controls.break_off("the job has ended")
        self._publisher.show_end(self.ending)

    def _turn(self) -> None:
        """Handle everything that has happened, or is due."""
        self._handle_signals()
        self._handle_orders()
        self._settle_acks()
        self._handle_deaths()
        self._end_hung()
        self.controls.advance()
        if self.ending is None:
            self._sentry.look(self._now_s)
        self._look_at_target()
        self._dispatch()
        self._publisher.show_if_due(self._now_s)

    def _is_over(self) -> bool:
        if self.ending is None:
            return self._is_confirmed
        is_late = self._settings.clock() - self.ending.since_s >= STOP_GRACE_S
        return self._pool.is_gone or is_late or self.ending.at_once

    def _idle_s(self) -> float | None:
        """Seconds until something is due, 0 if something is overdue, None if nothing will be."""
        due = [*self._pool.due_s(self._now_s), *self._returns.due_s()]
        if self.ending is not None:
            due.append(self.ending.since_s + STOP_GRACE_S)
        elif (show_s := self._publisher.due_s()) is not None:
            due.append(show_s)
        if self.ending is None and (look_s := self._lookout.due_s(at_end=self._is_all_acknowledged())) is not None:
            due.append(look_s)
        if self.ending is None and (look_s := self._sentry.due_s()) is not None:
            due.append(look_s)
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

    def _handle_orders(self) -> None:
        for words, order, answer in parsed(self._context.control.drain()):
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
                self._patience.renew()
            self.controls.apply(order, answer)
            self._publisher.is_due_now()

    def _stop_as_asked(self, signal_number: int, *, at_once: bool) -> str:
        """End in order, or at once, as a second INT asks for, too. The result says in words what is done."""
        self._interrupts += signal_number == signal.SIGINT
        at_once = at_once or self._interrupts > 1
        if self.ending is None or at_once:
            who = signal.Signals(signal_number).name if signal_number else "asked to stop"
            told = "leaving at once" if at_once else "finishing the current batches (INT twice, or stop --now: at once)"
            self._say(f"{who}: {told}")
        self._stop(signal_number=signal_number, at_once=at_once)
        return "stopping at once" if at_once else "stopping: the current batches are finished"

    def _stop(self, signal_number: int = 0, error: ShardloadError | None = None, *, at_once: bool = False) -> None:
        """Take back the ranges that nobody has begun, and make the workers leave after their current batch, or at
        once."""
        at_once = at_once or isinstance(error, IpcError)  # no ack could be received any more
        if self.ending is not None:
            self.ending.at_once |= at_once
            return
        self.ending = Ending(self._now_s, signal_number, error, at_once)
        if error is not None:
            _log.error("%s", error)
        self.controls.break_off("the job is stopping")
        with suppress(ShardloadError):  # the queue is gone, which stops the workers as well
            for number in range(len(self._pool.slots)):
                self._take_back(number)
        self._pool.stop()

    def _read_limits(self) -> None:
        limits, told = self._settings.read_limits()
        if told:
            self._say(told)
        if limits is not None:
            self.controls.set_limits(limits)

    def _settle_acks(self) -> None:
        with suppress(BlockingIOError):  # nobody rang: look all the same
            os.read(self._context.bell, 4096)
        for ack in self._ipc.acks.receive_all():
            self._pool.slots[ack.slot].note_spoken()
            task = self._tracker.acknowledged(ack)
            is_plain = self._tracker.is_plain(ack, task)
            report = self._context.directory.reports.of(ack, is_plain=is_plain)
            if task is None:
                _log.warning("an ack of attempt %d is out of date", ack.attempt, extra={"range_id": ack.range_id})
            else:
                self._note_outcome(ack, report.told)
                self._tracker.settle(ack, task, report)
        if self._now_s - self._clock_noted_s >= (NOTE_CLOCK_EVERY_S if self._tracker.is_committed else COMMIT_AFTER_S):
            self._clock_noted_s = self._now_s
            self._context.note_clock(self._now_s - self._context.started_s)

    def _tell_ready(self) -> None:
        if not self._is_ready:
            self._is_ready = True
            self._settings.on_ready()

    def _note_outcome(self, ack: Ack, told: Sequence[SetAside]) -> None:
        """Note how a slot fares with the servers: a success ends its waiting, a loss prolongs it."""
        slot = self._pool.slots[ack.slot]
        if ack.outcome is Outcome.DONE:
            slot.note_done()
            self._patience.renew()
        elif ack.outcome in _LOST:
            if self.ending is None:  # otherwise everything is taken back already, and a STOP has to stay
                self._take_back(ack.slot)
            reason = told[-1].reason if told else "no reason given"
            if slot.note_loss(self._now_s) and slot.losses == 1:
                self._say(f"worker {ack.slot}: {reason}; trying again")
            if ack.outcome is Outcome.TOO_MANY_CONNECTIONS and self.ending is None:
                self._watchdog.note_up()
                self.controls.go_on_with_fewer(reason)
            self._patience.note_trouble(reason, self._now_s, self._publisher.progress().rows)

    def _handle_deaths(self) -> None:
        for death in self._pool.reap():
            self._settle_acks()  # what it said before it died counts
            was_orderly = not death.status and (death.was_asked or self.ending is not None)
            if was_orderly:
                _log.info("worker %d (pid %d) left as it was asked", death.slot, death.pid)
            else:
                self._say(f"worker {death.slot} (pid {death.pid}) {death.words}")
                self._context.note_trouble(f"worker {death.slot} (pid {death.pid}) {death.words}")
            self._take_back(death.slot)
            self._returns.note(death, self._now_s, is_fenced=not was_orderly)
            if not (self.ending or was_orderly):
                self._pool.note_start(death, self._now_s)
        self._returns.settle(self._now_s)

    def _end_hung(self) -> None:
        for number, words in self._watchdog.hung(self._now_s):
            self._say(f"worker {number} (pid {self._pool.slots[number].pid}) {words}: it is killed and replaced")
            self._pool.kill(number)

    def _take_back(self, number: int) -> None:
        """Take back what the slot has not received yet. If a STOP was among it, that is sent again."""
        self._tracker.take_back(number, self._ipc.tasks.take_back(number))
        if self._pool.slots[number].is_leaving:
            self._ipc.tasks.send_stop(number)

    def _dispatch(self) -> None:
        """Start workers for the ranges that are to do, and send ranges to the slots that have credit."""
        if self.ending is not None:
            return
        now_s, workers = self._now_s, self.controls.workers
        wanted = min(workers, self._tracker.open_ranges)
        self._pool.staff(workers, wanted, now_s)
        slots = [] if self.controls.is_paused else self._pool.slots[:workers]
        most = self._settings.credits_
        granted = [self._tracker.next_tasks(number, slot.most_ranges(now_s, most)) for number, slot in enumerate(slots)]
        self._publisher.write_board()  # before a worker can begin a range, and show it in the place of a settled one
        for number, tasks in enumerate(granted):
            for task in tasks:
                self._ipc.tasks.send(number, task.assignment)
        if not self._is_ready and (self._watchdog.is_up(wanted) or self.controls.held_for):
            self._tell_ready()
        self._sentry.tend(now_s)

    def _look_at_target(self) -> None:
        """See whether the target still has what it confirmed; at the end that is the last thing to do."""
        if self.ending is not None:
            return
        try:
            target = self._lookout.look(self._now_s, at_end=self._is_all_acknowledged())
        except (TargetLost, NoProcess) as error:
            if isinstance(error, (TargetFull, NoProcess)):
                self._pool.renew()  # the workers hold connections and processes, and have nothing to do
            self._patience.note_trouble(str(error), self._now_s, self._publisher.progress().rows)
            return
        if target is None:
            return
        self._is_confirmed = True
        for doubt in self._context.guard.doubts(target, self._tracker.totals.counts.keys_written):
            self._say(f"warning: {doubt}")
            self._context.note_trouble(doubt)

    def _is_all_acknowledged(self) -> bool:
        return self.ending is None and not self._tracker.open_ranges

    def _say(self, text: str) -> None:
        _log.warning("%s", text)
        self._publisher.note(text)
