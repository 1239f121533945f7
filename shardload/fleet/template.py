"""The template of a machine's blocks: a process without threads, started by exec, which has everything imported and
forks a child for each block. What is imported once is not imported for each block again.

It reads an order from standard input, one JSON object a line, and answers with two lines: who runs it (pid, start), and
later how that ended. Its children die with it, and it dies with the thread that started it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from shardload.config import environment
from shardload.process import die_with_parent, fork_child, set_title, start_time


def serve(main: Callable[[], object]) -> int:
    """Run `main` for each order, in a child of its own, until there are no more orders."""
    set_title("shardload: template")
    while line := sys.stdin.readline():
        child = fork_child(partial(_run, json.loads(line), os.getpid(), main), ())
        _tell(f"{child} {start_time(child)}")
        _, status = os.waitpid(child, 0)
        _tell(str(os.waitstatus_to_exitcode(status)))
    return 0


def _tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _run(told: dict[str, Any], template: int, main: Callable[[], object]) -> int:
    """The child: become the command, which ends by SystemExit."""
    if not die_with_parent(template):
        return 1
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    errors = os.open(told["errors"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for descriptor, stream in ((nowhere, 0), (nowhere, 1), (errors, 2)):
        os.dup2(descriptor, stream)
    os.close(nowhere)
    os.close(errors)
    environment.replace_all(told["environment"])
    sys.argv = ["shardload", *told["words"]]
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0
