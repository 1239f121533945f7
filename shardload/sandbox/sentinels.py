"""A Redis with replicas, and Sentinels that watch it: private servers, for tests."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from shardload.config.urls import TargetUrl, parse_redis
from shardload.errors import ShardloadError, TargetBusy, TargetLost
from shardload.process import is_stopped
from shardload.sandbox.servers import RedisServer, wait_for

_FAILOVER_TIMEOUT_MS = 3_000


class _Sentinel(RedisServer):
    """A Sentinel. It keeps what it learns in its configuration file, and so it knows it after a restart."""

    def watch(self, master: RedisServer, service: str, quorum: int, down_after_ms: int) -> None:
        """Write the configuration. Call it before start()."""
        (self.directory / "sentinel.conf").write_text(
            f"sentinel monitor {service} 127.0.0.1 {master.port} {quorum}\n"
            f"sentinel down-after-milliseconds {service} {down_after_ms}\n"
            f"sentinel failover-timeout {service} {_FAILOVER_TIMEOUT_MS}\n"
        )

    def start(self) -> _Sentinel:
        """Start it, and wait until it answers."""
        self._spawn(
            [
                self._program, str(self.directory / "sentinel.conf"), "--sentinel", "--bind", "127.0.0.1",
                "--port", str(self.port), "--dir", str(self.directory), "--daemonize", "no",
            ],
            self._answers,
        )  # fmt: skip
        return self


class Sentinels:
    """A master, `replicas` replicas of it, and `count` Sentinels, which know the master as `service`."""

    def __init__(
        self,
        directory: Path,
        master: RedisServer,
        replicas: int = 1,
        *,
        service: str = "primary",
        count: int = 3,
        down_after_ms: int = 1000,
    ) -> None:
        directory.mkdir(mode=0o700, exist_ok=True)
        self.service = service
        self.master = master
        """The first master. `current_master` says which one it is now."""
        follow = ("--replicaof", f"127.0.0.1 {master.port}", "--repl-diskless-sync-delay", "0")
        self.replicas = [RedisServer(directory / f"replica{number}", follow) for number in range(replicas)]
        self.sentinels = [_Sentinel(directory / f"sentinel{number}") for number in range(count)]
        for sentinel in self.sentinels:
            sentinel.watch(master, service, count // 2 + 1, down_after_ms)

    def __enter__(self) -> Sentinels:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def servers(self) -> list[RedisServer]:
        """The servers that hold data."""
        return [self.master, *self.replicas]

    @property
    def url(self) -> TargetUrl:
        """The service, with every Sentinel's address."""
        addresses = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return parse_redis(f"redis+sentinel://{addresses}/{self.service}/0")

    def start(self) -> Sentinels:
        """Start what is not running, and wait until every replica has its copy and the Sentinels know everybody."""
        try:
            for server in (*self.servers, *self.sentinels):
                if not server.is_running:
                    server.start()
            wait_for(self._is_ok, "the Sentinels know each other and every replica")
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Kill all servers, also the master: none has anything to save."""
        for server in (*self.sentinels, *self.servers):
            server.stop(kill=True)

    def master_address(self) -> tuple[str, int]:
        """Host and port that the Sentinels name. ShardloadError while they do not agree."""
        named = {
            tuple(sentinel.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.service))
            for sentinel in self.sentinels
            if sentinel.is_running
        }
        if len(named) != 1:
            raise ShardloadError("the Sentinels do not agree on the master", "ask again in a moment")
        host, port = named.pop()
        return host.decode(), int(port)

    def current_master(self) -> RedisServer:
        """The server at that address, which may have died."""
        _, port = self.master_address()
        return next(server for server in self.servers if server.port == port)

    def failover(self) -> RedisServer:
        """Let the Sentinels promote a replica, as a person would order it. Gives the new master, once all name it."""
        before = self.current_master()
        self.sentinels[0].call("SENTINEL", "FAILOVER", self.service)
        return self.wait_for_another(before)

    def wait_for_another(self, before: RedisServer) -> RedisServer:
        """Until all Sentinels name another master than this one, and it takes writes. The new master."""

        def has_changed() -> bool:
            try:
                now = self.current_master()
                return now is not before and now.info("replication")["role"] == "master"
            except (ShardloadError, StopIteration):
                return False

        wait_for(has_changed, "the Sentinels have promoted a replica")
        return self.current_master()

    def _is_ok(self) -> bool:
        others, replicas = len(self.sentinels) - 1, len(self.replicas)
        try:
            return (
                all(len(sentinel.call("SENTINEL", "SENTINELS", self.service)) == others for sentinel in self.sentinels)
                and all(self._sees(sentinel, replicas) for sentinel in self.sentinels)
                and self._is_fed(self.current_master())
            )
        except (TargetLost, TargetBusy):  # still starting
            return False

    def _sees(self, sentinel: RedisServer, replicas: int) -> bool:
        """True if this Sentinel could promote any of so many replicas now."""
        seen = [
            dict(zip(told[::2], told[1::2], strict=True))
            for told in sentinel.call("SENTINEL", "REPLICAS", self.service)
        ]
        return [(each[b"flags"], each[b"master-link-status"]) for each in seen] == [(b"slave", b"ok")] * replicas

    def _is_fed(self, master: RedisServer) -> bool:
        told = master.info("replication")
        fed = [value for name, value in told.items() if name.startswith("slave") and "state=online" in value]
        others = [each for each in self.servers if each is not master and each.is_running and not is_stopped(each.pid)]
        return len(fed) == len(others)
