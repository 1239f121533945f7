"""Queues, semaphore and board on the real kernel, with real processes that are stopped and killed."""

from __future__ import annotations

import json
import os
import random
import signal
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sysv_ipc

from shardload.errors import IpcError
from shardload.ipc import (
    AckQueue,
    Board,
    BoardHeader,
    IpcSet,
    Stop,
    TaskQueue,
    WorkerView,
    announce,
    count_recorded,
    create,
    remove_recorded,
)
from shardload.ipc.board import _HELD_RANGES
from shardload.ipc.messages import MESSAGE_BYTES
from shardload.model.counts import COUNT_NAMES, Counts
from shardload.model.limits import CREDITS
from shardload.model.tasks import Ack, Assignment, Outcome
from shardload.process import fork_child
from tests.harness import ipc_objects, wait_until

RUN = 0x1122334455667788
MOST_SLOTS = 64
BOUND_S = 20.0  # far above the board's own time limit

Make = Callable[[int], IpcSet]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """A function that makes objects for so many slots. They are removed after the test."""
    made: list[IpcSet] = []

    def make_one(slots: int) -> IpcSet:
        key_file = tmp_path / f"key{len(made)}"
        key_file.touch()
        made.append(create(key_file, BoardHeader(slots, RUN, os.getpid(), 42)))
        return made[-1]

    yield make_one
    for ipc in made:
        ipc.remove()
        ipc.board.detach()


@pytest.fixture
def ipc(make: Make) -> IpcSet:
    """Objects for three slots."""
    return make(3)


def task(range_id: int = 1, attempt: int = 1) -> Assignment:
    """A range to load."""
    return Assignment(range_id, attempt)


def ack(slot: int = 0, range_id: int = 1) -> Ack:
    """An ack of a done range, with a different number in each count."""
    return Ack(slot, range_id, 2, Outcome.DONE, Counts(1, 2, 3, 4, 2**40, 2**50, 5, 6, 7, 8, 9), 2**60 - 1)


def queue_of(ipc: IpcSet, number: int) -> sysv_ipc.MessageQueue:
    """The kernel's queue: number 0 carries tasks, number 1 acks."""
    return sysv_ipc.MessageQueue(ipc.record["queues"][number]["key"], max_message_size=MESSAGE_BYTES)


def state_of(pid: int) -> str:
    """The state of a process, as the kernel names it: R, S, T, Z ..."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def started(body: Callable[[int], int]) -> int:
    """Fork a child, and wait until its body has written a byte to the descriptor it gets. Returns its pid."""
    reading, writing = os.pipe()
    pid = fork_child(lambda: body(writing), [reading])
    os.close(writing)
    assert os.read(reading, 1) == b"."
    os.close(reading)
    return pid


def ended(pid: int) -> int:
    """Wait for a child's end. Returns its exit code, negative for a signal; kills it after 10 s."""
    deadline_s = time.monotonic() + 10
    while (found := os.waitpid(pid, os.WNOHANG))[0] == 0:
        if time.monotonic() > deadline_s:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise AssertionError("the child did not end")
        os.sched_yield()
    return os.waitstatus_to_exitcode(found[1])


# ---- messages


def test_a_task_reaches_the_slot_it_is_for(ipc: IpcSet) -> None:
    """Each slot gets its own tasks, in the order they were sent, whichever slot receives first."""
    ipc.tasks.send(0, task(1))
    ipc.tasks.send(2, task(2))
    ipc.tasks.send(0, task(3))
    assert ipc.tasks.receive(2) == task(2)
    assert [ipc.tasks.receive(0), ipc.tasks.receive(0)] == [task(1), task(3)]


def test_every_number_fits_into_a_task(ipc: IpcSet) -> None:
    """Ids, attempts and parts may fill their fields."""
    sent = Assignment(2**63 - 1, 2**32 - 1, 2**32 - 1)
    ipc.tasks.send(1, sent)
    assert ipc.tasks.receive(1) == sent


def test_stop_comes_after_what_was_sent_before(ipc: IpcSet) -> None:
    """Only the slot it was sent to gets it."""
    ipc.tasks.send(0, task(1))
    ipc.tasks.send_stop(0)
    ipc.tasks.send(1, task(2))
    assert ipc.tasks.receive(0) == task(1)
    assert ipc.tasks.receive(0) == Stop()
    assert ipc.tasks.receive(1) == task(2)


