"""The engine and its images, for tests: what is missing of them, commands to its end, and a clean-up by label.

Everything that these tests make in the engine has LABEL, or belongs to the Compose project PROJECT: what an earlier run
left behind, killed in the middle, goes with the next.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LABEL = "shardload.test"
PROJECT = "shardload-test"
IMAGE = f"{PROJECT}/shardload"  # what the tests build of the Dockerfile
DEADLINE_S = 120.0
_LOOK_AGAIN_S = 0.05

# The variables that name images, and what they mean where a registry can be reached.
IMAGES = {
    "PYTHON_IMAGE": "python:3.13-slim",
    "MYSQL_IMAGE": "mysql:8.4",
    "MARIADB_IMAGE": "mariadb:10.11",
    "REDIS_IMAGE": "redis:8",
    "REDIS7_IMAGE": "redis:7",
    "VALKEY_IMAGE": "valkey/valkey:9",
    "FRESH_IMAGE": "shardload-test/fresh:root",  # these two are nobody's official image: only the script makes them
    "FRESH_SUDO_IMAGE": "shardload-test/fresh:sudo",
}


@dataclass
class Done:
    """A command that ended."""

    code: int
    out: str  # both streams, in the order in which they were written
    took_s: float


def run(*words: str, deadline_s: float = DEADLINE_S, **environment: str) -> Done:
    """Run a command to its end. AssertionError with what it said if it takes too long."""
    started_s = time.monotonic()
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, cwd=ROOT,
            timeout=deadline_s, env=os.environ | environment,
        )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        said = (late.stdout or b"").decode(errors="replace")
        raise AssertionError(f"not within {deadline_s:g} s: {' '.join(words)}\n{said}") from None
    return Done(done.returncode, done.stdout.decode(errors="replace"), time.monotonic() - started_s)


def docker(*words: str, deadline_s: float = DEADLINE_S) -> str:
    """What `docker` said; AssertionError if it failed."""
    done = run("docker", *words, deadline_s=deadline_s)
    assert done.code == 0, f"docker {' '.join(words)}: {done.code}\n{done.out}"
    return done.out.strip()


def missing_engine() -> str:
    """Why nothing can be run here; empty if it can."""
    for words in (["docker", "version"], ["docker", "compose", "version"]):
        try:
            done = run(*words)
        except FileNotFoundError:
            return "no docker on this machine"
        if done.code:
            return f"`{' '.join(words)}` fails: {done.out.strip().splitlines()[-1]}"
    return ""


def image(variable: str) -> str:
    """The image that this variable names, or its default."""
    return os.environ.get(variable) or IMAGES[variable]


def missing_image(variable: str) -> str:
    """Why this image cannot be used; empty if it is there, or could be pulled."""
    name = image(variable)
    if run("docker", "image", "inspect", name).code == 0:
        return ""
    pulled = run("docker", "pull", "--quiet", name, deadline_s=600)
    if pulled.code == 0:
        return ""
    why = pulled.out.strip().splitlines()[-1]
    return f'no image {name} ({variable}): {why}; eval "$(scripts/container-images)" makes stand-ins'


_LABELS = (LABEL, f"com.docker.compose.project={PROJECT}")


def labelled(kind: str, label: str = LABEL) -> set[str]:
    """The ids of what has this label: every `container`, `network` or `volume`, running or not."""
    every = ["--all"] if kind == "container" else []
    return set(docker(kind, "ls", *every, "--quiet", "--filter", f"label={label}").split())


def clean_up() -> None:
    """Remove every container, network and volume of these tests."""
    for label in _LABELS:
        if found := labelled("container", label):
            docker("rm", "--force", "--volumes", *found)
    for kind in ("network", "volume"):
        for label in _LABELS:
            if found := labelled(kind, label):
                docker(kind, "rm", *found)


def left() -> set[str]:
    """What there is of these tests' containers, networks and volumes."""
    return {name for kind in ("container", "network", "volume") for label in _LABELS for name in labelled(kind, label)}


def wait_until(condition: Callable[[], Any], what: str, container: str, deadline_s: float = DEADLINE_S) -> Any:
    """The first true result of `condition`; AssertionError, with the container's log, after the deadline."""
    give_up_s = time.monotonic() + deadline_s
    while True:
        if result := condition():
            return result
        if time.monotonic() > give_up_s:
            raise AssertionError(f"not within {deadline_s:g} s: {what}\n{run('docker', 'logs', container).out}")
        time.sleep(_LOOK_AGAIN_S)


def inspect(container: str) -> dict[str, Any]:
    """What the engine knows of a container."""
    found: list[dict[str, Any]] = json.loads(docker("container", "inspect", container))
    return found[0]


def ended(container: str, deadline_s: float = DEADLINE_S) -> int:
    """The exit code, when the container has ended."""

    def is_over() -> bool:
        return bool(inspect(container)["State"]["Status"] == "exited")

    wait_until(is_over, f"the end of {container}", container, deadline_s)
    return int(inspect(container)["State"]["ExitCode"])
