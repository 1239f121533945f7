"""Private MySQL/MariaDB and Redis/Valkey servers, each with its own directory and a free port, on loopback by default.

Linux kills each server when the process that started it dies, so even a kill -9 of the demo or of a test leaves none
running.
"""

from __future__ import annotations

import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from shardload import source
from shardload.config.urls import SourceUrl, TargetUrl
from shardload.errors import MissingServer, ShardloadError, StoppedBySignal, TargetLost
from shardload.process import spawn
from shardload.target import TargetConnection

LOOPBACK = "127.0.0.1"
START_DEADLINE_S = 60.0
STOP_DEADLINE_S = 30.0
_CALL_TIMEOUT_S = 10.0
_POLL_S = 0.05
# Below the ports that Linux gives to outgoing connections, so that a server that was stopped finds its port free again.
_PORTS = range(12_000, 22_000)
_BUS_OFFSET = 10_000  # from a Redis Cluster node's port to that of its bus
# Searched after PATH.
_MORE_DIRECTORIES = ("/usr/sbin", "/usr/local/sbin", "/usr/libexec", "/opt/homebrew/bin", "/usr/local/bin")

MYSQL_PROGRAMS = ("mysqld", "mariadbd")
REDIS_PROGRAMS = ("redis-server", "valkey-server")


def find_program(names: Sequence[str], package: str) -> str:
    """The path of the first of these programs that is installed. MissingServer if none is.

    The error's hint is the command that installs `package`, its package in Debian.
    """
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_MORE_DIRECTORIES])
    for name in names:
        if found := shutil.which(name, path=path):
            return found
    command = f"brew install {package.split()[0].removesuffix('-server')}" if sys.platform == "darwin" else (
        f"sudo apt-get install --no-install-recommends {package}"
    )  # fmt: skip
    raise MissingServer(f"{' or '.join(names)} is not installed", f"run: {command}")