def test_take_back_empties_one_slot(ipc: IpcSet) -> None:
    """Its tasks come back in order and its STOP is dropped; other slots keep theirs."""
    ipc.tasks.send(0, task(1))
    ipc.tasks.send(1, task(2))
    ipc.tasks.send_stop(0)
    ipc.tasks.send(0, task(3))
    assert ipc.tasks.take_back(0) == [task(1), task(3)]
    assert ipc.tasks.take_back(0) == []
    assert ipc.tasks.receive(1) == task(2)


def test_acks_come_back_whole_and_in_order(ipc: IpcSet) -> None:
    """Acks of every slot come with every field, without waiting."""
    sent = [ack(2, 1), ack(0, 2), ack(1, 2**63 - 1)]
    for one in sent:
        ipc.acks.send(one)
    assert ipc.acks.receive_all() == sent
    assert ipc.acks.receive_all() == []


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_travels(ipc: IpcSet, outcome: Outcome) -> None:
    """Each outcome is received as it was sent."""
    ipc.acks.send(Ack(0, 1, 1, outcome, Counts(), 0))
    assert ipc.acks.receive_all()[0].outcome is outcome


JUNK = [b"", b"x", b"x" * 60, b"x" * 88, b"SHLD" + b"\0" * 56, b"SHLD" + b"\1\0\0\0" * 21, b"\xff" * MESSAGE_BYTES]


@pytest.mark.parametrize("junk", JUNK, ids=[f"{len(junk)} bytes of {junk[:4]!r}" for junk in JUNK])
def test_a_strangers_message_is_dropped(ipc: IpcSet, junk: bytes) -> None:
    """A message with another length or magic is ignored, and the message after it is received."""
    queue_of(ipc, 0).send(junk, type=1)
    queue_of(ipc, 1).send(junk, type=1)
    ipc.tasks.send(0, task(1))
    ipc.acks.send(ack())
    assert ipc.tasks.receive(0) is None
    assert ipc.tasks.receive(0) == task(1)
    assert ipc.acks.receive_all() == [ack()]


def test_another_runs_message_is_dropped(ipc: IpcSet) -> None:
    """A well-formed message with another run's id is neither loaded, obeyed, settled nor taken back."""
    strange_tasks, strange_acks = TaskQueue(queue_of(ipc, 0), RUN + 1), AckQueue(queue_of(ipc, 1), RUN + 1)
    strange_tasks.send(0, task(666))
    strange_tasks.send_stop(0)
    strange_acks.send(ack())
    ipc.tasks.send(0, task(1))
    assert [ipc.tasks.receive(0) for _ in range(3)] == [None, None, task(1)]
    assert ipc.acks.receive_all() == []
    strange_tasks.send(0, task(666))
    ipc.tasks.send(0, task(2))
    assert ipc.tasks.take_back(0) == [task(2)]


def test_a_message_too_long_is_dropped(ipc: IpcSet) -> None:
    """Another program's long message neither ends the job nor stays at the head of the queue."""
    large = sysv_ipc.MessageQueue(ipc.record["queues"][1]["key"], max_message_size=2048)
    large.send(b"x" * (MESSAGE_BYTES + 1), type=1)
    ipc.acks.send(ack())
    assert ipc.acks.receive_all() == [ack()]


def test_nothing_is_left_of_a_queue_that_cannot_fill(make: Make) -> None:
    """64 slots can have two tasks, a STOP and all acks outstanding at once."""
    ipc = make(MOST_SLOTS)
    for slot in range(MOST_SLOTS):
        for number in (1, 2):
            ipc.tasks.send(slot, task(number, 2**32 - 1))
            ipc.acks.send(ack(slot, number))
        ipc.tasks.send_stop(slot)
    assert len(ipc.acks.receive_all()) == 2 * MOST_SLOTS
    for slot in range(MOST_SLOTS):
        assert [ipc.tasks.receive(slot) for _ in range(3)] == [
            task(1, 2**32 - 1),
            task(2, 2**32 - 1),
            Stop(),
        ]


def test_a_full_queue_is_an_error_not_a_wait(ipc: IpcSet) -> None:
    """Credits make this impossible. If it happens, sending raises an error and does not block."""

    def fill() -> None:
        for _ in range(10_000):
            ipc.tasks.send(0, task())

    with pytest.raises(IpcError, match="a message queue is full"):
        fill()


