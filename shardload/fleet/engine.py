"""What runs a machine's blocks, as the machine sees it: a template of processes (`template.py`) and one child of it.

It is started by exec, because a process of Dask's has threads and may not fork. Start and use it in one thread that
stays: it dies with that (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from shardload.errors import FleetLost
from shardload.process import is_alive

_MOST_REASON_BYTES = 4000
_BEGIN = """
import sys
from shardload.process import die_with_parent
die_with_parent(int(sys.argv.pop())) or sys.exit(1)
import shardload.cli, shardload.jobs.launch
from shardload.__main__ import main
from shardload.fleet.template import serve
sys.exit(serve(main))
"""


class Engine:
    """A template, and the child that runs a block. One block at a time."""

    def __init__(self) -> None:
        self._template = subprocess.Popen(
            [sys.executable, "-c", _BEGIN, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._child = (0, 0)  # its pid, and when it began
        self._code: int | None = None
        self._errors = Path()

    @property
    def is_usable(self) -> bool:
        """False if the template is dead."""
        return self._template.poll() is None

    @property
    def is_running(self) -> bool:
        """True until the block has ended, in whatever way."""
        self.wait(0.0)
        return self._code is None

    def begin(self, words: Sequence[str], environment: Mapping[str, str], errors: Path) -> None:
        """Have a child run this command in this environment; `errors` gets what it says. FleetLost if there is none."""
        told = {"words": list(words), "environment": dict(environment), "errors": str(errors)}
        self._code, self._errors = None, errors
        assert self._template.stdin is not None
        assert self._template.stdout is not None
        with suppress(BrokenPipeError):
            self._template.stdin.write(json.dumps(told).encode() + b"\n")
            self._template.stdin.flush()
        numbers = self._template.stdout.readline().split()
        if len(numbers) != 2:
            raise FleetLost("a block's process cannot be started", "see ulimit -u, and the memory of that machine")
        self._child = (int(numbers[0]), int(numbers[1]))

    def wait(self, most_s: float) -> None:
        """Wait until the block has ended, or for so long."""
        out = self._template.stdout
        assert out is not None
        if self._code is None and select.select([out], [], [], most_s)[0]:
            text = out.readline()
            self._code = int(text) if text else -signal.SIGKILL  # it died with the template

    def signal(self, number: int) -> None:
        """Send the child a signal, unless it has ended."""
        if self._code is None and is_alive(*self._child):
            with suppress(ProcessLookupError):
                os.kill(self._child[0], number)

    def end(self) -> tuple[int, str]:
        """Make sure that the block has ended. Its exit code (negative: the signal), and what it said last."""
        while self._code is None:
            self.signal(signal.SIGKILL)
            self.wait(1.0)
        return self._code, _last_line(self._errors)

    def close(self) -> None:
        """End the template, and whatever it runs."""
        self._template.kill()
        self._template.wait()


def _last_line(errors: Path) -> str:
    try:
        said = errors.read_bytes()[-_MOST_REASON_BYTES:].decode("utf-8", "replace")
    except OSError:
        return ""
    lines = [line for line in said.splitlines() if line.strip()]
    ours = [line.removeprefix("shardload: ") for line in lines if line.startswith("shardload: ")]
    return ours[-1] if ours else lines[-1] if lines else ""
