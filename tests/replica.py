"""A MySQL and a replica that follows it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from shardload import source
from shardload.sandbox import MysqlServer
from shardload.sandbox.servers import LOOPBACK


@contextmanager
def master_and_replica(
    directory: Path, master_at: str = LOOPBACK, replica_at: str = LOOPBACK, *, password: str | None = None
) -> Iterator[tuple[MysqlServer, MysqlServer]]:
    """Both, in this order, at these addresses; with this password, or each with its own."""
    binlog = ("--log-bin=binlog", "--binlog-format=ROW")
    with ExitStack() as running:
        master = MysqlServer(directory / "master", (*binlog, "--server-id=1"), host=master_at)
        replica = MysqlServer(directory / "replica", ("--server-id=2",), host=replica_at)
        for server in (master, replica):
            server.url = replace(server.url, password=password or server.url.password)
            running.callback(server.stop)
            server.start()
        on_replica(
            replica,
            f"CHANGE MASTER TO MASTER_HOST = '{master_at}', MASTER_PORT = {master.port}, MASTER_USER = 'shardload',"
            f" MASTER_PASSWORD = '{master.url.password}', MASTER_LOG_FILE = 'binlog.000001', MASTER_LOG_POS = 4",
            "START SLAVE",
        )
        yield master, replica


def on_replica(replica: MysqlServer, *statements: str) -> None:
    """Execute these."""
    connection = source.connect(replica.url)
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    connection.close()