class _Server:
    """A server as a child process, which listens on a free port of `host`, an address of this machine."""

    def __init__(self, directory: Path, host: str = LOOPBACK) -> None:
        self.directory = directory
        self.host = host
        directory.mkdir(mode=0o700, exist_ok=True)
        self.port = _free_port(host)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """False before start(), and after the server has ended in whatever way."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The running server's pid."""
        assert self._process is not None
        return self._process.pid

    def stop(self, *, kill: bool = False) -> None:
        """Stop the server with SIGTERM, or with SIGKILL, and wait until it has ended."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        try:
            self._process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _spawn(self, command: list[str], is_ready: Callable[[], bool]) -> None:
        log = self.directory / "server.log"
        with log.open("ab") as output:
            self._process = spawn(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        give_up_s = time.monotonic() + START_DEADLINE_S
        while not is_ready():
            if self._process.poll() is not None or time.monotonic() > give_up_s:
                self.stop(kill=True)
                tail = log.read_text(errors="replace").splitlines()[-5:]
                raise ShardloadError(f"{command[0]} did not start: {' | '.join(tail)}", f"see {log}")
            time.sleep(_POLL_S)


class MysqlServer(_Server):
    """A MySQL or MariaDB with a database `app` and a user with all rights. Its settings prefer speed to durability;
    `options` are more of its command line."""

    def __init__(self, directory: Path, options: Sequence[str] = (), *, host: str = LOOPBACK) -> None:
        super().__init__(directory, host)
        self._options = list(options)
        self._program = find_program(MYSQL_PROGRAMS, "mariadb-server-core")
        self.url = SourceUrl(
            host=host, port=self.port, user="shardload", password=secrets.token_hex(12), database="app"
        )
        self._data = directory / "data"

    def start(self) -> MysqlServer:
        """Make the data directory if there is none, start the server, and wait until a login works."""
        if not self._data.exists():
            self._install()
        init = self.directory / "init.sql"
        init.write_text(
            "CREATE DATABASE IF NOT EXISTS app CHARACTER SET utf8mb4;\n"
            f"CREATE USER IF NOT EXISTS 'shardload'@'%' IDENTIFIED BY '{self.url.password}';\n"
            "GRANT ALL PRIVILEGES ON *.* TO 'shardload'@'%' WITH GRANT OPTION;\n"
        )
        init.chmod(0o600)
        self._spawn(
            [
                *self._command(),
                f"--port={self.port}", f"--bind-address={self.host}",
                "--socket=mysql.sock",  # relative to the data directory, because a socket's path has at most 107 bytes
                f"--pid-file={self.directory / 'mysql.pid'}", f"--init-file={init}",
                f"--secure-file-priv={self.directory}", "--loose-mysqlx=OFF",
                "--skip-name-resolve", "--skip-log-bin", "--innodb-flush-log-at-trx-commit=0",
                "--innodb-doublewrite=0", "--innodb-buffer-pool-size=512M", "--innodb-log-file-size=256M",
                "--max-allowed-packet=256M", "--max-connections=200", *self._options,
            ],
            self._answers,
        )  # fmt: skip
        return self

    def _command(self) -> list[str]:
        as_root = ["--user=root"] if os.geteuid() == 0 else []
        return [self._program, "--no-defaults", f"--datadir={self._data}", *as_root]

    def _install(self) -> None:
        if Path(self._program).name == "mysqld" and not _is_mariadb(self._program):
            command = [*self._command(), "--initialize-insecure"]
        else:
            program = find_program(("mariadb-install-db", "mysql_install_db"), "mariadb-server-core")
            as_root = ["--user=root"] if os.geteuid() == 0 else []
            command = [
                program, "--no-defaults", f"--datadir={self._data}", *as_root,
                "--auth-root-authentication-method=normal", "--skip-test-db",
            ]  # fmt: skip
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            told = (done.stderr.strip() or done.stdout.strip())[:500]
            hint = "check that the server's packages are complete and the disk has space"
            raise ShardloadError(f"{command[0]} failed: {told}", hint)

    def _answers(self) -> bool:
        try:
            source.connect(self.url).close()
        except StoppedBySignal:
            raise
        except ShardloadError:
            return False  # not up yet, or the init file has not been executed yet
        return True


class RedisServer(_Server):
    """A Redis or Valkey that saves nothing to disk, unless `options` (of its command line) say so. The first of the
    `programs` that is installed is started."""

    def __init__(
        self,
        directory: Path,
        options: Sequence[str] = (),
        *,
        programs: Sequence[str] = REDIS_PROGRAMS,
        host: str = LOOPBACK,
    ) -> None:
        super().__init__(directory, host)
        self._program = find_program(programs, programs[0])
        self._options = list(options)
        self.url = TargetUrl(host=host, port=self.port, user="", password=None, database="0")

    def start(self) -> RedisServer:
        """Start the server, and wait until it answers and has loaded its data."""
        self._spawn(
            [
                self._program, "--bind", self.host, "--port", str(self.port), "--dir", str(self.directory),
                "--daemonize", "no", "--save", "", "--appendonly", "no",
                *(("--protected-mode", "no") if self.host != LOOPBACK else ()), *self._options,
            ],
            self._answers,
        )  # fmt: skip
        return self

    def call(self, *words: bytes | str | int) -> Any:
        """The reply to one command, on a connection of its own. Errors as those of TargetConnection."""
        connection = TargetConnection(self.url, timeout_s=_CALL_TIMEOUT_S)
        try:
            return connection.call(*words)
        finally:
            connection.close()

    def info(self, section: str) -> dict[str, str]:
        """A section of INFO, by name."""
        lines = self.call("INFO", section).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def _answers(self) -> bool:
        try:
            self.call("PING")
        except TargetLost:
            return False
        return True


class Sandbox:
    """One MySQL and one Redis in a temporary directory, which is removed at the end unless `keep` is set."""

    def __init__(self, *, keep: bool = False) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="shardload-sandbox-"))
        self._keep = keep
        self.mysql = MysqlServer(self.directory / "mysql")
        self.redis = RedisServer(self.directory / "redis")

    def __enter__(self) -> Sandbox:
        try:
            self.redis.start()
            self.mysql.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop both servers, and remove the directory unless it is kept."""
        self.mysql.stop()
        self.redis.stop()
        if not self._keep:
            shutil.rmtree(self.directory, ignore_errors=True)


def _is_mariadb(program: str) -> bool:
    shown = subprocess.run(
        [program, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    return "mariadb" in shown.stdout.lower()


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Return when the condition is true. ShardloadError if it has not become so in time."""
    give_up_s = time.monotonic() + START_DEADLINE_S
    while not condition():
        if time.monotonic() > give_up_s:
            raise ShardloadError(f"not within {START_DEADLINE_S:.0f} s: {what}", "see server.log of each server")
        time.sleep(_POLL_S)


def _free_port(host: str) -> int:
    """A port that is free, and so is the one that a cluster's bus would have beside it."""
    while True:
        port = random.choice(_PORTS)
        try:
            for number in (port, port + _BUS_OFFSET):
                with socket.socket() as probe:
                    probe.bind((host, number))
        except OSError:
            continue
        return port
