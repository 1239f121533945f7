"""Whatever is killed, stopped, lost or changed, at random and again and again: every key equals its row in the end, the
counts add up, and nothing is left.

The seed is printed; SHARDLOAD_TEST_SEED repeats it, SHARDLOAD_CHAOS_SECONDS lets it go on for longer.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sysv_ipc

from shardload.reporting.facts import RUNNING
from shardload.sandbox import RedisServer
from tests.harness import (
    Daemon,
    World,
    by_id,
    ipc_objects,
    kill,
    processes_named,
    wait_for_the_dead,
    wait_until,
    zombies,
)

ROWS = 100_000
SEED = int(os.environ.get("SHARDLOAD_TEST_SEED", "0")) or random.randrange(1, 10**9)
SECONDS = float(os.environ.get("SHARDLOAD_CHAOS_SECONDS", "60"))
WORDS = (
    "--key",
    "user:{id}",
    "--range-rows",
    "1500",
    "--rate",
    "40000",
    "--hung-after",
    "1s",
    "--give-up-after",
    "30s",
)


@pytest.fixture
def lasting_redis(world: World, tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that keeps its data over a restart; the world uses it."""
    server = RedisServer(tmp_path / "redis", ["--appendonly", "yes", "--appendfsync", "no"]).start()
    before, world.redis = world.redis, server.url
    yield server
    world.redis = before
    server.stop(kill=True)


@dataclass
class Chaos:
    """One job that things happen to."""

    daemon: Daemon
    redis: RedisServer
    random: random.Random
    stopped: list[int] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    # ---- kills

    def kill_a_worker(self) -> None:
        """One."""
        if workers := self.daemon.workers():
            self.kill(self.random.choice(workers))

    def kill_all_workers(self) -> None:
        """All at once."""
        self.kill(*self.daemon.workers())

    def kill_the_coordinator(self) -> None:
        """The janitor cleans up."""
        self.kill(self.daemon.pid)

    def kill_the_janitor(self) -> None:
        """A new one comes."""
        self.kill(*self.janitors())

    def kill_coordinator_and_janitor(self) -> None:
        """The next command cleans up."""
        self.kill(self.daemon.pid, *self.janitors())

    def kill_the_group(self) -> None:
        """Every process that the daemon's group has; the janitor is in a session of its own."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(os.getpgid(self.daemon.pid), signal.SIGKILL)

    def kill_everything(self) -> None:
        """All of them at once."""
        self.kill(self.daemon.pid, *self.janitors(), *self.daemon.workers())

    # ---- stops

    def stop_and_continue_one(self) -> None:
        """Any process, for a moment."""
        every = [self.daemon.pid, *self.daemon.workers(), *self.janitors()]
        pid = self.random.choice(every)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            self.stopped.append(pid)
            self.pause_for(0.3)
            os.kill(pid, signal.SIGCONT)
            self.stopped.remove(pid)

    def stop_a_worker_for_good(self) -> None:
        """It is found by its heartbeat."""
        if workers := self.daemon.workers():
            with suppress(ProcessLookupError):
                os.kill(self.random.choice(workers), signal.SIGSTOP)

    def hold_the_semaphore(self) -> None:
        """As a worker does that was stopped with it in hand."""
        with suppress(sysv_ipc.Error, TypeError, KeyError, OSError):
            semaphore = sysv_ipc.Semaphore(self.daemon.ipc()["semaphore"]["key"])
            semaphore.undo = True
            semaphore.block = False
            give_up_s = time.monotonic() + 1
            while time.monotonic() < give_up_s:
                with suppress(sysv_ipc.BusyError):
                    semaphore.acquire()
                    break
            self.pause_for(0.5)
            semaphore.release()

    # ---- orders and signals

    def term(self) -> None:
        """An orderly stop."""
        self.signal(signal.SIGTERM)

    def leave_now(self) -> None:
        """A stop without order."""
        self.signal(signal.SIGQUIT)

    def scale(self) -> None:
        """To any number of workers."""
        self.order("scale", self.daemon.job, str(self.random.randint(1, 6)))

    def pause_and_unpause(self) -> None:
        """For a moment."""
        self.order("pause", self.daemon.job)
        self.pause_for(0.2)
        self.order("unpause", self.daemon.job)

    def reload(self) -> None:
        """By a signal, not waited for."""
        self.signal(signal.SIGHUP)

    # ---- servers, disk, kernel

    def restart_redis(self) -> None:
        """With its data kept."""
        self.redis.stop()
        self.redis.start()

    def kill_mysql_connections(self) -> None:
        """Those that read."""
        self.daemon.world.kill_readers()

    def fill_the_disk(self) -> None:
        """For the coordinator alone: no file of its can grow any more."""
        with suppress(ProcessLookupError, FileNotFoundError):
            wal = self.daemon.world.state_dir / self.daemon.job / "journal.sqlite-wal"
            limit = wal.stat().st_size
            resource.prlimit(self.daemon.pid, resource.RLIMIT_FSIZE, (limit, limit))

    def remove_a_queue(self) -> None:
        """As ipcrm does, or logind at a logout."""
        with suppress(sysv_ipc.Error, TypeError):
            sysv_ipc.remove_message_queue(self.random.choice(self.daemon.ipc()["queues"])["id"])

    def remove_the_semaphore(self) -> None:
        """The same."""
        with suppress(sysv_ipc.Error, TypeError):
            sysv_ipc.remove_semaphore(self.daemon.ipc()["semaphore"]["id"])

    # ---- how

    def kill(self, *pids: int) -> None:
        """SIGKILL, one after the other."""
        for pid in pids:
            kill(pid)

    def signal(self, number: int) -> None:
        """To the coordinator."""
        with suppress(ProcessLookupError):
            os.kill(self.daemon.pid, number)

    def order(self, *words: str) -> None:
        """One that may come too late: then it is refused in one line."""
        done = self.daemon.world.run(*words)
        assert done.code in (0, 2, 3), done
        assert len((done.out + done.err).splitlines()) == 1, done

    def janitors(self) -> list[int]:
        """The job's."""
        return processes_named(f"shardload: janitor {self.daemon.job}")

    def pause_for(self, longest_s: float) -> None:
        """A random while: what happens next is to find the job anywhere."""
        time.sleep(self.random.random() * longest_s)  # the only sleep: it waits for nothing

    def is_alive(self) -> bool:
        """True while the coordinator runs."""
        return any(processes_named(f"shardload: coordinator {self.daemon.job}"))


