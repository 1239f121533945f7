"""Starting a daemon, as its launcher sees it: with real forks and real signals."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from shardload.process import Launch, Readiness, SignalInbox, launch, start_time
from tests.harness import wait_until

STOPS = (signal.SIGINT, signal.SIGTERM)
BOUND_S = 20
"""How long a daemon waits for a signal that has to come."""


def launched(tmp_path: Path, body: Callable[[Readiness], int]) -> Launch:
    """Launch from this test's process, and check that its handlers and descriptors are as before."""
    before = [signal.getsignal(number) for number in STOPS]
    open_before = len(os.listdir("/dev/fd"))  # noqa: PTH208  # a list of numbers, not of paths
    said = launch(body, tmp_path / "log", "/", keep=(), stops=STOPS)
    assert [signal.getsignal(number) for number in STOPS] == before
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()
    assert len(os.listdir("/dev/fd")) == open_before  # noqa: PTH208
    return said


def wait_to_be_killed(readiness: Readiness) -> int:
    """A daemon's body without a handler: SIGTERM ends it."""
    signal.sigtimedwait([signal.SIGUSR1], BOUND_S)
    readiness.failed("nothing came", "", 1)
    return 1


def test_ready(tmp_path: Path) -> None:
    """The daemon has its own pid, session and handlers, no blocked signal and no descriptor of the launcher; its output
    goes to the log."""
    reading, writing = os.pipe()
    launchers = os.getsid(0)

    def body(readiness: Readiness) -> int:
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        kept = [name for name in (reading, writing) if Path(f"/dev/fd/{name}").exists()]
        is_default = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        os.write(1, f"{os.getpid()} {os.getsid(0) != launchers} {is_default} {mask} {kept}\n".encode())
        readiness.ready()
        return 0

    said = launched(tmp_path, body)
    assert said.failure is None
    assert (tmp_path / "log").read_text() == f"{said.pid} True True set() []\n"
    os.close(writing)
    os.close(reading)


def test_failed(tmp_path: Path) -> None:
    """The launcher gets the failure's message, hint and exit code."""

    def body(readiness: Readiness) -> int:
        readiness.failed("no queue", "see ipcs", 3)
        return 3

    assert launched(tmp_path, body).failure == ("no queue", "see ipcs", 3)


def test_dead(tmp_path: Path) -> None:
    """The daemon exited without sending anything."""
    failure = launched(tmp_path, lambda readiness: 0).failure
    assert failure == ("the daemon died before it was ready", "see the job's log", 3)


@pytest.mark.parametrize("number", STOPS)
def test_a_signal_is_passed_on(tmp_path: Path, number: signal.Signals) -> None:
    """Each signal that the launcher gets is sent to the daemon as TERM; the launcher waits for its answer."""
    launcher = os.getpid()

    def body(readiness: Readiness) -> int:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        for _ in range(2):
            os.kill(launcher, number)
            if signal.sigtimedwait([signal.SIGTERM], BOUND_S) is None:
                readiness.failed("nothing came", "", 1)
                return 1
        readiness.failed("stopped", "", 128 + number)
        return 0

    assert launched(tmp_path, body).failure == ("stopped", "", 128 + number)


def test_a_signal_at_the_first_moment_is_the_reason(tmp_path: Path) -> None:
    """A signal kills the daemon before it has a handler; the launcher gives that as the reason."""
    launcher = os.getpid()

    def body(readiness: Readiness) -> int:
        os.kill(launcher, signal.SIGINT)
        return wait_to_be_killed(readiness)

    said = launched(tmp_path, body)
    assert said.failure == ("stopped by SIGINT", "", 130)
    wait_until(lambda: start_time(said.pid) == 0, "it is gone")


def test_a_signal_before_the_daemon_is_known_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal that comes before the launcher knows the daemon's pid is sent when it knows it."""
    launcher = os.getpid()
    reading, writing = os.pipe()
    drain, chdir = SignalInbox.drain, os.chdir

    def tell(inbox: SignalInbox) -> list[int]:
        numbers = drain(inbox)
        os.write(writing, bytes(numbers))
        return numbers

    def hold_up(directory: str) -> None:
        os.kill(launcher, signal.SIGTERM)
        assert select.select([reading], [], [], BOUND_S)[0]
        chdir(directory)

    with monkeypatch.context() as patch:
        patch.setattr(SignalInbox, "drain", tell)
        patch.setattr(os, "chdir", hold_up)
        assert launched(tmp_path, wait_to_be_killed).failure == ("stopped by SIGTERM", "", 143)
    os.close(writing)
    os.close(reading)


def test_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    """The launcher gets an error; no daemon is started, and no descriptor is left open."""
    log = tmp_path / "log"
    log.mkdir()
    said = launched(tmp_path, wait_to_be_killed)
    assert said.pid == 0
    assert said.failure is not None
    assert (said.failure[0], said.failure[2]) == (f"{log} is not the type of file that belongs there", 2)
