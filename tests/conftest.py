"""One fixture for the real servers: SHARDLOAD_TEST_MYSQL_URL and _REDIS_URL if set, else the sandbox's."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from shardload.config.urls import SourceUrl, TargetUrl, parse_mysql, parse_redis
from shardload.errors import MissingServer
from shardload.sandbox import RedisServer, Sandbox, seed
from tests import own_world
from tests.harness import World, ipc_objects, kill, processes_named, wait_for_the_dead

# Machines are shared and may be slow: no property fails because of the seconds that it, or its examples, took to make.
settings.register_profile("shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared machine")

Servers = tuple[SourceUrl, TargetUrl]

# Never side by side: the container tests share an engine, and each asks what it left there; the package is built, and
# the fleet has its servers, once.
ONE_AFTER_ANOTHER = ("tests/containers/", "tests/e2e/test_package.py", "tests/e2e/test_fleet.py")


def pytest_xdist_auto_num_workers() -> int:
    """For `-n auto`: tests wait more than they compute, so more of them than processors run side by side.

    None do where the tests cannot have SysV objects of their own: each of them would see the other ones'.
    """
    return 2 * len(os.sched_getaffinity(0)) if own_world.own_objects() else 0


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Any test goes to whichever process is free, but what shares something expensive stays in one of them."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types
        def _split_scope(self, nodeid: str) -> str:
            return next((start for start in ONE_AFTER_ANOTHER if nodeid.startswith(start)), nodeid)

    return Scheduling(config, log)


def pytest_configure(config: pytest.Config) -> None:
    """Signals as at a shell's prompt (`nohup scripts/test` would hand on that a hang-up is ignored), and a world
    of the tests' own."""
    for number in (signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    given: dict[str, bool] = getattr(config, "workerinput", {})
    own_world.enter(has_namespace=given.get("has_namespace"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Processes for tests are about to be started, with every signal held. Each lets them through again where it runs
    its tests, but its second thread, which is execnet's, does not: a signal that a test holds reaches nobody else."""
    signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """One has been started; it has the SysV objects that this process had. The next gets others."""
    node.workerinput["has_namespace"] = own_world.has_namespace()
    own_world.own_objects()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodeready() -> None:
    """It is up, and so are the others, which were started before anybody looked."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


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


@pytest.fixture(scope="session")
def few_users(servers: Servers) -> str:
    """A small one, for what the number of rows does not matter to."""
    return _seeded(servers, 20_000)


@pytest.fixture(scope="session")
def users_200k(servers: Servers) -> str:
    """One that fills several servers, for tests of clusters and failovers."""
    return _seeded(servers, 200_000)


def _seeded(servers: Servers, rows: int) -> str:
    world, table = World(*servers, Path(os.devnull)), f"users{rows}"
    world.execute(f"DROP TABLE IF EXISTS {table}")
    seed(servers[0], table, rows, 1, lambda _: None)
    return table