EVENTS: list[Callable[[Chaos], None]] = [
    Chaos.kill_a_worker, Chaos.kill_all_workers, Chaos.kill_the_coordinator, Chaos.kill_the_janitor,
    Chaos.kill_coordinator_and_janitor, Chaos.kill_the_group, Chaos.kill_everything, Chaos.stop_and_continue_one,
    Chaos.stop_a_worker_for_good, Chaos.hold_the_semaphore, Chaos.term, Chaos.leave_now, Chaos.scale,
    Chaos.pause_and_unpause, Chaos.reload, Chaos.restart_redis, Chaos.kill_mysql_connections, Chaos.fill_the_disk,
    Chaos.remove_a_queue, Chaos.remove_the_semaphore,
]  # fmt: skip


def test_chaos(world: World, many_users: str, lasting_redis: RedisServer) -> None:
    """Every event at least once when there is time, in random order, several to a job."""
    print("seed", SEED)
    chance = random.Random(SEED)
    before = ipc_objects()
    deck: list[Callable[[Chaos], None]] = []
    give_up_s = time.monotonic() + SECONDS
    number = 0
    while time.monotonic() < give_up_s:
        number += 1
        world.target().flushall()
        daemon = world.launch("run", "--table", many_users, *WORDS, "--workers", str(chance.randint(1, 4)),
                              "--progress", chance.choice(("plain", "none")), job=f"chaos{number}")  # fmt: skip
        chaos = Chaos(daemon, lasting_redis, chance)
        for _ in range(chance.randint(1, 4)):
            deck = deck or chance.sample(EVENTS, len(EVENTS))
            one_event(chaos, deck.pop())
        bring_to_the_end(chaos)
        assert_nothing_is_left(world, daemon, before, chaos)


