"""Fork, reap, signals and identities, with real processes."""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, field_serializer

from shardload.errors import StoppedBySignal
from shardload.process import (
    SignalInbox,
    describe_death,
    die_with_parent,
    fork_child,
    is_alive,
    reap_all,
    set_title,
    signals_blocked,
    spawn,
    start_time,
    stop_by_exception,
)
from tests.harness import processes_named, wait_until

NEEDS_PROC = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")


@pytest.fixture
def children() -> Iterator[list[int]]:
    """A list of pids that are killed and reaped after the test."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            continue


def forked(children: list[int], body: Callable[[], int]) -> int:
    """Fork a child, which is ended after the test."""
    children.append(fork_child(body, []))
    return children[-1]


def exit_code(pid: int) -> int:
    """Wait for a child; its exit code, or the negative number of the signal that killed it."""
    ended: tuple[int, int] = wait_until(lambda: (found := os.waitpid(pid, os.WNOHANG))[0] and found, "it ends")
    return os.waitstatus_to_exitcode(ended[1])


def pausing() -> int:
    """A body that waits for signals."""
    while True:
        signal.pause()


def told(children: list[int], body: Callable[[], Any]) -> Any:
    """What a child has written to the pipe, as JSON."""
    reading, writing = os.pipe()

    def tell() -> int:
        os.write(writing, json.dumps(body()).encode())
        return 0

    pid = forked(children, tell)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    assert exit_code(pid) == 0
    return json.loads(answer)


# ---- children


@pytest.mark.parametrize("code", [0, 1, 42])
def test_a_child_leaves_with_its_bodys_result(children: list[int], code: int) -> None:
    """The body's result is the exit code."""
    assert exit_code(forked(children, lambda: code)) == code


def test_a_child_that_raises_leaves_with_70(children: list[int], capfd: pytest.CaptureFixture[str]) -> None:
    """The child prints a traceback, exits with 70, and runs neither the caller's code nor exit handlers."""

    def crash() -> int:
        raise RuntimeError("on purpose")

    def noticed() -> None:
        os.write(2, b"an exit handler ran")

    atexit.register(noticed)
    try:
        assert exit_code(forked(children, crash)) == 70
    finally:
        atexit.unregister(noticed)
    shown = capfd.readouterr().err
    assert "RuntimeError: on purpose" in shown
    assert "an exit handler ran" not in shown


def test_a_childs_handlers(children: list[int]) -> None:
    """The child ignores INT, HUP and QUIT; all other signals have the default handlers, whatever the parent had."""
    names = ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGCHLD", "SIGUSR1", "SIGUSR2"]
    before = {name: signal.signal(getattr(signal, name), lambda *_: None) for name in names}
    try:
        found = told(children, lambda: {name: int(signal.getsignal(getattr(signal, name))) for name in names})  # type: ignore[arg-type]
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
    default, ignored = int(signal.SIG_DFL), int(signal.SIG_IGN)
    assert found == dict.fromkeys(names, default) | dict.fromkeys(["SIGINT", "SIGHUP", "SIGQUIT"], ignored)


def test_a_terminals_signals_do_not_end_a_child(children: list[int]) -> None:
    """INT, HUP and QUIT do nothing; TERM ends the child."""
    pid = forked(children, pausing)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        os.kill(pid, number)
    assert is_alive(pid, start_time(pid))
    os.kill(pid, signal.SIGTERM)
    assert exit_code(pid) == -signal.SIGTERM