def test_a_signal_ends_a_wait_without_a_message(ipc: IpcSet) -> None:
    """Receive returns None, so that the worker can check whether it was asked to leave."""
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)  # repeatedly: a signal may come before the wait
    try:
        assert ipc.tasks.receive(0) is None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# ---- removal


def test_removed_from_outside(ipc: IpcSet) -> None:
    """Every use of a removed queue raises an IpcError with the cause and what to do."""
    for kind, object_id in [("-q", ipc.record["queues"][0]["id"]), ("-q", ipc.record["queues"][1]["id"])]:
        assert os.system(f"ipcrm {kind} {object_id}") == 0
    uses: list[Callable[[], object]] = [
        lambda: ipc.tasks.send(0, task()), lambda: ipc.tasks.send_stop(0), lambda: ipc.tasks.receive(0),
        lambda: ipc.tasks.take_back(0), lambda: ipc.acks.send(ack()), lambda: ipc.acks.receive_all(),
    ]  # fmt: skip
    for use in uses:
        with pytest.raises(IpcError) as caught:
            use()
        assert caught.value.message == "another program removed the job's SysV message queue"
        assert "RemoveIPC" in caught.value.hint
        assert "loginctl enable-linger" in caught.value.hint
        assert "resume" in caught.value.hint


def test_removal_wakes_a_waiting_worker(ipc: IpcSet) -> None:
    """A process that is blocked in receive gets an IpcError: this is how an emergency stop works."""

    def wait(writing: int) -> int:
        os.write(writing, b".")
        try:
            ipc.tasks.receive(1)
        except IpcError:
            return 7
        return 1

    pid = started(wait)
    wait_until(lambda: state_of(pid) == "S", "it waits")
    ipc.remove()
    assert ended(pid) == 7


def test_removing_twice_is_removing_once(ipc: IpcSet) -> None:
    """The second call does nothing, and the kernel has none of the three objects left."""
    mine = {("q", str(was["id"])) for was in ipc.record["queues"]} | {("s", str(ipc.record["semaphore"]["id"]))}
    assert mine <= ipc_objects()
    ipc.remove()
    ipc.remove()
    assert not mine & ipc_objects()


def test_nobody_else_may_use_them(ipc: IpcSet) -> None:
    """Queues and semaphore have mode 0600."""
    modes = [queue_of(ipc, 0).mode, queue_of(ipc, 1).mode, sysv_ipc.Semaphore(ipc.record["semaphore"]["key"]).mode]
    assert [mode & 0o777 for mode in modes] == [0o600] * 3


def test_a_taken_key_is_left_alone(tmp_path: Path) -> None:
    """The next project id is tried, and the other program's queue stays."""
    key_file = tmp_path / "key"
    key_file.touch()
    keys = [sysv_ipc.ftok(str(key_file), project, silence_warning=True) for project in range(1, 8)]
    stranger = sysv_ipc.MessageQueue(keys[1], sysv_ipc.IPC_CREX)
    try:
        ipc = create(key_file, BoardHeader(1, RUN, 1, 1))
        used = [was["key"] for was in ipc.record["queues"]]
        assert stranger.key not in used
        assert set(used) < set(keys)
        ipc.tasks.send(0, task())
        assert ipc.tasks.receive(0) == task()
        ipc.remove()
        ipc.board.detach()
        assert ("q", str(stranger.id)) in ipc_objects()
    finally:
        stranger.remove()


def test_no_key_left(tmp_path: Path) -> None:
    """If all 255 keys are taken, an IpcError says so, and no object of the run stays."""
    key_file = tmp_path / "key"
    key_file.touch()
    strangers = []
    try:
        for project in range(1, 256):
            key = sysv_ipc.ftok(str(key_file), project, silence_warning=True)
            strangers.append(sysv_ipc.MessageQueue(key, sysv_ipc.IPC_CREX))
        before = ipc_objects()

        def fail() -> int:
            """Run in a process of its own, so that its end releases what it still holds."""
            try:
                create(key_file, BoardHeader(1, RUN, 1, 1))
            except IpcError as error:
                is_said = error.message == f"every IPC key of {key_file} is taken" and "ipcrm" in error.hint
                return 10 * (not is_said) + (ipc_objects() != before)
            return 2

        assert ended(fork_child(fail, [])) == 0
    finally:
        for stranger in strangers:
            stranger.remove()


