"""Several machines do one job: network namespaces with a scheduler, a head and machines; MySQL and a Redis Cluster,
each server with its own address. Machines die, hang and are cut off; every key is there, once in the counts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import pymysql
import pytest

from shardload.jobdir.machines import read_machines
from shardload.sandbox import MysqlServer, RedisCluster, seed
from tests.harness import Result, Running, World, by_id, processes_named, wait_until
from tests.hosts import Host, Network
from tests.replica import master_and_replica, on_replica

ROWS, FEW = 300_000, 20_000
JOB = "fleet"
PORT = 8786
TABLE = "user"
WORDS = ("run", "--table", TABLE, "--key", "user:{id}", "--range-rows", "5000", "--json", "--job", JOB)
SLOWLY = ("--rate", "40000")  # eight seconds or more: what happens after ten ranges is in the middle


@dataclass
class Ground:
    """What all tests stand on: a network, and the servers in it."""

    network: Network
    mysql: MysqlServer
    cluster: RedisCluster


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """Servers with addresses of their own, and a table."""
    if os.geteuid() and not os.environ.get("CI"):
        pytest.skip("network namespaces need root (run: sudo scripts/test)")
    root = tmp_path_factory.mktemp("fleet")
    with ExitStack() as made:
        network = made.enter_context(Network())
        mysql = MysqlServer(root / "mysql", host=network.server_address())
        made.callback(mysql.stop)
        mysql.start()
        hosts = [network.server_address() for _ in range(3)]
        cluster = made.enter_context(RedisCluster(root / "redis", hosts=hosts))
        seed(mysql.url, TABLE, ROWS, 1, lambda _: None)
        yield Ground(network, mysql, cluster)


@dataclass
class Fleet:
    """A scheduler, a head, and machines; each on its host."""

    ground: Ground
    directory: Path
    scheduler: Host
    head: Host
    machines: dict[str, Host] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The scheduler's."""
        return f"tcp://{self.scheduler.address}:{PORT}"

    @property
    def world(self) -> World:
        """The servers, and the head's state directory."""
        return World(self.ground.mysql.url, self.ground.cluster.url, self.directory / "head")

    def environment(self, name: str) -> dict[str, str]:
        """What is set on this host."""
        return self.world.environment(SHARDLOAD_STATE_DIR=str(self.directory / name))

    def start_scheduler(self) -> None:
        """Dask's own."""
        dask = str(Path(sys.executable).parent / "dask")
        log = (self.directory / "scheduler.log").open("a")
        words = [dask, "scheduler", "--host", self.scheduler.address, "--port", str(PORT), "--no-dashboard"]
        self.scheduler.popen(words, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        wait_until(lambda: b"Scheduler at" in (self.directory / "scheduler.log").read_bytes(), "the scheduler")

    def start_machine(self, name: str) -> Host:
        """A machine with one worker; it has joined when this returns."""
        if name not in self.machines:
            self.machines[name] = self.ground.network.host(name)
        host = self.machines[name]
        path = self.directory / f"{name}.log"
        words = ["machine", self.url, "--workers", "1", "--name", name, "--host", host.address]
        with path.open("w") as log:
            host.popen(
                [sys.executable, "-m", "shardload", *words],
                env=self.environment(name), stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        wait_until(lambda: f"machine {name} serves" in path.read_text(), f"{name} has joined")
        return host

    def start(self, *words: str) -> Running:
        """Start `shardload` on the head."""
        process = self.head.popen(
            [sys.executable, "-m", "shardload", *words],
            env=self.environment("head"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        return Running(process, JOB, self.world.state_dir)

    def run(self, *words: str) -> Result:
        """Run `shardload` on the head to its end."""
        return self.start(*words).finish()

    def import_slowly(self, *words: str, done: int = 10) -> Running:
        """An import that is in the middle when this returns."""
        running = self.start(*WORDS, *SLOWLY, "--fleet", self.url, *words)
        running.wait_for_ranges(done)
        return running

    def speed_up(self) -> None:
        """Nothing holds the import back any more."""
        done = self.run("rate", JOB, "off")
        assert done.code == 0, done.err

    def log(self) -> str:
        """The job's log."""
        return (self.world.state_dir / JOB / "log").read_text()

    def assert_whole(self, done: Result, *, resumed: bool = False) -> None:
        """The command says so, the counts add up, those of the machines too, and the keys are the rows."""
        assert done.code == 0, f"{done.err}\n{self.log()}"
        told = done.summary
        assert (told["status"], told["rows_read"], told["keys_written"]) == ("complete", ROWS, ROWS)
        rows = sum(record.rows for record in read_machines(self.world.state_dir / JOB))
        assert rows == ROWS or (resumed and rows < ROWS)
        assert self.world.assert_exact(TABLE, by_id) == ROWS

    def blocks(self, name: str) -> list[str]:
        """The jobs of a machine: its blocks."""
        directory = self.directory / name
        return [path.name for path in directory.iterdir()] if directory.exists() else []


@pytest.fixture
def fleet(ground: Ground, tmp_path: Path) -> Iterator[Fleet]:
    """A scheduler, a head, and two machines with a worker each; an empty Redis."""
    for node in ground.cluster.nodes:
        node.call("FLUSHALL")
    made = Fleet(ground, tmp_path, ground.network.host("scheduler"), ground.network.host("head"))
    try:
        made.start_scheduler()
        for name in ("m1", "m2"):
            made.start_machine(name)
        yield made
    finally:
        hosts = (made.head, *made.machines.values(), made.scheduler)
        for host in hosts:
            host.mend()
            host.end()
        wait_until(lambda: not any(host.pids() for host in hosts), "every process has ended as it was asked")
        for host in hosts:
            host.remove()


def coordinators_of(host: Host) -> list[int]:
    """The coordinators of a machine's blocks."""
    return [pid for pid in processes_named(f"shardload: coordinator {JOB}.") if pid in host.pids()]


def test_two_machines(fleet: Fleet) -> None:
    """Every key is there, the machines' rows add up to the journal's, and nothing is left on any of them."""
    done = fleet.run(*WORDS, "--fleet", fleet.url)
    fleet.assert_whole(done)
    told = read_machines(fleet.world.state_dir / JOB)
    assert sorted(record.name for record in told) == ["m1", "m2"]
    assert all(record.rows > ROWS // 10 and not record.is_claimed for record in told), told
    assert fleet.blocks("m1") == fleet.blocks("m2") == []
    password = fleet.ground.mysql.url.password
    assert password
    assert password not in (fleet.directory / "scheduler.log").read_text() + fleet.log()


def test_a_coordinator_is_killed(fleet: Fleet) -> None:
    """That of a machine: what it had not done is done again."""
    running = fleet.import_slowly()
    (pid,) = wait_until(lambda: coordinators_of(fleet.machines["m1"]), "m1 works")
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: "m1: it was killed by signal 9" in fleet.log(), "the head hears of it")
    fleet.speed_up()
    fleet.assert_whole(running.finish())


def test_a_machine_loses_its_power(fleet: Fleet) -> None:
    """All its processes at once: others do its ranges, and what is left on it goes when it serves again."""
    running = fleet.import_slowly()
    wait_until(lambda: coordinators_of(fleet.machines["m1"]), "m1 works")
    fleet.machines["m1"].kill()
    fleet.speed_up()
    fleet.assert_whole(running.finish())
    fleet.start_machine("m1")
    assert fleet.blocks("m1") == []


def test_the_side_of_a_machine_is_killed(fleet: Fleet) -> None:
    """On the head: what that machine was about to do is given to others when it cannot write any more."""
    running = fleet.import_slowly()
    wait_until(lambda: coordinators_of(fleet.machines["m1"]), "m1 works")
    (pid,) = processes_named(f"shardload: machine {JOB} #0")
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: "worker 0" in fleet.log() and "killed" in fleet.log(), "the coordinator has seen it")
    fleet.speed_up()
    fleet.assert_whole(running.finish(120))


@pytest.mark.parametrize("again", ["fleet", "alone"])
def test_the_head_is_killed(fleet: Fleet, again: str) -> None:
    """The machines stop when their lease has run out; a resume waits for that and goes on, with the fleet or not."""
    running = fleet.import_slowly()
    running.signal(signal.SIGKILL)
    running.process.wait()
    done = fleet.run("resume", JOB, "--rate", "off", "--json", *(("--fleet", "off") if again == "alone" else ()))
    assert "waiting 10 s: until then m1, m2 may still write for the last run" in done.err
    fleet.assert_whole(done, resumed=True)
    assert fleet.blocks("m1") == fleet.blocks("m2") == []


def test_the_scheduler_is_killed(fleet: Fleet) -> None:
    """The head says so and waits; with another one in its place it goes on."""
    running = fleet.import_slowly()
    fleet.scheduler.kill()
    wait_until(lambda: "does not answer" in fleet.log(), "the head says so")
    (fleet.directory / "scheduler.log").write_text("")
    fleet.start_scheduler()
    fleet.speed_up()
    fleet.assert_whole(running.finish(120))


def test_the_scheduler_stays_away(fleet: Fleet) -> None:
    """Then the job stops, resumable."""
    running = fleet.import_slowly("--give-up-after", "3s")
    fleet.scheduler.kill()
    done = running.finish(120)
    assert done.code == 3
    assert "does not answer" in done.err
    done = fleet.run("resume", JOB, "--fleet", "off", "--rate", "off", "--json")
    fleet.assert_whole(done, resumed=True)


@pytest.mark.parametrize("mends", [True, False])
def test_a_machine_is_cut_off(fleet: Fleet, mends: bool) -> None:
    """It stops writing before others begin with its ranges. When its link is mended it serves again."""
    running = fleet.import_slowly()
    host = fleet.machines["m1"]
    wait_until(lambda: coordinators_of(host), "m1 works")
    host.cut()
    wait_until(lambda: not coordinators_of(host), "its lease has run out", deadline_s=20)
    if mends:
        host.mend()
    fleet.speed_up()
    fleet.assert_whole(running.finish(120))


def test_a_machine_joins(fleet: Fleet) -> None:
    """In the middle: it gets blocks."""
    running = fleet.import_slowly("--rate", "20000")
    fleet.start_machine("m3")
    wait_until(lambda: "machine m3: block 1" in fleet.log(), "m3 works")
    fleet.speed_up()
    fleet.assert_whole(running.finish())


def test_a_machine_leaves(fleet: Fleet) -> None:
    """As it is asked, in the middle: its block ends in order, and nothing of it is left."""
    running = fleet.import_slowly()
    host = fleet.machines["m1"]
    wait_until(lambda: coordinators_of(host), "m1 works")
    host.end()
    wait_until(lambda: not host.pids(), "it has left")
    assert fleet.blocks("m1") == []
    fleet.speed_up()
    fleet.assert_whole(running.finish())


def test_machines_read_from_a_replica(fleet: Fleet, tmp_path: Path) -> None:
    """And from nobody else; one that does not replicate is passed over, and said."""
    master_at, replica_at = (fleet.ground.network.server_address() for _ in range(2))
    known = fleet.ground.mysql.url.password  # to the machines
    with master_and_replica(tmp_path, master_at, replica_at, password=known) as (master, replica):
        fleet.ground = replace(fleet.ground, mysql=master)
        seed(master.url, TABLE, FEW, 1, lambda _: None)
        there = World(replica.url, fleet.world.redis, tmp_path)
        wait_until(lambda: rows_of(there) == FEW, "the replica has them")
        before = rows_read(there)
        done = fleet.run(*WORDS, "--fleet", fleet.url, "--mysql-read", f"{replica_at}:{replica.port}")
        assert done.code == 0, f"{done.err}\n{fleet.log()}"
        assert done.summary["keys_written"] == FEW
        assert rows_read(there) - before >= FEW
        on_replica(replica, "STOP SLAVE")
        lost = fleet.run(
            *WORDS[:-1], "lost", "--fleet", fleet.url, "--mysql-read", f"{replica_at}:{replica.port}",
            "--give-up-after", "1s",
        )  # fmt: skip
        assert lost.code == 3
        assert "no replica of --mysql-read can be read" in lost.err


def rows_of(there: World) -> int:
    """How many rows the table has; 0 if there is none."""
    try:
        return int(there.execute(f"SELECT COUNT(*) FROM `{TABLE}`")[0][0])
    except pymysql.MySQLError:
        return 0


def rows_read(there: World) -> int:
    """How many rows this MySQL has read from tables since it started."""
    return int(there.execute("SHOW GLOBAL STATUS LIKE 'Handler_read_next'")[0][1])
