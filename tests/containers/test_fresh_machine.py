"""README's two commands on a bare Debian with python3, git and the checkout; as root, and with sudo.

They have to show that set-up, demo, format, lint, types, unit tests and real imports work there; all else runs outside.
The second command leaves the container tests out, with the reason: there is no engine inside.
"""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.containers.engine import LABEL, ROOT, docker, run

DEADLINE_S = 1500.0
INSIDE = "tests/unit tests/e2e/test_run.py tests/containers"


def commands() -> list[str]:
    """README's two commands, word for word."""
    block = re.search(r"## Two commands\n.*?```\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block, "README has no block of commands"
    return [line.split("#")[0].strip() for line in block[1].splitlines()]


def checkout(uid: int) -> bytes:
    """The files that git knows or would take, as an archive, owned by this user."""
    known = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(known, cwd=ROOT, capture_output=True, check=True).stdout

    def owned(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = uid
        return entry

    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        top = tarfile.TarInfo("shardload")
        top.type, top.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(owned(top))
        for directory in sorted({parent for name in _names(listed) for parent in name.parents} - {Path()}):
            entry = tarfile.TarInfo(f"shardload/{directory}")
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(owned(entry))
        for name in _names(listed):
            tar.add(ROOT / name, f"shardload/{name}", filter=owned)
    return archive.getvalue()


def _names(listed: bytes) -> list[Path]:
    names = [Path(name) for name in listed.decode().split("\0") if name]
    return [name for name in names if (ROOT / name).is_file()]


def gist(said: str) -> str:
    """Why a command failed: pytest's summary, then its failures; of a command that did not come so far, its last lines.

    The pages that apt and pip write come before, and would be all that a reader of a shortened report sees.
    """
    _, failures, rest = said.partition("= FAILURES =")
    if not failures:
        _, failures, rest = said.partition("= ERRORS =")
    if not failures:
        return "\n".join(said.splitlines()[-100:])
    report, _, summary = rest.partition("short test summary info")
    return f"{summary}\n{report}"


@pytest.fixture(params=[("FRESH_IMAGE", "root", 0, "/root"), ("FRESH_SUDO_IMAGE", "somebody", 1000, "/home/somebody")],
                ids=["as root", "with sudo"])  # fmt: skip
def machine(
    request: pytest.FixtureRequest, image_of: Callable[[str], str], tell: Callable[[str], None]
) -> Iterator[Callable[[str], str]]:
    """A machine with the checkout in the user's home. Called with a command, it runs it there."""
    variable, user, uid, home = request.param
    image = image_of(variable)
    container = docker("run", "--detach", "--init", "--label", LABEL, image, "sleep", "infinity")
    try:
        subprocess.run(
            ["docker", "cp", "-", f"{container}:{home}"], input=checkout(uid), check=True, capture_output=True
        )

        def execute(command: str) -> str:
            words = ("exec", "--user", user, "--workdir", f"{home}/shardload", container, "bash", "-c", command)
            done = run("docker", *words, deadline_s=DEADLINE_S)
            assert done.code == 0, f"{command} as {user}: {done.code}\n{gist(done.out)}"
            tell(f"{image}, {command} as {user}: {done.took_s:.0f} s")
            return done.out

        yield execute
    finally:
        docker("rm", "--force", "--volumes", container)


def test_the_two_commands(machine: Callable[[str], str]) -> None:
    """Both end well, where nothing that they need is installed."""
    assert machine("command -v pip gcc mariadbd redis-server docker || echo nothing").strip() == "nothing"
    demo, test = commands()
    assert "200,000 rows compared: 0 missing, 0 different" in machine(demo)
    said = machine(f"{test} {INSIDE}")
    assert re.search(r"\d+ passed", said), said
    assert "no docker on this machine" in said, "the container tests should have been left out, with a reason"
    assert not re.search(r"\d+ (failed|error)", said), said
