"""The tests' own world: what somebody else runs on the machine is neither seen nor touched."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests import own_world
from tests.harness import kill, processes_named, wait_until, zombies

_TITLED = """
import resource, setproctitle, sys
if sys.argv[1] == "foreign":
    resource.setrlimit(resource.RLIMIT_RTTIME, (resource.RLIM_INFINITY,) * 2)
setproctitle.setproctitle("shardload: coordinator import")
print("titled", flush=True)
sys.stdin.read()
"""


def test_only_the_tests_own_processes_are_seen_and_killed() -> None:
    """A production import beside the tests has a title like theirs. It has no mark, and lives on."""
    if resource.getrlimit(resource.RLIMIT_RTTIME)[1] != resource.RLIM_INFINITY:
        raise AssertionError("this machine limits RLIMIT_RTTIME: a foreign process cannot be played here")
    started = [
        subprocess.Popen([sys.executable, "-c", _TITLED, whose], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for whose in ("ours", "foreign")
    ]
    ours, foreign = started
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == b"titled\n"
        assert processes_named("shardload: coordinator import") == [ours.pid]
        kill(*processes_named("shardload: "))  # as the fixture does when a test has left something
        assert ours.wait(60) != 0
        assert foreign.poll() is None
    finally:
        foreign.kill()
        wait_until(lambda: not processes_named("shardload: "), "ours is gone")
        assert not [name for name in zombies() if name.startswith("shardload")]  # the foreign one is none of ours
        for process in started:
            process.communicate()


# Each of the two has a queue, and looks at what there is while the other one has one too.
_SIDE_BY_SIDE = """
from pathlib import Path
import pytest
import sysv_ipc
from tests.harness import ipc_objects, wait_until

@pytest.mark.parametrize(("mine", "other"), [("a", "b"), ("b", "a")])
def test_the_only_queue(mine, other):
    here = Path(__file__).parent
    queue = sysv_ipc.MessageQueue(None, sysv_ipc.IPC_CREX)
    try:
        for step in ("made", "seen"):
            (here / f"{mine} {step}").touch()
            wait_until((here / f"{other} {step}").exists, f"{other} has {step} it")
            assert ipc_objects() == {("q", str(queue.id))}
    finally:
        queue.remove()
"""


def test_tests_side_by_side_do_not_see_each_other(tmp_path: Path) -> None:
    """Each process of pytest-xdist has SysV objects of its own."""
    if not own_world.has_namespace():
        pytest.skip("no IPC namespace can be made here")
    (tmp_path / "test_two.py").write_text(_SIDE_BY_SIDE)
    words = ["-p", "tests.conftest", "-p", "no:cacheprovider", "-n", "2", f"--rootdir={tmp_path}", "-c", os.devnull]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, f"--basetemp={tmp_path / 'inner'}", str(tmp_path / "test_two.py")],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
