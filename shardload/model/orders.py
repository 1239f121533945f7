"""What a running job can be asked, in words: the control FIFO's lines and the signals mean the same orders. Pure."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Literal, Protocol

from shardload.model.limits import MOST_RATE_ROWS, MOST_WORKERS

Verb = Literal["stop", "stop-now", "pause", "unpause", "scale", "rate", "reload", "reopen-log", "log-status"]
_PLAIN: dict[str, Verb] = {
    "stop": "stop", "stop-now": "stop-now", "pause": "pause", "unpause": "unpause", "reload": "reload",
}  # fmt: skip


STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
# What a run listens to beside the stop signals, by whether it belongs to a terminal. There TTIN and TTOU keep the
# meaning that the kernel gives them: a handler would turn a write of a background job (stty tostop) into a busy loop.
_EVERYWHERE = (signal.SIGCHLD, signal.SIGUSR1, signal.SIGUSR2)
CONTROL_SIGNALS = {True: _EVERYWHERE, False: (*_EVERYWHERE, signal.SIGTTIN, signal.SIGTTOU)}


@dataclass(frozen=True)
class Order:
    """One order. `number` is the workers of `scale`, or the rows a second of `rate` (0: no limit)."""

    verb: Verb
    number: int = 0


@dataclass(frozen=True)
class Limits:
    """What can be changed while a job runs. `rate_rows` 0: no limit."""

    workers: int
    rate_rows: int = 0


class Answer(Protocol):
    """Where the one who gave an order hears of it."""

    def wait(self, text: str) -> None:
        """It was understood, and is under way."""
        ...

    def done(self, text: str) -> None:
        """It is carried out."""
        ...

    def refuse(self, text: str) -> None:
        """It will not be carried out."""
        ...


def parse_order(words: str) -> Order:
    """The order that a line says. ValueError, with what is accepted, if it says none."""
    match words.split():
        case [word] if word in _PLAIN:
            return Order(_PLAIN[word])
        case ["scale", number]:
            return Order("scale", _within(number, MOST_WORKERS, "workers"))
        case ["rate", "off"]:
            return Order("rate", 0)
        case ["rate", number]:
            return Order("rate", _within(number, MOST_RATE_ROWS, "rows a second, or off"))
    raise ValueError(f"no such order: {words[:40]!r}")


def _within(number: str, most: int, what: str) -> int:
    if not (number.isascii() and number.isdecimal() and 1 <= int(number[:20]) <= most):
        raise ValueError(f"should be 1 to {most:,} {what}, not {number[:40]!r}")
    return int(number)


def order_of_signal(number: int, workers: int, *, stops_at_hangup: bool) -> Order | None:
    """What a signal asks of a job with so many workers. None for one that asks nothing of it.

    A hang-up stops a job that belongs to a terminal; to any other it means what it means to daemons: reload.
    """
    if number == signal.SIGHUP:
        return Order("stop" if stops_at_hangup else "reload")
    if number in (signal.SIGTTIN, signal.SIGTTOU):
        wanted = workers + (1 if number == signal.SIGTTIN else -1)
        return Order("scale", wanted) if 1 <= wanted <= MOST_WORKERS else None
    plain: dict[int, Order] = {
        signal.SIGTERM: Order("stop"),
        signal.SIGINT: Order("stop"),
        signal.SIGQUIT: Order("stop-now"),
        signal.SIGUSR1: Order("reopen-log"),
        signal.SIGUSR2: Order("log-status"),
    }
    return plain.get(number)
