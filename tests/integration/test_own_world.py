"""The tests' own world: what somebody else runs on the machine is neither seen nor touched."""

from __future__ import annotations

import resource
import subprocess
import sys

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