def test_a_child_can_be_signalled(children: list[int]) -> None:
    """The signals that were blocked around the fork are unblocked in parent and child."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    blocked = told(children, lambda: sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])))
    assert blocked == sorted(before)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_a_child_does_not_ring_its_parents_inbox(children: list[int]) -> None:
    """A signal to a child with its own handler writes nothing to the pipe that the child has inherited."""

    def signalling_itself() -> int:
        signal.signal(signal.SIGUSR1, lambda *_: None)
        os.kill(os.getpid(), signal.SIGUSR1)
        return 0

    inbox = SignalInbox([signal.SIGUSR1])
    try:
        assert exit_code(forked(children, signalling_itself)) == 0
        assert inbox.drain() == []
    finally:
        inbox.close()


def test_a_child_closes_the_given_descriptors(children: list[int]) -> None:
    """The child closes these descriptors only; the parent keeps them."""
    first, second = os.pipe()

    def are_open() -> list[bool]:
        found = []
        for descriptor in (first, second):
            try:
                os.fstat(descriptor)
                found.append(True)
            except OSError:
                found.append(False)
        return found

    pid = fork_child(lambda: 10 * are_open()[0] + are_open()[1], [first])
    children.append(pid)
    assert exit_code(pid) == 1
    assert are_open() == [True, True]
    os.close(first)
    os.close(second)


def test_reap_all(children: list[int]) -> None:
    """Every child that has ended is reaped once, with its status; running children are not waited for."""
    alive = forked(children, pausing)
    pids = {forked(children, lambda code=code: code): code for code in (0, 3, 70)}  # type: ignore[misc]
    reaped: dict[int, int] = {}

    def all_reaped() -> bool:
        for pid, status in reap_all():
            assert pid not in reaped
            reaped[pid] = os.waitstatus_to_exitcode(status)
        return len(reaped) >= 3

    wait_until(all_reaped, "three have ended")
    assert reaped == pids
    assert reap_all() == []
    assert is_alive(alive, start_time(alive))


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, "left with exit code 0"),
        (1 << 8, "left with exit code 1"),
        (70 << 8, "crashed with a Python error (see the log)"),
        (signal.SIGTERM, "was killed by SIGTERM"),
        (signal.SIGKILL, "was killed by SIGKILL (by hand, or out of memory: see dmesg)"),
        (signal.SIGSEGV, "was killed by SIGSEGV (a fault in native code: please report it)"),
        (signal.SIGSEGV | 0x80, "was killed by SIGSEGV (a fault in native code: please report it)"),
        (signal.SIGBUS, "was killed by SIGBUS (a fault in native code, or a full disk under a mapped file)"),
        (40, "was killed by signal 40"),
    ],
)
def test_a_death_in_words(status: int, words: str) -> None:
    """The text names the signal and its usual cause."""
    assert describe_death(status) == words


def test_a_title_is_seen(children: list[int]) -> None:
    """Other processes see the title in the list of processes."""

    def titled() -> int:
        set_title("shardload: test of titles #7")
        return pausing()

    pid = forked(children, titled)
    wait_until(lambda: processes_named("shardload: test of titles #7") == [pid], "the title is there")


# ---- identities


def test_this_process_is_alive() -> None:
    """A process with the right pid and start time is alive."""
    start = start_time(os.getpid())
    assert start > 0
    assert is_alive(os.getpid(), start)


@pytest.mark.parametrize(
    ("pid", "wrong"), [(os.getpid(), 1), (os.getpid(), -1), (1, 5)], ids=["1 more", "1 less", "pid 1"]
)
def test_another_start_is_another_process(pid: int, wrong: int) -> None:
    """With another start time the pid belongs to another process."""
    assert not is_alive(pid, start_time(pid) + wrong)


@pytest.mark.parametrize(("pid", "start"), [(0, 0), (0, 5), (-1, 5), (2**22 + 1, 0), (2**22 + 1, 5)])
def test_no_process(pid: int, start: int) -> None:
    """A pid without a process, and a pid that was not recorded, are not alive."""
    assert not is_alive(pid, start)


@NEEDS_PROC
def test_a_zombie_counts_as_gone(children: list[int]) -> None:
    """A zombie counts as gone, before and after it is reaped."""
    pid = forked(children, pausing)
    start = start_time(pid)
    assert is_alive(pid, start)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: ") Z " in Path(f"/proc/{pid}/stat").read_text(), "it is a zombie")
    assert start_time(pid) == 0
    assert not is_alive(pid, start)
    os.waitpid(pid, 0)
    assert start_time(pid) == 0


def named(children: list[int], name: bytes) -> int:
    """A child with this name in the kernel."""
    ready, writing = os.pipe()

    def body() -> int:
        Path("/proc/self/comm").write_bytes(name)
        os.write(writing, b".")
        return pausing()

    pid = forked(children, body)
    os.close(writing)
    assert os.read(ready, 1) == b"."
    os.close(ready)
    return pid


@NEEDS_PROC
@pytest.mark.parametrize("name", [b"a b", b"a) Z 1 2 (b", b")", b"((("])
def test_a_name_does_not_confuse(children: list[int], name: bytes) -> None:
    """Spaces and brackets in a process's name are not read as its state."""
    pid = named(children, name)
    assert is_alive(pid, start_time(pid))


