"""The demo: what it prints, and that nothing is left if it is interrupted or killed."""

from __future__ import annotations

import os
import re
import shutil
import signal
from pathlib import Path

import pytest

from tests.harness import World, ipc_objects, processes_named, wait_until


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory for the demo's temporary files, whose path is longer than a socket's limit of 107 bytes."""
    place = tmp_path / ("long-" * 22)
    place.mkdir()
    return place


def test_the_demo(world: World, place: Path) -> None:
    """It starts servers, makes users, imports them, shows one, compares all keys, and removes everything."""
    done = world.run("demo", "--rows", "3000", TMPDIR=str(place))
    assert done.code == 0, done.out + done.err
    heads = re.findall(r"^== (.*)$", done.out, re.MULTILINE)
    assert heads == [
        "Starting a private MySQL and a private Redis", "Making 3,000 synthetic users", "Importing them",
        "One user in both places", "Comparing every key with its row",
    ]  # fmt: skip
    assert "3,000 rows read = 3,000 keys written + 0 skipped + 0 failed" in done.out
    assert (
        "3,000 rows compared: 0 missing, 0 different, 0 of another type, 0 with another expiry, 0 rows that make no key"
        in done.out
    )
    assert "Redis, user:" in done.out
    assert done.out.endswith("The servers are stopped and their directory is removed.\n")
    assert not processes_named(str(place))
    assert list(place.iterdir()) == []
    place.rmdir()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["the first server starts", "the import runs"])
def test_a_demo_that_is_interrupted_leaves_nothing(
    world: World, place: Path, moment: str, number: signal.Signals
) -> None:
    """A signal to the process group leaves no server, directory or import; the exit code is 128 plus the signal."""
    rows = "3000" if moment == "the first server starts" else "150000"
    running = world.start("demo", "--rows", rows, TMPDIR=str(place))
    try:
        wait_until(lambda: running.process.poll() is not None or has_come(moment, place), moment)
        assert running.process.poll() is None, running.finish()
    finally:
        os.killpg(running.process.pid, number)
    ended = running.finish()
    assert ended.code == 128 + number, ended.out + ended.err
    wait_until(lambda: not processes_named(str(place)), "no server is left")
    assert not processes_named("shardload: ")
    assert list(place.iterdir()) == []
    assert "Traceback" not in ended.err
    place.rmdir()


def has_come(moment: str, place: Path) -> bool:
    """True when the process to wait for exists. If the import has ended, its comparison counts, which takes longer."""
    there = len(processes_named(str(place)))
    if moment == "the import runs":
        return bool(there and (processes_named("shardload: worker demo") or processes_named("shardload verify demo")))
    return there >= (1 if moment == "the first server starts" else 2)


@pytest.mark.parametrize("moment", ["servers start", "the import runs"])
def test_a_killed_demo_leaves_no_process(world: World, place: Path, moment: str) -> None:
    """After kill -9 of the demo its servers and import die too, and the import's janitor cleans up."""
    before = ipc_objects()
    running = world.start("demo", "--rows", "150000", TMPDIR=str(place))
    wait_until(lambda: running.process.poll() is not None or has_come(moment, place), moment)
    assert running.process.poll() is None
    running.process.kill()
    running.finish()
    wait_until(lambda: not processes_named(str(place)), "no server is left")
    wait_until(lambda: not processes_named("shardload: ") and ipc_objects() == before, "nothing is left of the import")
    shutil.rmtree(place)