def test_what_a_dead_run_left_is_removed_once(ipc: IpcSet, tmp_path: Path) -> None:
    """Two queues and a semaphore are removed; the second call removes nothing."""
    assert remove_recorded(ipc.record, tmp_path / "key0") == 3
    assert remove_recorded(ipc.record, tmp_path / "key0") == 0


def test_another_object_at_the_same_key_stays(ipc: IpcSet, tmp_path: Path) -> None:
    """The key is the same, but the id is not: the object belongs to somebody else."""
    ipc.remove()
    queue_key, semaphore_key = ipc.record["queues"][0]["key"], ipc.record["semaphore"]["key"]
    strangers = [
        sysv_ipc.MessageQueue(queue_key, sysv_ipc.IPC_CREX), sysv_ipc.Semaphore(semaphore_key, sysv_ipc.IPC_CREX)
    ]  # fmt: skip
    try:
        assert remove_recorded(ipc.record, tmp_path / "key0") == 0
        assert {("q", str(strangers[0].id)), ("s", str(strangers[1].id))} <= ipc_objects()
    finally:
        for stranger in strangers:
            stranger.remove()


@pytest.mark.parametrize("doubt", ["changed", "id", "uid"])
def test_only_what_is_provably_ours_is_removed(ipc: IpcSet, tmp_path: Path, doubt: str) -> None:
    """A queue made at another time, with another id, or of another user stays."""
    record = {**ipc.record, "queues": [dict(was) for was in ipc.record["queues"]]}
    if doubt == "uid":
        record["uid"] += 1
    else:
        record["queues"][0][doubt] += 1
    assert remove_recorded(record, tmp_path / "key0") == (0 if doubt == "uid" else 2)
    assert ("q", str(ipc.record["queues"][0]["id"])) in ipc_objects()


@pytest.fixture
def maker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], dict[str, Any]]:
    """A function that starts a process which announces and makes a run's objects, and that dies before the nth.

    It returns the announcement.
    """
    key_file = tmp_path / "key"
    key_file.touch()
    ftok = sysv_ipc.ftok

    def make(nth: int) -> dict[str, Any]:
        reading, writing = os.pipe()

        def die_before_nth() -> int:
            os.write(writing, json.dumps(announce()).encode())

            def key_or_death(path: str, project: int, **how: Any) -> int:
                if project == nth:
                    os.kill(os.getpid(), signal.SIGKILL)
                return int(ftok(path, project, **how))

            monkeypatch.setattr(sysv_ipc, "ftok", key_or_death)
            create(key_file, BoardHeader(3, RUN, 1, 1))
            os.kill(os.getpid(), signal.SIGKILL)
            return 0

        assert ended(fork_child(die_before_nth, [])) == -signal.SIGKILL
        os.close(writing)
        announced: dict[str, Any] = json.loads(os.read(reading, 65536))
        os.close(reading)
        return announced

    return make


@pytest.mark.parametrize(("nth", "left"), [(1, 0), (2, 0), (3, 1), (4, 2), (5, 3)])
def test_a_kill_in_the_making_leaves_nothing_that_is_not_found(maker: Any, tmp_path: Path, nth: int, left: int) -> None:
    """All that the killed process made is found and removed: first the board, then two queues, then the semaphore."""
    before = ipc_objects()
    announced = maker(nth)
    assert len(ipc_objects() - before) == left
    assert count_recorded(announced, tmp_path / "key") == left
    assert remove_recorded(announced, tmp_path / "key") == left
    assert ipc_objects() == before


def test_a_board_whose_maker_was_killed_before_it_removed_it(tmp_path: Path) -> None:
    """It is found by its maker's pid; another process's board stays."""
    before = ipc_objects()
    (tmp_path / "key").touch()
    announced = announce()
    key = sysv_ipc.ftok(str(tmp_path / "key"), 1, silence_warning=True)
    sysv_ipc.SharedMemory(key, sysv_ipc.IPC_CREX, size=4096).detach()
    assert remove_recorded({**announced, "pid": os.getppid()}, tmp_path / "key") == 0
    assert remove_recorded(announced, tmp_path / "key") == 1
    assert ipc_objects() == before