@NEEDS_PROC
def test_a_name_that_is_not_text(children: list[int]) -> None:
    """The kernel cuts names after 15 bytes, also in the middle of a character."""
    pid = named(children, b"\xc3")
    assert is_alive(pid, start_time(pid))


# ---- dying with the parent


@NEEDS_PROC
def test_a_child_dies_with_its_parent(children: list[int]) -> None:
    """When the parent gets kill -9, the kernel kills the child."""
    reading, writing = os.pipe()

    def grandchild(parent: int) -> int:
        os.write(writing, b"%d %d\n" % (die_with_parent(parent), os.getpid()))
        return pausing()

    def parent() -> int:
        me = os.getpid()
        fork_child(lambda: grandchild(me), [])
        return pausing()

    pid = forked(children, parent)
    answer, orphan = map(int, os.read(reading, 100).split())
    start = start_time(orphan)
    assert answer == 1
    assert is_alive(orphan, start)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    wait_until(lambda: not is_alive(orphan, start), "it has died too")
    os.close(reading)
    os.close(writing)


def test_a_parent_that_is_dead_already_is_noticed(children: list[int]) -> None:
    """If the parent died before the request, the result is False, and the child exits itself."""
    reading, writing = os.pipe()

    def grandchild(parent: int) -> int:
        while os.getppid() == parent:
            os.sched_yield()
        os.write(writing, b"%d" % die_with_parent(parent))
        return 0

    def parent() -> int:
        me = os.getpid()
        fork_child(lambda: grandchild(me), [])
        return 0

    assert exit_code(forked(children, parent)) == 0
    os.close(writing)
    assert os.read(reading, 10) == b"0"
    os.close(reading)


# ---- signals


def test_signals_are_noted_in_order() -> None:
    """Each signal is read exactly once, in order; the descriptor is readable until all are read."""
    sent = [signal.SIGUSR1, signal.SIGUSR2, signal.SIGUSR1, signal.SIGWINCH, signal.SIGUSR1]
    inbox = SignalInbox({signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH})
    try:
        assert inbox.drain() == []
        assert select.select([inbox], [], [], 0)[0] == []
        for number in sent:
            os.kill(os.getpid(), number)
        assert select.select([inbox], [], [], 5)[0] == [inbox]
        assert inbox.drain() == [int(number) for number in sent]
        assert inbox.drain() == []
    finally:
        inbox.close()


def test_a_signal_wakes_a_selector() -> None:
    """A signal ends a wait that has begun already."""
    inbox = SignalInbox([signal.SIGALRM])
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        started_s = time.monotonic()
        assert select.select([inbox], [], [], 10)[0] == [inbox]
        assert time.monotonic() - started_s < 5
        assert inbox.drain() == [signal.SIGALRM]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        inbox.close()


def test_a_flood_of_signals_does_not_block() -> None:
    """With more signals than the pipe holds, the sender goes on, and those that fit are kept."""
    inbox = SignalInbox([signal.SIGUSR1])
    try:
        for _ in range(70_000):
            os.kill(os.getpid(), signal.SIGUSR1)
        assert len(inbox.drain()) >= 4096
        os.kill(os.getpid(), signal.SIGUSR1)
        assert inbox.drain() == [signal.SIGUSR1]
    finally:
        inbox.close()


def test_an_inbox_restores_everything() -> None:
    """Handlers, wake-up descriptor and open descriptors are as before."""

    def mine(*_: object) -> None:
        """A handler that was set before."""

    before = signal.signal(signal.SIGUSR1, mine)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    try:
        inbox = SignalInbox([signal.SIGUSR1, signal.SIGUSR2])
        assert signal.getsignal(signal.SIGUSR1) is not mine
        descriptors = inbox.descriptors()
        inbox.close()
        assert signal.getsignal(signal.SIGUSR1) is mine
        assert signal.getsignal(signal.SIGUSR2) == signal.SIG_DFL
        assert signal.set_wakeup_fd(-1) == writing
        for descriptor in descriptors:
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(descriptor)
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGUSR1, before)
        os.close(reading)
        os.close(writing)