def one_event(chaos: Chaos, event: Callable[[Chaos], None]) -> None:
    """Something happens, to a job that runs: one that has ended is resumed first."""
    chaos.pause_for(0.6)
    if not chaos.is_alive():
        resume(chaos)
    print(chaos.daemon.job, event.__name__, flush=True)
    event(chaos)


def resume(chaos: Chaos) -> None:
    """In the background again, as a person would; a job that is complete by now has nothing to do, and does it."""
    job = chaos.daemon.job

    def is_over() -> bool:
        return chaos.daemon.status()["state"] not in RUNNING

    wait_until(is_over, f"{job} has ended")
    resumed = chaos.daemon.world.run("resume", job, "--daemon", "--json")
    assert resumed.code == 0, f"{resumed}\n{chaos.daemon.log()}"
    chaos.daemon.pid = resumed.summary["pid"]


def bring_to_the_end(chaos: Chaos) -> None:
    """Until it is complete, however often it has to be resumed."""
    for _ in range(10):
        state = chaos.daemon.end()["state"]
        if state == "complete":
            return
        assert state in ("stopped", "failed", "died"), chaos.daemon.log()
        resume(chaos)
        chaos.order("rate", chaos.daemon.job, "off")
    raise AssertionError(f"it never ended:\n{chaos.daemon.log()}")


def assert_nothing_is_left(world: World, daemon: Daemon, before: set[tuple[str, str]], chaos: Chaos) -> None:
    """Rows and keys are equal, the counts exact; and no object, process, zombie, FIFO or report is there."""
    done = daemon.status()
    assert (done["rows_read"], done["keys_written"], done["rows_skipped"], done["rows_failed"]) == (ROWS, ROWS, 0, 0)
    assert done["ranges"] == done["ranges_done"]
    assert world.assert_exact("users100000", by_id) == ROWS
    wait_for_the_dead(before)
    wait_until(lambda: not zombies(), "no zombie is left")
    assert ipc_objects() == before, chaos.daemon.log()
    left = {path.name.split(".")[0] for path in (world.state_dir / daemon.job).iterdir()}
    assert left <= {"spec", "run", "journal", "key", "lock", "log"}


PHASES = (
    "the interpreter",
    "the job's directory",
    "the plan",
    "the run",
    "the first range",
    "the last range",
    "the end",
)


@pytest.mark.parametrize("phase", PHASES)
def test_term_in_every_phase(world: World, many_users: str, phase: str) -> None:
    """TERM as soon as there is a sign of the phase: an orderly end or none at all, and a resume that completes."""
    job = "phase"
    directory = world.state_dir / job
    running = world.start("run", "--table", many_users, "--key", "user:{id}", "--range-rows", "2000", "--job", job,
                          "--json", job=job)  # fmt: skip
    signs: dict[str, Callable[[], object]] = {
        "the interpreter": lambda: True,
        "the job's directory": directory.exists,
        "the plan": (directory / "journal.sqlite").exists,
        "the run": (directory / "run.json").exists,
        "the first range": lambda: running.journal().get("done", 0) > 0,
        "the last range": lambda: (seen := running.journal()).get("done") and not seen.get("todo"),
        "the end": lambda: (directory / "run.json").exists() and '"ipc": null' in (directory / "run.json").read_text(),
    }
    wait_until(lambda: signs[phase]() or running.process.poll() is not None, phase)
    with suppress(ProcessLookupError):
        running.signal(signal.SIGTERM)
    ended = running.finish()
    is_up = PHASES.index(phase) > PHASES.index("the run")
    assert ended.code in ((0, 143) if is_up else (0, 143, -signal.SIGTERM)), ended  # before any handler, the kernel's
    if is_up:
        assert world.run("status", job, "--json").summary["state"] in ("complete", "stopped")
    wait_until(lambda: not processes_named("shardload: "), "nothing is left")
    if (directory / "spec.json").exists():
        completed = world.run("resume", job, "--json")
    else:
        world.run("clean")  # a directory that was never whole
        completed = world.run("run", "--table", many_users, "--key", "user:{id}", "--job", job, "--json")
    assert completed.code == 0, completed.err
    assert completed.summary["rows_read"] == ROWS
    assert world.assert_exact(many_users, by_id) == ROWS