@pytest.mark.parametrize("doubt", ["uid", "older", "younger", "pid", "key", "used"])
def test_only_what_was_announced_is_removed(maker: Any, tmp_path: Path, doubt: str) -> None:
    """Objects of another user, process or time stay, and so do objects that somebody uses."""
    before = ipc_objects()
    announced = maker(5)
    queues = [sysv_ipc.ftok(str(tmp_path / "key"), project, silence_warning=True) for project in (2, 3)]
    if doubt == "used":
        sysv_ipc.MessageQueue(queues[0]).send(b"hello")
        sysv_ipc.MessageQueue(queues[1]).send(b"hello")
        sysv_ipc.MessageQueue(queues[1]).receive()
        sysv_ipc.Semaphore(sysv_ipc.ftok(str(tmp_path / "key"), 4, silence_warning=True)).acquire()
    (tmp_path / "other").touch()
    doubtful, removed = {
        "uid": ({"uid": announced["uid"] + 1}, 0),
        "older": ({"since": announced["since"] + 600}, 1),
        "younger": ({"since": announced["since"] - 600}, 1),
        "pid": ({"pid": os.getpid()}, 2),
        "key": ({}, 0),
        "used": ({}, 0),
    }[doubt]
    key_file = tmp_path / ("other" if doubt == "key" else "key")
    assert remove_recorded({**announced, **doubtful}, key_file) == removed
    for kind, number in ipc_objects() - before:
        (sysv_ipc.remove_message_queue if kind == "q" else sysv_ipc.remove_semaphore)(int(number))


def test_an_announcement_whose_directory_is_gone_finds_nothing(maker: Any, tmp_path: Path) -> None:
    """Without the key file there are no keys, and no error is raised."""
    announced = maker(1)
    assert remove_recorded(announced, tmp_path / "gone") == 0


# ---- the board


def view(number: int) -> WorkerView:
    """A record in which every number is the same."""
    counts = Counts(*[number] * len(COUNT_NAMES))
    return WorkerView(number, number, float(number), ((number, number, counts),) * CREDITS)


def figures(seen: WorkerView) -> set[int]:
    """Every number in a record."""
    found = {seen.pid, seen.start, int(seen.heartbeat_s)}
    for range_id, attempt, counts in seen.range_counts:
        found |= {range_id, attempt, *counts.as_tuple()}
    return found


def test_the_board_shows_what_was_published(ipc: IpcSet) -> None:
    """Header and records come back whole, an unused slot is empty, and `clear` erases one record."""
    assert ipc.board.header() == BoardHeader(3, RUN, os.getpid(), 42)
    largest = Counts(*[2**64 - 1] * len(COUNT_NAMES))
    full = WorkerView(2**31, 2**63, 1.5, ((2**63 - 1, 2**32 - 1, largest),) * CREDITS)
    assert ipc.board.publish(1, 1, full)
    empty = WorkerView(0, 0, 0.0, ())
    assert ipc.board.workers() == [empty, full, empty]
    assert ipc.board.publish(1, 2, view(7))
    assert ipc.board.workers()[1] == view(7)
    ipc.board.clear(1)
    assert ipc.board.workers() == [empty] * 3


def test_every_process_sees_the_wish_to_stop(ipc: IpcSet) -> None:
    """A child that was forked earlier sees it."""
    assert not ipc.board.is_stopping()

    def wait(writing: int) -> int:
        os.write(writing, b".")
        while not ipc.board.is_stopping():
            os.sched_yield()
        return 5

    pid = started(wait)
    ipc.board.ask_to_stop()
    assert ended(pid) == 5
    assert ipc.board.header() == BoardHeader(3, RUN, os.getpid(), 42)


def test_the_board_is_found_by_id_although_it_is_removed(ipc: IpcSet) -> None:
    """It exists as long as a process has it attached, and disappears with the last one."""
    ipc.board.publish(0, 1, view(3))
    found = Board.attach(ipc.record["board"]["id"])
    assert found is not None
    assert found.shared_memory_id == ipc.board.shared_memory_id
    assert found.header().run_id == RUN
    assert found.workers()[0] == view(3)
    found.detach()
    with pytest.raises(ValueError, match="released"):  # and no segmentation fault
        found.header()