def test_what_is_ignored_stays_ignored() -> None:
    """A signal that nohup ignores stays ignored, by the inbox and by the exception."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        inbox = SignalInbox([signal.SIGHUP, signal.SIGUSR1])
        os.kill(os.getpid(), signal.SIGHUP)
        assert inbox.drain() == []
        inbox.close()
        with stop_by_exception([signal.SIGHUP]):
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_stops_by_an_exception(number: signal.Signals) -> None:
    """A signal raises StoppedBySignal; afterwards the former handlers are set."""
    before = signal.getsignal(number)
    with pytest.raises(StoppedBySignal) as caught, stop_by_exception([number]):
        os.kill(os.getpid(), number)
    assert caught.value.exit_code == 128 + number
    assert signal.getsignal(number) == before


def test_a_dropped_exception_is_raised_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python drops what a finaliser raises: the body runs on, and the exception is raised at its end."""
    dropped: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", dropped.append)

    class Finalised:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    ran_on = []

    def body() -> None:
        with stop_by_exception([signal.SIGTERM]):
            Finalised()
            ran_on.append(True)

    with pytest.raises(StoppedBySignal) as caught:
        body()
    assert len(dropped) == 1
    assert ran_on
    assert caught.value.exit_code == 143


def test_an_exception_that_a_library_wraps_is_still_the_signal() -> None:
    """pydantic wraps an exception that is raised in a serializer; the signal is raised all the same."""

    class Spec(BaseModel):
        path: str

        @field_serializer("path")
        def as_text(self, path: str) -> str:
            os.kill(os.getpid(), signal.SIGTERM)
            return path

    with pytest.raises(StoppedBySignal) as caught, stop_by_exception([signal.SIGTERM]):
        Spec(path="/").model_dump_json()
    assert caught.value.exit_code == 143


def test_an_error_without_a_signal_is_itself() -> None:
    """Without a signal an error stays as it is."""
    with pytest.raises(ValueError, match="mine"), stop_by_exception([signal.SIGTERM]):
        raise ValueError("mine")


def test_a_signal_while_the_handlers_are_set_leaves_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal that comes while handlers are being set is delivered when all are set."""
    numbers = [signal.SIGTERM, signal.SIGHUP]
    before = [signal.getsignal(number) for number in numbers]
    really = signal.signal
    came: list[int] = []

    def signal_at_once(number: int, handler: Any) -> Any:
        previous = really(number, handler)
        if not came:
            came.append(number)
            os.kill(os.getpid(), signal.SIGTERM)
        return previous

    monkeypatch.setattr(signal, "signal", signal_at_once)
    with pytest.raises(StoppedBySignal), stop_by_exception(numbers):
        raise AssertionError("it should not have come so far")
    assert [signal.getsignal(number) for number in numbers] == before
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()


def test_blocked_signals_come_afterwards() -> None:
    """Signals wait until the end of the block, and the former mask is restored."""
    masks = []

    def body() -> None:
        with stop_by_exception([signal.SIGTERM]):
            with signals_blocked() as mask:
                os.kill(os.getpid(), signal.SIGTERM)
                masks.append(mask)
            raise AssertionError("it should have been delivered by now")

    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    try:
        with pytest.raises(StoppedBySignal):
            body()
        assert masks == [signal.pthread_sigmask(signal.SIG_BLOCK, ())] == [{signal.SIGUSR2}]
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR2])


def test_a_spawned_program_has_the_signals_of_its_parent() -> None:
    """No signal stays blocked in the program; a missing program raises OSError."""
    child = spawn(["grep", "SigBlk", "/proc/self/status"], stdout=subprocess.PIPE)
    assert child.communicate()[0].split() == [b"SigBlk:", b"0000000000000000"]
    with pytest.raises(FileNotFoundError):
        spawn(["no-such-program"])
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()
