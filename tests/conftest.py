"""One fixture for the real servers: SHARDLOAD_TEST_MYSQL_URL and _REDIS_URL if set, else the sandbox's."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from shardload.config.urls import SourceUrl, TargetUrl, parse_mysql, parse_redis
from shardload.errors import MissingServer
from shardload.sandbox import RedisServer, Sandbox, seed
from tests import own_world
from tests.harness import World, ipc_objects, kill, processes_named, wait_for_the_dead

Servers = tuple[SourceUrl, TargetUrl]


def pytest_configure() -> None:
    """Signals as at a shell's prompt (`nohup scripts/test` would hand on that a hang-up is ignored), and a world
    of the tests' own."""
    for number in (signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    own_world.enter()


def pytest_unconfigure() -> None:
    """Nothing of it stays."""
    own_world.leave()


def pytest_report_header() -> str:
    """Whether somebody else's SysV objects can be seen by the tests."""
    return own_world.description()


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """A MySQL database and a Redis that belong to the tests alone: the latter is flushed."""
    mysql, redis = os.environ.get("SHARDLOAD_TEST_MYSQL_URL"), os.environ.get("SHARDLOAD_TEST_REDIS_URL")
    if mysql and redis:
        yield parse_mysql(mysql), parse_redis(redis)
        return
    try:
        sandbox = Sandbox()
    except MissingServer as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    with sandbox:
        yield sandbox.mysql.url, sandbox.redis.url


@pytest.fixture
def world(servers: Servers, tmp_path: Path) -> Iterator[World]:
    """The servers, with an empty Redis, and an own state directory."""
    world = World(*servers, tmp_path / "state")
    world.target().flushdb()
    yield world
    world.drop_tables()


@pytest.fixture
def own_redis(world: World, tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own, to stop and to start; the world uses it."""
    server = RedisServer(tmp_path / "redis").start()
    before, world.redis = world.redis, server.url
    yield server
    world.redis = before
    server.stop(kill=True)


@pytest.fixture(autouse=True)
def _nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """After every test that uses servers: no SysV object, no process and no temporary directory of the tests more."""
    if "unit" in request.path.parts:
        yield
        return
    ours = ("shardload-demo-", "shardload-sandbox-")
    before = ipc_objects()
    directories = {name for name in os.listdir(tempfile.gettempdir()) if name.startswith(ours)}  # noqa: PTH208
    yield
    try:
        wait_for_the_dead(before)
    except AssertionError:
        kill(*processes_named("shardload: "))  # of these tests: what one left must not fail the next
        raise
    assert ipc_objects() == before
    after = {name for name in os.listdir(tempfile.gettempdir()) if name.startswith(ours)}  # noqa: PTH208
    if "servers" not in request.fixturenames:
        assert after == directories


@pytest.fixture(scope="session")
def users(servers: Servers) -> str:
    """A table of 300 000 synthetic users: gaps, NULLs, unicode. Made once; nobody changes it."""
    return _seeded(servers, 300_000)


@pytest.fixture(scope="session")
def many_users(servers: Servers) -> str:
    """A smaller one, for tests that load it several times."""
    return _seeded(servers, 100_000)


def _seeded(servers: Servers, rows: int) -> str:
    world, table = World(*servers, Path(os.devnull)), f"users{rows}"
    world.execute(f"DROP TABLE IF EXISTS {table}")
    seed(servers[0], table, rows, 1, lambda _: None)
    return table
