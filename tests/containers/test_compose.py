"""docker-compose.yml: the whole story in one command, and what can happen to the import in the middle of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.containers.engine import IMAGE, PROJECT, Done, docker, ended, inspect, left, run, wait_until

ROWS = 200_000
IMPORT = ("run", "--table", "user", "--key", "user:{id}", "--workers", "2", "--progress", "plain")
SLOWLY = ("--range-rows", "5000", "--rate", "1000")  # minutes: on a slow machine, too, it ends long after the test


class Project:
    """The Compose project of these tests."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment

    def run(self, *words: str, deadline_s: float = 300) -> Done:
        """`docker compose` with these words."""
        return run("docker", "compose", "--project-name", PROJECT, *words, deadline_s=deadline_s, **self._environment)

    def must(self, *words: str, deadline_s: float = 300) -> str:
        """The same; what it said. AssertionError, with every service's log, if it failed."""
        done = self.run(*words, deadline_s=deadline_s)
        assert done.code == 0, f"{words}: {done.code}\n{done.out}\n{self.run('logs').out}"
        return done.out

    def begin(self, job: str, *more: str) -> str:
        """Start an import in the background; the container's id."""
        return self.must("run", "--detach", "--no-TTY", "import", *IMPORT, "--job", job, *more).split()[-1]

    def keys(self) -> int:
        """How many keys Redis has."""
        ask = 'REDISCLI_AUTH="$(cat /run/secrets/redis_password)" redis-cli'
        return int(self.must("exec", "--no-TTY", "redis", "sh", "-c", f"{ask} dbsize").split()[-1])

    def forget_keys(self) -> None:
        """Empty Redis: what is there afterwards was loaded since."""
        ask = 'REDISCLI_AUTH="$(cat /run/secrets/redis_password)" redis-cli'
        self.must("exec", "--no-TTY", "redis", "sh", "-c", f"{ask} flushall")

    def node(self, number: int, *words: str) -> str:
        """What this node of the cluster answers."""
        ask = 'REDISCLI_AUTH="$(cat /run/secrets/redis_password)" redis-cli'
        where = ("exec", "--no-TTY", "--index", str(number), "node", "sh", "-c")
        return self.must("--profile", "cluster", *where, f"{ask} {' '.join(words)}")

    def status(self, container: str, job: str) -> dict[str, Any]:
        """What `shardload status` says in the container of the import; empty before there is a job."""
        done = run("docker", "exec", container, "shardload", "status", job, "--json")
        found: dict[str, Any] = json.loads(done.out) if done.code == 0 else {}
        return found

    def verify(self, job: str) -> str:
        """`shardload verify` for the job."""
        return self.must("run", "--rm", "--no-TTY", "--no-deps", "verify", "verify", job)


@pytest.fixture(scope="module")
def project(image_of: Callable[[str], str], shardload_image: str, tell: Callable[[str], None]) -> Iterator[Project]:
    """Settings for the file alone; nothing runs yet. All of it is gone afterwards."""
    images = {name: image_of(name) for name in ("PYTHON_IMAGE", "MYSQL_IMAGE", "REDIS_IMAGE")}
    tell(f"docker-compose.yml: {', '.join(images.values())}")
    project = Project(images | {"ROWS": str(ROWS), "SHARDLOAD_IMAGE": IMAGE})
    yield project
    project.must("--profile", "cluster", "--profile", "fleet", "down", "--volumes", "--remove-orphans")


@pytest.fixture(scope="module")
def seeded(project: Project) -> Project:
    """Servers that run, and a table of users."""
    project.must("up", "--detach", "--wait", "mysql", "redis")
    project.must("run", "--rm", "--no-TTY", "seed")
    return project


def middle(project: Project, container: str, job: str) -> None:
    """Until the job has loaded some rows, and not all of them."""

    def some() -> bool:
        assert inspect(container)["State"]["Running"], docker("logs", container)
        return bool(project.status(container, job).get("rows_read"))

    wait_until(some, f"{job} has loaded rows", container)


def test_the_file_can_be_read(project: Project) -> None:
    """Each service has its limits; no password is a value in it, no port is open; what waits, waits for health."""
    simple = {"mysql", "redis", "seed", "import", "verify"}
    assert set(json.loads(project.must("config", "--format", "json"))["services"]) == simple
    services = json.loads(project.must("--profile", "cluster", "config", "--format", "json"))["services"]
    assert set(services) == simple | {"node", "form-cluster", "import-cluster", "verify-cluster"}
    fleet = json.loads(project.must("--profile", "fleet", "config", "--format", "json"))["services"]
    assert set(fleet) == simple | {"scheduler", "machine", "import-fleet", "verify-fleet"}
    services |= fleet
    for name, service in services.items():
        assert service["mem_limit"], name
        assert service["cpus"], name
        assert "ports" not in service, name
        for variable, value in service.get("environment", {}).items():
            assert "PASSWORD" not in variable or value.startswith("/run/secrets/"), f"{name}: {variable}"
    assert {name for name in services if "healthcheck" in services[name]} == {
        "mysql", "redis", "node", "scheduler", "machine",
    }  # fmt: skip


def test_the_whole_story(project: Project) -> None:
    """One command: servers, users, import, comparison; it ends with what the comparison says, and leaves nothing."""
    done = project.run("up", "--build", "--abort-on-container-failure", "--exit-code-from", "verify", deadline_s=600)
    print(done.out)
    assert done.code == 0, project.run("logs").out
    for told in (
        f"{ROWS:,} users in table user",
        "job demo: complete",
        f"{ROWS:,} rows read = {ROWS:,} keys written",
        f"{ROWS:,} rows compared: 0 missing, 0 different, 0 of another type, 0 with another expiry, ",
    ):
        assert told in done.out
    project.must("down", "--volumes")
    assert not left()


