"""The tests that ask servers something, against servers of other makes and versions; Testcontainers starts them."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pymysql
import pytest
from redis import Redis
from testcontainers.community.mysql import MySqlContainer
from testcontainers.community.redis import RedisContainer

from tests.containers.engine import LABEL, docker, run, wait_until

# Those that take the servers from the environment; the others start their own, or need none. A server runs what can
# differ on it: all else is shown by the sandbox's servers, which are of the makes and versions that Debian has.
SQL = [  # types as a server writes them, estimates, names, keys, logins over TLS, the synthetic users
    "tests/integration/test_source.py",
    "tests/integration/test_edge_tables.py",
    "tests/integration/test_login_plugins.py",
    "tests/integration/test_seed.py",
    "tests/integration/test_types.py",
    "tests/e2e/test_refused.py",
]
REPLIES = [  # what a Redis tells of itself, what it refuses, RESTORE of every layout
    "tests/integration/test_target.py",
    "tests/integration/test_restore.py",
]
A_JOB = ["tests/e2e/test_run.py"]
PLUGINS = ["tests/integration/test_login_plugins.py"]  # MariaDB's are in a package that the sandbox does not need
PASSWORD = "pass/word of @ll:"  # what has to be encoded in a URL
ENCODED = "pass%2Fword%20of%20%40ll%3A"
_LABELS = {LABEL: ""}
# Fast rather than durable, as the sandbox's; and packets for rows over 16 MiB.
_MYSQL_OPTIONS = [
    "--max-allowed-packet=256M", "--skip-log-bin", "--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0",
    "--innodb-buffer-pool-size=512M", "--max-connections=200",
]  # fmt: skip


@contextmanager
def mysql_server(image: str, user: str = "root", seed: str | None = None) -> Iterator[MySqlContainer]:
    """A MySQL or MariaDB with a database `app`."""
    server = MySqlContainer(image, username=user, password=PASSWORD, dbname="app", seed=seed)
    with server.with_kwargs(labels=_LABELS).with_command(_MYSQL_OPTIONS) as started:
        yield started


@contextmanager
def redis_server(image: str) -> Iterator[RedisContainer]:
    """A Redis or Valkey that keeps nothing on disk. The official images of both know both names of the program."""
    server = RedisContainer(image, password="secret")
    command = ["redis-server", "--requirepass", "secret", "--save", ""]
    with server.with_kwargs(labels=_LABELS).with_command(command) as started:
        yield started


def connect(server: MySqlContainer) -> pymysql.Connection[pymysql.cursors.Cursor]:
    """A connection with the credentials that the container was given."""
    return pymysql.connect(
        host=server.get_container_host_ip(), port=int(server.get_exposed_port(3306)), user=server.username,
        password=server.password, database=server.dbname,
    )  # fmt: skip


def version_of_mysql(server: MySqlContainer) -> str:
    """What the server calls itself."""
    with connect(server) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT VERSION()")
        row = cursor.fetchone()
    assert row
    return str(row[0])


def version_of_redis(server: RedisContainer) -> str:
    """What the server calls itself. Valkey has a version of Redis too, for clients that ask for nothing else."""
    client: Redis = server.get_client()
    told = client.info("server")
    client.close()
    return f"Valkey {told['valkey_version']}" if "valkey_version" in told else f"Redis {told['redis_version']}"


@pytest.mark.parametrize(
    ("source", "target", "makes", "tests"),
    [
        ("MYSQL_IMAGE", "REDIS_IMAGE", r"[89]\..* Redis 8", [*SQL, *REPLIES, *A_JOB]),
        ("MYSQL_IMAGE", "VALKEY_IMAGE", r"[89]\..* Valkey [89]", [*REPLIES, *A_JOB]),  # MySQL had its turn
        # the sandbox's makes, by the network
        ("MARIADB_IMAGE", "REDIS7_IMAGE", r".*MariaDB.* Redis 7", [*PLUGINS, *A_JOB]),
    ],
    ids=["MySQL, Redis 8", "MySQL, Valkey", "MariaDB, Redis 7"],
)
def test_the_same_tests(
    image_of: Callable[[str], str],
    tell: Callable[[str], None],
    tmp_path: Path,
    source: str,
    target: str,
    makes: str,
    tests: list[str],
) -> None:
    """What holds for the sandbox's servers holds for these."""
    with mysql_server(image_of(source)) as mysql, redis_server(image_of(target)) as redis:
        versions = f"{version_of_mysql(mysql)} {version_of_redis(redis)}"
        assert re.match(makes, versions), f"these are not the servers that were meant: {versions}"
        done = run(
            sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'inner'}",
            *tests, deadline_s=1200,
            SHARDLOAD_TEST_MYSQL_URL=f"mysql://root:{ENCODED}@{mysql.get_container_host_ip()}:"
            f"{mysql.get_exposed_port(3306)}/app",
            SHARDLOAD_TEST_REDIS_URL=f"redis://:secret@{redis.get_container_host_ip()}:"
            f"{redis.get_exposed_port(6379)}/0",
        )  # fmt: skip
    assert done.code == 0, f"on {versions}:\n{done.out}"
    tell(f"{image_of(source)}, {image_of(target)} (MySQL {versions}): {done.out.splitlines()[-1].strip('= ')}")


@pytest.mark.parametrize("variable", ["MYSQL_IMAGE", "MARIADB_IMAGE"])
def test_a_first_start(image_of: Callable[[str], str], tmp_path: Path, variable: str) -> None:
    """What the official images promise, and stand-ins too: a database, a user who has it, and scripts carried out."""
    (tmp_path / "1.sql").write_text("CREATE TABLE made (word VARCHAR(20)); INSERT INTO made VALUES ('by a script');")
    (tmp_path / "2.sh").write_text("touch /tmp/by-a-shell-script")
    with mysql_server(image_of(variable), "somebody", str(tmp_path)) as server:
        with connect(server) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT word FROM made")
            assert cursor.fetchone() == ("by a script",)
            cursor.execute("CREATE TABLE more (id INT)")
            with pytest.raises(pymysql.err.OperationalError, match="denied"):
                cursor.execute("CREATE DATABASE other")
        docker("exec", server.get_container_id(), "test", "-e", "/tmp/by-a-shell-script")


def test_mariadbs_health_check(image_of: Callable[[str], str]) -> None:
    """It is MariaDB's own that the official image brings, and the stand-in answers to the same words."""
    container = docker(
        "run", "--detach", "--label", LABEL, "--env", "MARIADB_ROOT_PASSWORD=x",
        "--health-cmd", "healthcheck.sh --connect --innodb_initialized", "--health-interval", "1s",
        image_of("MARIADB_IMAGE"),
    )  # fmt: skip
    try:
        state = ("container", "inspect", "--format", "{{.State.Health.Status}}", container)
        wait_until(lambda: docker(*state) == "healthy", "healthy", container)
    finally:
        docker("rm", "--force", "--volumes", container)
