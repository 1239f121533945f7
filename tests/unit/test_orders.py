"""Orders: every accepted form, every refusal, and the orders that signals give."""

from __future__ import annotations

import signal

import pytest

from shardload.model.orders import Order, order_of_signal, parse_order


@pytest.mark.parametrize(
    ("words", "order"),
    [
        ("stop", Order("stop")),
        ("stop-now", Order("stop-now")),
        ("pause", Order("pause")),
        (" unpause ", Order("unpause")),
        ("reload", Order("reload")),
        ("scale 1", Order("scale", 1)),
        ("scale 64", Order("scale", 64)),
        ("rate 1", Order("rate", 1)),
        ("rate 1000000000", Order("rate", 1_000_000_000)),
        ("rate off", Order("rate", 0)),
    ],
)
def test_orders(words: str, order: Order) -> None:
    """Each line gives the order."""
    assert parse_order(words) == order


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("", "no such order: ''"),
        ("explode", "no such order: 'explode'"),
        ("stop now", "no such order"),
        ("log-status", "no such order"),  # signals only
        ("scale", "no such order"),
        ("scale 0", "should be 1 to 64 workers, not '0'"),
        ("scale 65", "should be 1 to 64 workers, not '65'"),
        ("scale -1", "should be 1 to 64 workers"),
        ("scale ٣", "should be 1 to 64 workers"),
        ("scale 1e1", "should be 1 to 64 workers"),
        ("scale " + "9" * 5000, "should be 1 to 64 workers"),
        ("rate 0", "should be 1 to 1,000,000,000 rows a second, or off, not '0'"),
        ("rate fast", "or off, not 'fast'"),
    ],
)
def test_what_is_no_order(words: str, told: str) -> None:
    """The error says what is wrong, or what is accepted."""
    with pytest.raises(ValueError, match=r".*") as caught:
        parse_order(words)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("number", "order"),
    [
        (signal.SIGTERM, Order("stop")),
        (signal.SIGINT, Order("stop")),
        (signal.SIGQUIT, Order("stop-now")),
        (signal.SIGHUP, Order("reload")),
        (signal.SIGUSR1, Order("reopen-log")),
        (signal.SIGUSR2, Order("log-status")),
        (signal.SIGTTIN, Order("scale", 5)),
        (signal.SIGTTOU, Order("scale", 3)),
        (signal.SIGCHLD, None),
    ],
)
def test_signals_mean_orders(number: int, order: Order | None) -> None:
    """The signals of a job with four workers that belongs to no terminal."""
    assert order_of_signal(number, 4, stops_at_hangup=False) == order


def test_a_terminal_that_hangs_up_ends_its_job() -> None:
    """SIGHUP stops a job that belongs to a terminal, and makes a daemon reload."""
    assert order_of_signal(signal.SIGHUP, 4, stops_at_hangup=True) == Order("stop")


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGTTIN, 64), (signal.SIGTTOU, 1)])
def test_there_are_never_too_many_workers_nor_none(number: int, workers: int) -> None:
    """TTIN at the maximum and TTOU at one worker give no order."""
    assert order_of_signal(number, workers, stops_at_hangup=False) is None
