"""The orders that a running job accepts: as lines in the control FIFO, and as signals. Pure."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from shardload.model.limits import MOST_RATE_ROWS, MOST_WORKERS

Verb = Literal["stop", "stop-now", "pause", "unpause", "scale", "rate", "reload", "reopen-log", "log-status"]
_PLAIN: dict[str, Verb] = {
    "stop": "stop", "stop-now": "stop-now", "pause": "pause", "unpause": "unpause", "reload": "reload",
}  # fmt: skip


STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
# The other signals that a run handles; the key says whether it belongs to a terminal. There TTIN and TTOU keep their
# default action: with a handler, a write of a background job (stty tostop) would become a busy loop.
_EVERYWHERE = (signal.SIGCHLD, signal.SIGUSR1, signal.SIGUSR2)
CONTROL_SIGNALS = {True: _EVERYWHERE, False: (*_EVERYWHERE, signal.SIGTTIN, signal.SIGTTOU)}


@dataclass(frozen=True)
class Order:
    """One order. `number` is how many workers `scale` wants, or how many rows a second `rate` allows (0: no limit)."""

    verb: Verb
    number: int = 0


@dataclass(frozen=True)
class Limits:
    """The settings that can change while a job runs. `rate_rows` is in rows a second; 0: no limit."""

    workers: int
    rate_rows: int = 0


class Answer(Protocol):
    """Sends answers to whoever gave an order."""

    def wait(self, text: str) -> None:
        """Say that the order is accepted and under way."""
        ...

    def done(self, text: str) -> None:
        """Say that the order is carried out."""
        ...

    def refuse(self, text: str) -> None:
        """Say that the order will not be carried out, and why."""
        ...


def parsed(told: Iterable[tuple[str, Answer]]) -> Iterator[tuple[str, Order, Answer]]:
    """The orders in these words, with the words; what is no order is refused."""
    for words, answer in told:
        try:
            order = parse_order(words)
        except ValueError as error:
            answer.refuse(str(error))
            continue
        yield words, order, answer


def parse_order(words: str) -> Order:
    """The order in a line of the control FIFO. ValueError, with a text for a person, if it is not valid."""
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
    """The order that a signal gives to a job with so many workers; None if it gives none.

    With `stops_at_hangup` (the job belongs to a terminal), a hang-up stops the job. Else it means reload.
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
