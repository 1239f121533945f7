"""The real servers, the real command, and the question every end-to-end test asks: is every key what its row says?"""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql
from redis import Redis, RedisCluster
from redis.cluster import ClusterNode
from redis.sentinel import Sentinel

from shardload.config.urls import SourceUrl, TargetUrl
from shardload.jobdir.directory import JobDirectory
from shardload.jobs.status import look
from shardload.reporting.facts import RUNNING
from tests.own_world import is_ours

DEADLINE_S = 60.0


def wait_until(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """The first true result of `condition`, asked again and again; AssertionError after the deadline.

    A question that takes long is asked less often: it must not take the time of what it waits for.
    """
    give_up_s = time.monotonic() + deadline_s
    while True:
        asked_s = time.monotonic()
        if result := condition():
            return result
        answered_s = time.monotonic()
        assert answered_s < give_up_s, f"not within {deadline_s} s: {what}"
        time.sleep(max(0.002, 2 * (answered_s - asked_s)))


def ipc_objects() -> set[tuple[str, str]]:
    """Every SysV object here, kind and id: the tests' own, where they have a namespace (`own_world`)."""
    found = set()
    for flag in "qms":
        shown = subprocess.run(["ipcs", f"-{flag}"], capture_output=True, text=True, check=True).stdout
        found |= {(flag, line.split()[1]) for line in shown.splitlines() if line.startswith("0x")}
    return found


def wait_for_the_dead(before: set[tuple[str, str]], deadline_s: float = DEADLINE_S) -> None:
    """Until no process of ours is there, nor memory that was not there before: one that dies loses its name a moment
    earlier than what it had attached."""

    def are_gone() -> bool:
        return not processes_named("shardload: ") and not any(kind == "m" for kind, _ in ipc_objects() - before)

    wait_until(are_gone, "no process of ours is left", deadline_s)


def processes_named(title: str) -> list[int]:
    """Pids of the tests' own processes whose title contains this text; not of pytest-xdist's, whose titles have the
    names of tests."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if title in command and not command.startswith("[pytest-xdist") and is_ours(entry):
            found.append(int(entry.name))
    return found


def descriptors(pid: int) -> list[str]:
    """What each open descriptor of a process leads to."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since
            found.append(str(entry.readlink()))
    return found


def zombies() -> list[str]:
    """Names of the tests' own dead processes that were Python or shardload, and that nobody has reaped."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue
        if rest.split()[0] == "Z" and name.startswith(("shardload", "python")) and is_ours(stat.parent):
            found.append(name)
    return found


@dataclass
class Result:
    """What a finished command left on its streams."""

    code: int
    out: str
    err: str

    @property
    def summary(self) -> dict[str, Any]:
        """The JSON object that `--json` printed."""
        parsed: dict[str, Any] = json.loads(self.out)
        return parsed


def _janitor(job: str) -> int:
    """It has its name a moment after it was forked."""
    found: list[int] = wait_until(lambda: processes_named(f"shardload: janitor {job}"), "a janitor")
    return found[0]


@dataclass
class Running:
    """A started command."""

    process: subprocess.Popen[str]
    job: str
    state_dir: Path

    def journal(self) -> dict[str, int]:
        """How many ranges are in which state; empty before there is a journal."""
        file = self.state_dir / self.job / "journal.sqlite"
        if not file.exists():
            return {}
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=10) as db:
            return dict(db.execute("SELECT state, COUNT(*) FROM range GROUP BY state"))

    def wait_for_ranges(self, done: int) -> None:
        """Until so many ranges are done."""

        def reached() -> bool:
            assert self.process.poll() is None, f"it ended early: {self.process.communicate()}"
            return self.journal().get("done", 0) >= done

        wait_until(reached, f"{done} ranges done")

    def workers(self) -> list[int]:
        """The pids of the job's workers."""
        return processes_named(f"shardload: worker {self.job} #")

    def janitor(self) -> int:
        """The pid of the job's janitor."""
        return _janitor(self.job)

    def signal(self, number: int) -> None:
        """Send the coordinator a signal."""
        self.process.send_signal(number)

    def finish(self, deadline_s: float = DEADLINE_S) -> Result:
        """Wait for the end."""
        try:
            out, err = self.process.communicate(timeout=deadline_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, err = self.process.communicate()
            raise AssertionError(f"did not end within {deadline_s} s:\n{out}\n{err}") from None
        return Result(self.process.returncode, out, err)


@dataclass
class Daemon:
    """A job that runs in the background."""

    world: World
    job: str
    pid: int

    def status(self) -> dict[str, Any]:
        """What `shardload status --json` says."""
        return json.loads(self.world.run("status", self.job, "--json").out)  # type: ignore[no-any-return]

    def wait_for(self, what: str, condition: Callable[[dict[str, Any]], Any], deadline_s: float = DEADLINE_S) -> Any:
        """Until the status is so; the condition's result. It is looked up without a command for each look."""
        job = JobDirectory.find(self.world.state_dir, self.job)
        try:
            return wait_until(lambda: condition(look(job).as_json()), what, deadline_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.status()}\n{self.log()}") from None

    def order(self, *words: str) -> Result:
        """Give an order that must be carried out."""
        done = self.world.run(*words)
        assert done.code == 0, f"{words}: {done.err}\n{self.log()}"
        return done

    def log(self) -> str:
        """The job's log."""
        file = self.world.state_dir / self.job / "log"
        return file.read_text() if file.exists() else ""

    def workers(self) -> list[int]:
        """The pids of the job's workers."""
        return processes_named(f"shardload: worker {self.job} #")

    def janitor(self) -> int:
        """The pid of the job's janitor."""
        return _janitor(self.job)

    def ipc(self) -> dict[str, Any]:
        """The run's SysV objects, as its directory records them."""
        return json.loads((self.world.state_dir / self.job / "run.json").read_text())["ipc"]  # type: ignore[no-any-return]

    def end(self, deadline_s: float = DEADLINE_S) -> dict[str, Any]:
        """Wait for the job's end; its last status."""
        self.wait_for("the end", lambda seen: seen["state"] not in RUNNING, deadline_s)
        return self.status()


@dataclass
class World:
    """Two servers, a state directory, and the command."""

    mysql: SourceUrl
    redis: TargetUrl
    state_dir: Path
    tables: list[str] = field(default_factory=list)

    # ---- the command

    def environment(self, **more: str) -> dict[str, str]:
        """The servers' URLs and the state directory, as a person would set them."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SHARDLOAD_")}
        return inherited | {
            "SHARDLOAD_MYSQL_URL": self.mysql.with_password(),
            "SHARDLOAD_REDIS_URL": self.redis.with_password(),
            "SHARDLOAD_STATE_DIR": str(self.state_dir),
            **more,
        }

    def start(self, *words: str, job: str = "", **environment: str) -> Running:
        """Start `shardload` with these words."""
        process = subprocess.Popen(
            [sys.executable, "-m", "shardload", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment(**environment),
            start_new_session=True,
        )
        return Running(process, job, self.state_dir)

    def run(self, *words: str, **environment: str) -> Result:
        """Run `shardload` to its end."""
        return self.start(*words, **environment).finish()

    def launch(self, *words: str, job: str, **environment: str) -> Daemon:
        """Start a job in the background; it is up when this returns."""
        done = self.run(*words, "--job", job, "--daemon", "--json", **environment)
        assert done.code == 0, done.err
        told = done.summary
        assert told["job"] == job
        return Daemon(self, job, told["pid"])

    def launch_again(self, job: str, *words: str) -> Daemon:
        """Resume a job in the background."""
        done = self.run("resume", job, "--daemon", "--json", *words)
        assert done.code == 0, done.err
        return Daemon(self, job, done.summary["pid"])

    # ---- MySQL

    @contextmanager
    def sql(self) -> Iterator[Any]:
        """A cursor; every value comes as the bytes of the text protocol."""
        connection = pymysql.connect(
            host=self.mysql.host, port=self.mysql.port, user=self.mysql.user, password=self.mysql.password or "",
            database=self.mysql.database, charset="utf8mb4", use_unicode=False, conv={}, autocommit=True,
            init_command="SET time_zone = '+00:00'",
        )  # fmt: skip
        try:
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()

    @property
    def is_mariadb(self) -> bool:
        """Whether the database is a MariaDB; else it is a MySQL."""
        return b"MariaDB" in self.execute("SELECT VERSION()")[0][0]

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements; the rows of the last."""
        with self.sql() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def make_table(self, name: str, columns: str) -> None:
        """A new table, dropped at the test's end."""
        self.tables.append(name)
        self.execute(f"DROP TABLE IF EXISTS `{name}`", f"CREATE TABLE `{name}` ({columns})")

    def kill_readers(self) -> int:
        """KILL the connections that read a range. How many there were."""
        killed = 0
        for number, info in self.execute("SELECT id, info FROM information_schema.processlist"):
            if info is not None and b"FORCE INDEX" in info:
                with suppress(pymysql.MySQLError):  # it has left by itself
                    self.execute(f"KILL {int(number)}")
                    killed += 1
        return killed

    def drop_tables(self) -> None:
        """Those that the test made."""
        for name in self.tables:
            self.execute(f"DROP TABLE IF EXISTS `{name}`")

    def rows(self, table: str) -> Iterator[dict[str, bytes | None]]:
        """Every row, by column."""
        with self.sql() as cursor:
            cursor.execute(f"SELECT * FROM `{table}`")
            names = [item[0].decode() if isinstance(item[0], bytes) else item[0] for item in cursor.description]
            for row in cursor.fetchall():
                yield dict(zip(names, row, strict=True))

    # ---- Redis

    def target(self, host: str = "", port: int = 0) -> Redis:
        """A plain client of the server at this address; by default of the URL's first, which may be a Sentinel."""
        return Redis(
            host=host or self.redis.host, port=port or self.redis.port, db=int(self.redis.database),
            username=self.redis.user or None, password=self.redis.password, protocol=2,
        )  # fmt: skip

    def masters(self) -> list[Redis]:
        """A plain client of every server that has keys: of one, of the Sentinels' master, or of a cluster's masters."""
        addresses = [(address.host, address.port) for address in self.redis.addresses]
        if self.redis.kind == "sentinel":
            addresses = [Sentinel(addresses).discover_master(self.redis.service)]  # type: ignore[no-untyped-call]
        elif self.redis.kind == "cluster":
            nodes = [ClusterNode(*address) for address in addresses]  # type: ignore[no-untyped-call]
            cluster: Any = RedisCluster(startup_nodes=nodes, protocol=2)
            addresses = [(node.host, node.port) for node in cluster.get_primaries()]
            cluster.close()
        return [self.target(*address) for address in addresses]

    def assert_exact(self, table: str, key: Callable[[dict[str, bytes | None]], str], *, null: str = "omit") -> int:
        """Every row is there, field for field and byte for byte, and no other key. The result is the keys' number."""
        expected: dict[bytes, dict[bytes, bytes]] = {}
        for row in self.rows(table):
            expected[key(row).encode()] = {
                name.encode(): value or b"" for name, value in row.items() if value is not None or null == "empty"
            }
        places = [(client, set(client.scan_iter(count=10_000))) for client in self.masters()]
        found = {name for _, names in places for name in names}
        assert found == expected.keys(), (
            f"{len(expected.keys() - found)} keys missing, {len(found - expected.keys())} too many"
        )
        assert sum(len(names) for _, names in places) == len(found), "a key is on two servers"
        for client, names in places:
            for name, told in _hashes(client, list(names)):
                fields = dict(zip(told[::2], told[1::2], strict=True))
                assert fields == expected[name], f"{name!r} is not what its row says"
                assert len(told) == 2 * len(fields), f"{name!r} has a field twice"
            client.close()
        return len(expected)


def _hashes(client: Redis, names: list[bytes]) -> Iterator[tuple[bytes, list[bytes]]]:
    """Each key with its fields and values by turns. By hand, because redis-py's pipeline takes many times as long."""
    connection: Any = client.connection_pool.get_connection()
    for start in range(0, len(names), 2000):
        some = names[start : start + 2000]
        connection.send_packed_command([b"*2\r\n$7\r\nHGETALL\r\n$%d\r\n%b\r\n" % (len(name), name) for name in some])
        for name in some:
            yield name, connection.read_response()
    connection.disconnect()


def by_id(row: dict[str, bytes | None]) -> str:
    """The key template `user:{id}`."""
    value = row["id"]
    assert value is not None
    return f"user:{value.decode()}"


def kill(*pids: int) -> None:
    """SIGKILL, all at once: none of them sees another one die. One that has gone is no error: a worker is killed by the
    kernel when its coordinator dies, and may be reaped before its own signal."""
    for number in (signal.SIGSTOP, signal.SIGKILL) if len(pids) > 1 else (signal.SIGKILL,):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def shares(err: str) -> list[float]:
    """The percentages that a bar or plain lines showed, in order."""
    return [float(found) for found in re.findall(r"(\d+(?:\.\d+)?)%", err)]
