"""The image alone, as `docker run` uses it."""

from __future__ import annotations

import json

import pytest

from tests.containers.engine import LABEL, docker, ended, image, run, wait_until

PYTHON = "/opt/shardload/bin/python"
STATE_DIR = "/var/lib/shardload"
RUN = ("docker", "run", "--rm", "--label", LABEL)

# A child that leaves an orphan behind, which ends at once; then it waits for TERM.
ORPHAN = """
import os, signal, sys
if os.fork() == 0:
    os.fork()
    os._exit(0)
os.wait()
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
print("up", flush=True)
signal.pause()
"""


def inside(of: str, *words: str, options: tuple[str, ...] = ()) -> str:
    """What a command says in a container of its own; the first word is the program."""
    return docker(*RUN[1:], *options, "--entrypoint", words[0], of, *words[1:])


def test_it_is_the_command(shardload_image: str) -> None:
    """Its arguments are shardload's; without any it tells what there is; its exit code is shardload's."""
    assert docker(*RUN[1:], shardload_image, "--version").startswith("shardload, version ")
    assert "Exit codes:" in docker(*RUN[1:], shardload_image)
    assert run(*RUN, shardload_image, "nonsense").code == 2


def test_the_native_encoder_is_built(shardload_image: str) -> None:
    """And what built it is not there."""
    code = "from shardload.encoding import is_native_built; print(is_native_built())"
    assert inside(shardload_image, PYTHON, "-c", code) == "True"
    assert run(*RUN, "--entrypoint", "gcc", shardload_image, "--version").code == 127


def test_it_runs_as_a_user_without_rights(shardload_image: str) -> None:
    """The user's numbers do not change, a name belongs to them, and only the job directory is its own."""
    assert inside(shardload_image, "id") == "uid=10001(shardload) gid=10001(shardload) groups=10001(shardload)"
    assert inside(shardload_image, "stat", "-c", "%u %a", STATE_DIR) == "10001 700"
    assert run(*RUN, "--entrypoint", "touch", shardload_image, "/opt/shardload/x").code == 1


def test_a_new_volume_belongs_to_it(shardload_image: str) -> None:
    """The directory of the jobs can be a volume, without anything to be done about its owner."""
    name = "shardload-test-jobs"
    docker("volume", "create", "--label", LABEL, name)
    options = ("--volume", f"{name}:{STATE_DIR}")
    inside(shardload_image, "touch", f"{STATE_DIR}/x", options=options)
    assert inside(shardload_image, "stat", "-c", "%u", f"{STATE_DIR}/x", options=options) == "10001"
    docker("volume", "rm", name)


def test_it_runs_where_little_is_allowed(shardload_image: str) -> None:
    """As README's Pod: no capability, no way to more rights, and a volume of root's that the group may write to."""
    name = "shardload-test-pod"
    docker("volume", "create", "--label", LABEL, name)
    volume = ("--volume", f"{name}:{STATE_DIR}")
    # One file in it, or it would get the image's owner once more.
    change = f"cd {STATE_DIR} && touch x && chown 0:10001 . && chmod 2775 ."
    inside(shardload_image, "sh", "-c", change, options=(*volume, "--user", "0"))
    options = (
        *volume, "--user", "10001", "--group-add", "10001", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
    )  # fmt: skip
    assert inside(shardload_image, "stat", "-c", "%u %a", STATE_DIR, options=options) == "0 2775"
    assert "queues, semaphore and shared memory can be made" in docker(*RUN[1:], *options, shardload_image, "doctor")
    inside(shardload_image, "mkdir", f"{STATE_DIR}/job", options=options)
    docker("volume", "rm", name)


def test_what_it_needs_of_the_kernel_is_there(shardload_image: str) -> None:
    """SysV objects can be made, in a namespace of the container's own."""
    assert "queues, semaphore and shared memory can be made" in docker(*RUN[1:], shardload_image, "doctor")
    mine = inside(shardload_image, "readlink", "/proc/self/ns/ipc")
    assert mine != run("readlink", "/proc/self/ns/ipc").out.strip()


@pytest.mark.parametrize("options", [(), ("--init",)], ids=["docker run", "docker run --init"])
def test_an_init_reaps_and_hands_on_signals(shardload_image: str, options: tuple[str, ...]) -> None:
    """No zombie stays, and TERM reaches the command, also where Docker's own init stands before ours."""
    container = docker(
        "run", "--detach", "--label", LABEL, *options, "--entrypoint", "tini", shardload_image, "-s", "--", PYTHON,
        "-c", ORPHAN,
    )  # fmt: skip
    try:
        wait_until(lambda: "up" in docker("logs", container), "the process", container)

        def no_zombie() -> bool:
            return ") Z " not in run("docker", "exec", container, "sh", "-c", "cat /proc/[0-9]*/stat").out

        wait_until(no_zombie, "no zombie", container, 10)
        docker("stop", "--time", "30", container)
        assert ended(container) == 143
    finally:
        docker("rm", "--force", container)


def test_what_it_starts(shardload_image: str) -> None:
    """The entry point is shardload, under tini; TERM is what stops it; its user is a number, for `runAsNonRoot`."""
    (found,) = json.loads(docker("image", "inspect", shardload_image))
    assert found["Config"]["Entrypoint"] == ["tini", "-s", "--", "shardload"]
    assert found["Config"].get("StopSignal", "SIGTERM") == "SIGTERM"
    assert found["Config"]["User"] == "10001:10001"


def test_it_is_small(shardload_image: str) -> None:
    """At most 100 MB more than the Python that it stands on."""
    whole, base = (
        int(docker("image", "inspect", "--format", "{{.Size}}", name))
        for name in (shardload_image, image("PYTHON_IMAGE"))
    )
    assert whole - base < 100_000_000
