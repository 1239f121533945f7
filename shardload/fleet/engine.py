"""The process that runs a block: `shardload resume`, started by exec, because a process of Dask's has threads and may
not fork. One is always started in advance, and waits with everything imported: a block is short."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import IO

_MOST_REASON_BYTES = 4000
# It dies with the thread that started it (PR_SET_PDEATHSIG), which is one of Dask's for tasks: that stays.
_BEGIN = """
import sys
from shardload.process import die_with_parent, set_title
die_with_parent(int(sys.argv.pop())) or sys.exit(3)
set_title("shardload: spare")
import json, os, shardload.cli, shardload.jobs.launch
told = json.loads(sys.stdin.readline() or "null")
if told:
    os.environ.clear()
    os.environ.update(told["environment"])
    sys.argv = ["shardload", *told["words"]]
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    from shardload.__main__ import main
    main()
"""


class Engine:
    """One such process. Start it in a thread that stays."""

    def __init__(self) -> None:
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-c", _BEGIN, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            start_new_session=True,
        )

    @property
    def is_running(self) -> bool:
        """False if it has ended in whatever way."""
        return self._process.poll() is None

    def begin(self, words: Sequence[str], environment: Mapping[str, str]) -> None:
        """Have it run this command, in this environment. If it is dead, `end` says so."""
        assert self._process.stdin is not None
        told = json.dumps({"words": list(words), "environment": dict(environment)})
        try:
            self._process.stdin.write(told.encode() + b"\n")
            self._process.stdin.close()
        except BrokenPipeError:
            self._process.kill()

    def wait(self, most_s: float) -> None:
        """Wait until it has ended, or for so long."""
        try:
            self._process.wait(most_s)
        except subprocess.TimeoutExpired:
            return

    def terminate(self) -> None:
        """Ask it to end in order."""
        self._process.terminate()

    def kill(self) -> None:
        """End it at once; its workers die with it."""
        self._process.kill()

    def end(self) -> tuple[int, str]:
        """Make sure that it has ended. Its exit code (negative: the signal), and what it said last."""
        self._process.kill()
        code = self._process.wait()
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, self._errors.tell() - _MOST_REASON_BYTES))
        lines = [line for line in self._errors.read().decode("utf-8", "replace").splitlines() if line.strip()]
        self._errors.close()
        said = [line.removeprefix("shardload: ") for line in lines if line.startswith("shardload: ")]
        return code, said[-1] if said else lines[-1] if lines else ""