def test_the_whole_story_of_a_cluster(project: Project) -> None:
    """One command again: six nodes, which become three masters with a replica each; users, import, comparison."""
    done = project.run(
        "--profile", "cluster", "up", "--build", "--abort-on-container-failure", "--exit-code-from", "verify-cluster",
        "--attach-dependencies", "verify-cluster", deadline_s=600,
    )  # fmt: skip
    print(done.out)
    assert done.code == 0, project.run("--profile", "cluster", "logs").out
    for told in (
        f"{ROWS:,} users in table user",
        "[OK] All 16384 slots covered.",
        "job demo-cluster: complete",
        f"{ROWS:,} rows read = {ROWS:,} keys written",
        f"{ROWS:,} rows compared: 0 missing, 0 different, 0 of another type, 0 with another expiry, ",
    ):
        assert told in done.out
    nodes = [project.node(number, "cluster", "nodes") for number in range(1, 7)]
    assert all(told.count(" connected") == 6 for told in nodes)
    assert sum("myself,master" in told for told in nodes) == sum("myself,slave" in told for told in nodes) == 3
    project.must("--profile", "cluster", "down", "--volumes")
    assert not left()


def test_the_whole_story_of_a_fleet(project: Project) -> None:
    """One command again: a scheduler, two machines and a head; both machines have done some of it."""
    done = project.run(
        "--profile", "fleet", "up", "--build", "--abort-on-container-failure", "--exit-code-from", "verify-fleet",
        "--attach-dependencies", "verify-fleet", deadline_s=600,
    )  # fmt: skip
    print(done.out)
    assert done.code == 0, project.run("--profile", "fleet", "logs").out
    for told in (
        "job demo-fleet: complete",
        f"{ROWS:,} rows read = {ROWS:,} keys written",
        f"{ROWS:,} rows compared: 0 missing, 0 different, 0 of another type, 0 with another expiry, ",
    ):
        assert told in done.out
    project.must("--profile", "fleet", "down", "--volumes")
    assert not left()


def test_a_difference_is_the_exit_code(seeded: Project) -> None:
    """What `verify` finds wrong is how the command ends."""
    seeded.must("run", "--rm", "--no-TTY", "import", *IMPORT, "--job", "short")
    assert seeded.keys() == ROWS
    seeded.forget_keys()
    done = seeded.run("run", "--rm", "--no-TTY", "--no-deps", "verify", "verify", "short")
    assert done.code == 4
    assert f"{ROWS:,} missing" in done.out


def test_a_killed_import_goes_on(seeded: Project) -> None:
    """SIGKILL to its container takes every process of it at once; another container goes on with what is not done."""
    seeded.forget_keys()
    container = seeded.begin("killed", *SLOWLY)
    middle(seeded, container, "killed")
    docker("kill", container)
    assert ended(container) == 137
    some = seeded.keys()
    assert 0 < some < ROWS
    told = seeded.must("run", "--rm", "--no-TTY", "import", "resume", "killed", "--rate", "off")
    assert "job killed: complete" in told
    assert seeded.keys() == ROWS
    assert f"{ROWS:,} rows compared: 0 missing, 0 different" in seeded.verify("killed")


def test_stopping_ends_it_in_order(seeded: Project) -> None:
    """`docker stop`: the batches in hand are finished, the exit code is TERM's, and long before the grace is over."""
    seeded.forget_keys()
    container = seeded.begin("stopped", *SLOWLY)
    middle(seeded, container, "stopped")
    done = run("docker", "stop", container)
    assert ended(container) == 143, done.out
    grace_s = inspect(container)["Config"]["StopTimeout"]
    assert done.took_s < min(grace_s, 10), "10 s are what `docker stop` gives where nobody says more"
    assert "to go on: shardload resume stopped" in docker("logs", container)
    told = seeded.must("run", "--rm", "--no-TTY", "import", "resume", "stopped", "--rate", "off")
    assert "job stopped: complete" in told
    assert f"{ROWS:,} rows compared: 0 missing, 0 different" in seeded.verify("stopped")


def test_two_imports_do_not_meet(seeded: Project) -> None:
    """Each container has its own queues and shared memory; and a job that runs cannot be resumed elsewhere."""
    container = seeded.begin("busy", *SLOWLY)
    middle(seeded, container, "busy")
    done = seeded.run("run", "--rm", "--no-TTY", "import", "resume", "busy")
    assert done.code == 2
    assert "job busy is running" in done.out
    assert "job beside: complete" in seeded.must("run", "--rm", "--no-TTY", "import", *IMPORT, "--job", "beside")
    docker("stop", container)
    assert ended(container) == 143


def test_passwords_are_not_shown(seeded: Project) -> None:
    """Neither in a log, nor among the arguments of a process, nor in what the engine tells of the containers."""
    container = seeded.begin("secret", *SLOWLY)
    middle(seeded, container, "secret")
    shown = [seeded.run("logs").out, docker("logs", container), docker("inspect", container)]
    for name in ("mysql", "redis"):
        service = seeded.must("ps", "--quiet", name).strip()
        shown += [docker("inspect", service), docker("top", service, "-o", "pid,args")]
    shown.append(docker("top", container, "-o", "pid,args"))
    docker("stop", container)
    for password in ("demo-of-mysql", "demo-of-root", "demo-of-redis"):
        assert not [text for text in shown if password in text], f"{password} is shown"