def test_what_is_no_board_is_not_attached() -> None:
    """A removed id, an impossible id, and another program's memory all give None."""
    memory = sysv_ipc.SharedMemory(None, sysv_ipc.IPC_CREX, size=4096, init_character=b"x")
    memory.remove()
    try:
        assert Board.attach(memory.id) is None
        assert memory.number_attached == 1
    finally:
        memory.detach()
    assert Board.attach(memory.id) is None
    assert Board.attach(-1) is None
    assert Board.attach(2**31 - 1) is None


def hold(ipc: IpcSet, writing: int) -> int:
    """Take the board's semaphore as the board does, report it, and keep it."""
    semaphore = sysv_ipc.Semaphore(ipc.record["semaphore"]["key"])
    semaphore.undo = True
    semaphore.acquire()
    os.write(writing, b".")
    while True:
        signal.pause()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_holder_gives_the_semaphore_back(ipc: IpcSet, number: int) -> None:
    """While the holder lives nothing is written; after its death writing works."""
    pid = started(lambda writing: hold(ipc, writing))
    assert not ipc.board.publish(0, 1, view(1))
    os.kill(pid, number)
    assert ended(pid) == -number
    assert ipc.board.publish(0, 1, view(1))


def test_a_stopped_holder_blocks_nobody(ipc: IpcSet) -> None:
    """Reading, writing and clearing end in time, and reading still gives whole records."""
    assert ipc.board.publish(0, 1, view(5))
    pid = started(lambda writing: hold(ipc, writing))
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: state_of(pid) == "T", "it is stopped")
        started_s = time.monotonic()
        assert ipc.board.workers()[0] == view(5)
        assert not ipc.board.publish(0, 2, view(6))
        ipc.board.clear(0)
        assert time.monotonic() - started_s < BOUND_S
        assert ipc.board.workers()[0] == WorkerView(0, 0, 0.0, ())
    finally:
        os.kill(pid, signal.SIGKILL)
        ended(pid)


def test_a_record_whose_writing_broke_off_shows_no_counts(ipc: IpcSet) -> None:
    """Its sequence number stays odd: the record names the worker, but has no counts."""
    ipc.board.publish(1, 1, view(5))
    memory = sysv_ipc.attach(ipc.record["board"]["id"])
    memory.write(struct.pack("<Q", 3), Board.size_bytes(1) + _HELD_RANGES.size)  # where the record of slot 1 begins
    memory.detach()
    started_s = time.monotonic()
    assert ipc.board.workers()[1].range_counts == ()
    assert ipc.board.workers()[1].pid == 5
    assert time.monotonic() - started_s < BOUND_S
    assert ipc.board.publish(1, 2, view(6))
    assert ipc.board.workers()[1] == view(6)


def test_a_reader_never_sees_two_writings_in_one(ipc: IpcSet) -> None:
    """A worker writes as fast as it can and is killed at random. A reader without the semaphore sees records of one
    write, or without counts; and the next worker can write."""
    looking = Board.attach(ipc.record["board"]["id"])
    assert looking is not None
    moments = random.Random(1)

    def publish(writing: int) -> int:
        os.write(writing, b".")
        sequence = 0
        while True:
            sequence += 1
            ipc.board.publish(0, sequence, view(sequence))

    for _ in range(15):
        pid = started(publish)
        seen: set[int] = set()
        wanted, give_up_s = moments.randrange(2, 20), time.monotonic() + 60
        while len(seen) < wanted:  # the writer may have to wait for the processor
            one = looking.workers()[0]
            assert len(figures(one)) == 1 or one.range_counts == ()
            seen |= figures(one)
            assert time.monotonic() < give_up_s, seen
        os.kill(pid, signal.SIGKILL)
        assert ended(pid) == -signal.SIGKILL
        one = looking.workers()[0]
        assert len(figures(one)) == 1 or one.range_counts == ()
        assert ipc.board.publish(0, 1, view(1))
        assert ipc.board.workers()[0] == view(1)
        ipc.board.clear(0)
    looking.detach()


def test_the_semaphore_is_gone(ipc: IpcSet) -> None:
    """Nothing waits for it: writing returns False, and reading goes on."""
    ipc.board.publish(0, 1, view(5))
    ipc.remove()
    started_s = time.monotonic()
    assert not ipc.board.publish(0, 2, view(6))
    assert ipc.board.workers()[0] == view(5)
    assert time.monotonic() - started_s < BOUND_S
