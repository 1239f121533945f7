"""Kernel limits that are too low for a job: found before the start, and reported with the sysctl to run.

An IPC namespace has limits of its own, which root may set in it (namespaces(7)).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shardload.ipc.messages import QUEUE_BYTES

SCRIPT = """
import sys
from pathlib import Path
import sysv_ipc
from shardload.errors import IpcError
from shardload.ipc import BoardHeader, create
Path("/proc/sys/kernel", sys.argv[2]).write_text(sys.argv[3])
strangers = [
    sysv_ipc.MessageQueue(None, sysv_ipc.IPC_CREX), sysv_ipc.Semaphore(None, sysv_ipc.IPC_CREX),
    sysv_ipc.SharedMemory(None, sysv_ipc.IPC_CREX, size=1),
] if sys.argv[4:] else []
try:
    create(Path(sys.argv[1]), BoardHeader(64, 1, 1, 1))
except IpcError as error:
    print(error.exit_code, error)
"""


def in_a_namespace(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in an IPC namespace of its own. Skips the test, with the reason, if there can be none."""
    if os.geteuid():
        pytest.skip("only root can make a namespace and set its limits")
    if subprocess.run(["unshare", "--ipc", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no IPC namespace can be made here")
    return subprocess.run(["unshare", "--ipc", "--", *command], check=False, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("name", "value", "used", "told"),
    [
        ("msgmnb", "2048", 0, f"kernel.msgmnb='{QUEUE_BYTES}'"),
        ("msgmax", "16", 0, "kernel.msgmax is 16, and a job needs 128 (run: sysctl -w kernel.msgmax='128'"),
        ("msgmni", "1", 0, "kernel.msgmni='2'"),
        ("msgmni", "2", 1, "kernel.msgmni is 2, 1 message queues are in use, and a job needs 2 more"),
        ("shmmax", "4096", 0, "kernel.shmmax is 4096"),
        ("shmall", "1", 0, "kernel.shmall is 1"),
        ("shmmni", "1", 1, "kernel.shmmni='2'"),
        ("sem", "250 1 32 10", 1, "kernel.sem is 250 1 32 10, 1 semaphores are in use"),
        ("sem", "250 32000 32 1", 1, "kernel.sem='250 32000 32 2'"),
    ],
)
def test_a_limit_that_is_too_low(tmp_path: Path, name: str, value: str, used: int, told: str) -> None:
    """One line says what the limit is, what is needed, and what to run; no object is made."""
    (tmp_path / "key").touch()
    done = in_a_namespace(sys.executable, "-c", SCRIPT, str(tmp_path / "key"), name, value, *["used"] * used)
    assert done.stdout.startswith("3 the kernel's limit is too low: "), (done.stdout, done.stderr)
    assert told in done.stdout


def test_doctor_finds_it(tmp_path: Path) -> None:
    """`doctor` reports each low limit as a problem."""
    setting = "echo 2048 > /proc/sys/kernel/msgmnb && echo 16 > /proc/sys/kernel/msgmax && exec"
    done = in_a_namespace(
        "sh", "-c", f'{setting} "$@"', "sh", sys.executable, "-m", "shardload", "doctor", "--state-dir", str(tmp_path)
    )
    problems = [line for line in done.stdout.splitlines() if line.startswith("problem")]
    assert (done.returncode, len(problems)) == (3, 2), done
    assert all("problem  kernel: the kernel's limit is too low: kernel.msgm" in line for line in problems)
