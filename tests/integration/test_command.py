"""The command as a process: what it inherits, what others see of it, and who reads it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROGRAM = [sys.executable, "-m", "shardload"]


@contextmanager
def waiting(password: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command, with TERM and INT blocked by its starter, that waits for a MySQL that never greets."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        words = ["seed", "--rows", "1", f"--mysql=mysql://u:{password}@127.0.0.1:{port}/d"]
        blocked = {signal.SIGTERM, signal.SIGINT}
        process = subprocess.Popen(
            [*PROGRAM, *words], stderr=subprocess.PIPE, preexec_fn=lambda: signal.pthread_sigmask(0, blocked)
        )
        silent.settimeout(30)
        try:
            with silent.accept()[0]:
                yield process
        finally:
            process.kill()
            process.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_that_its_starter_blocked_stop_it(number: int, code: int) -> None:
    """Else only SIGKILL would end it."""
    with waiting("x") as process:
        process.send_signal(number)
        assert process.wait(30) == code


def test_a_password_is_hidden_before_anything_is_imported() -> None:
    """What takes most of a start's time comes after it; and a blank in a password hides nothing less."""
    with waiting("hunter2 hunter2@") as process:
        assert b"hunter2" not in Path(f"/proc/{process.pid}/cmdline").read_bytes()
    program = "import sys, setproctitle; setproctitle.setproctitle = lambda _: sys.exit('click' in sys.modules)"
    program += "; sys.argv = ['', 'mysql://u:p@h']; from shardload.__main__ import main; main()"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("words", [["--help"], ["help", "run"], ["jobs"], ["status", "j"]])
def test_a_reader_that_leaves_is_no_failure(tmp_path: Path, words: list[str]) -> None:
    """As other programs do: 128 and SIGPIPE's number, and not a word."""
    (tmp_path / "j").mkdir()
    (tmp_path / "j" / "spec.json").write_text("{}")
    reading, writing = os.pipe()
    os.close(reading)
    try:
        environment = {**os.environ, "SHARDLOAD_STATE_DIR": str(tmp_path)}
        done = subprocess.run([*PROGRAM, *words], stdout=writing, stderr=subprocess.PIPE, env=environment, check=False)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("sta", ["status"]),
        ("status ", ["alpha", "beta"]),
        ("status b", ["beta"]),
        ("resume ", ["alpha", "beta"]),
        ("clean alpha b", ["beta"]),
        ("scale ", []),
        ("stop ", []),
    ],
)
def test_the_shell_completes_jobs(tmp_path: Path, words: str, offered: list[str]) -> None:
    """Orders are offered jobs that run, `resume` those that can be resumed, the others all; a damaged one too."""
    for name in ("alpha", "beta", "damaged"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "spec.json").write_text("{}")
    (tmp_path / "damaged" / "run.json").write_text("{")
    environment = {
        **os.environ, "SHARDLOAD_STATE_DIR": str(tmp_path), "_SHARDLOAD_COMPLETE": "bash_complete",
        "COMP_WORDS": f"shardload {words}", "COMP_CWORD": str(len(f"shardload {words}.".split()) - 1),
    }  # fmt: skip
    done = subprocess.run(PROGRAM, env=environment, capture_output=True, text=True, check=False)
    found = [line.removeprefix("plain,") for line in done.stdout.splitlines() if line]
    assert [name for name in found if name != "damaged"] == offered
    assert ("damaged" in found) == (words == "status ")
    assert done.stderr == ""
