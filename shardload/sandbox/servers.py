"""Private MySQL/MariaDB and Redis/Valkey servers: own directory, loopback only, free ports, gone with their maker.

Each server process asks Linux to be killed when the process that started it dies, so that not even a kill -9 of the
demo or of a test leaves one behind.
"""

from __future__ import annotations

import os
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

from shardload import source
from shardload.config.urls import SourceUrl, TargetUrl
from shardload.errors import MissingServer, ShardloadError, StoppedBySignal, TargetLost
from shardload.process import spawn
from shardload.target import TargetConnection

START_DEADLINE_S = 60.0
STOP_DEADLINE_S = 30.0
_LOOK_AGAIN_S = 0.05
_PLACES = ("/usr/sbin", "/usr/local/sbin", "/usr/libexec", "/opt/homebrew/bin", "/usr/local/bin")

MYSQL_PROGRAMS = ("mysqld", "mariadbd")
REDIS_PROGRAMS = ("redis-server", "valkey-server")


def find_program(names: Sequence[str], package: str) -> str:
    """The first of these programs that is installed. MissingServer, with the line to install one, if none is."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_PLACES])
    for name in names:
        if found := shutil.which(name, path=path):
            return found
    how = f"brew install {package.split()[0].removesuffix('-server')}" if sys.platform == "darwin" else (
        f"sudo apt-get install --no-install-recommends {package}"
    )  # fmt: skip
    raise MissingServer(f"no {' or '.join(names)} on this machine", how)


class _Server:
    """A child process that listens on a port of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(mode=0o700, exist_ok=True)
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The running server's pid."""
        assert self._process is not None
        return self._process.pid

    def stop(self, *, kill: bool = False) -> None:
        """End the server: in order, or with SIGKILL. Returns when it is gone."""
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
            time.sleep(_LOOK_AGAIN_S)


class MysqlServer(_Server):
    """A MySQL or MariaDB with one database `app` and one all-powerful user; fast rather than durable."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._program = find_program(MYSQL_PROGRAMS, "mariadb-server-core")
        self.url = SourceUrl("127.0.0.1", self.port, "shardload", secrets.token_hex(12), "app")
        self._data = directory / "data"

    def start(self) -> MysqlServer:
        """Make the data directory if there is none, start, and wait until a login works."""
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
                f"--port={self.port}", "--bind-address=127.0.0.1",
                "--socket=mysql.sock",  # in the data directory; a socket's path may have 107 bytes, ours may be longer
                f"--pid-file={self.directory / 'mysql.pid'}", f"--init-file={init}",
                f"--secure-file-priv={self.directory}", "--loose-mysqlx=OFF",
                "--skip-name-resolve", "--skip-log-bin", "--innodb-flush-log-at-trx-commit=0",
                "--innodb-doublewrite=0", "--innodb-buffer-pool-size=512M", "--innodb-log-file-size=256M",
                "--max-allowed-packet=256M", "--max-connections=200",
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
            raise ShardloadError(f"{command[0]} failed: {told}", "is a package missing, or the disk full?")

    def _answers(self) -> bool:
        try:
            source.connect(self.url).close()
        except StoppedBySignal:
            raise
        except ShardloadError:
            return False  # not there yet, or up, but the init file is still at work
        return True


class RedisServer(_Server):
    """A Redis or Valkey that keeps nothing on disk, unless `options` say so."""

    def __init__(self, directory: Path, options: Sequence[str] = ()) -> None:
        super().__init__(directory)
        self._program = find_program(REDIS_PROGRAMS, "redis-server")
        self._options = list(options)
        self.url = TargetUrl("127.0.0.1", self.port, "", None, "0")

    def start(self) -> RedisServer:
        """Start, and wait until it answers and has read its data."""
        self._spawn(
            [
                self._program, "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.directory),
                "--daemonize", "no", "--save", "", "--appendonly", "no", *self._options,
            ],
            self._answers,
        )  # fmt: skip
        return self

    def _answers(self) -> bool:
        try:
            connection = TargetConnection(self.url)
        except TargetLost:
            return False
        try:
            connection.call("PING")
        except TargetLost:
            return False
        finally:
            connection.close()
        return True


class Sandbox:
    """A temporary directory with one server of each kind; all of it is gone at the end, unless `keep`."""

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
        """Stop both servers and remove everything."""
        self.mysql.stop()
        self.redis.stop()
        if not self._keep:
            shutil.rmtree(self.directory, ignore_errors=True)


def _is_mariadb(program: str) -> bool:
    shown = subprocess.run(
        [program, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    return "mariadb" in shown.stdout.lower()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
