"""What a contender costs: wall time, CPU seconds of each party, peak memory."""

from __future__ import annotations

import os
import re
import resource
import select
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_LOOK_AGAIN_S = 0.05


@dataclass(frozen=True)
class Cost:
    """One run. `client_cpu_s` is of all that ran for it, `client_peak_mib` of the largest process that it started; 0 if
    it started none, but did its work in the bench's own."""

    wall_s: float
    client_cpu_s: float
    mysqld_cpu_s: float
    redis_cpu_s: float
    client_peak_mib: float
    note: str = ""


def cpu_s(pid: int) -> float:
    """User and system time of a running process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def measured(run: Callable[[], str], mysqld_pid: int, redis_pids: Sequence[int]) -> Cost:
    """Run it once, in a forked child, so that its own and its children's CPU and memory are told apart from ours."""
    before = cpu_s(mysqld_pid), sum(map(cpu_s, redis_pids))
    reading, writing = os.pipe()
    started_s = time.monotonic()
    pid = os.fork()
    if pid == 0:
        note, status = "", 1
        try:
            note = run()
            status = 0
        except BaseException as error:
            note = f"{type(error).__name__}: {error}"
        mine, theirs = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = sum(used.ru_utime + used.ru_stime for used in (mine, theirs))
        os.write(writing, f"{cpu} {note}".encode()[:4000])
        os._exit(status)
    os.close(writing)
    peaks_kib: dict[int, int] = {}
    with os.fdopen(reading) as told:
        while not select.select([told], [], [], _LOOK_AGAIN_S)[0]:
            peaks_kib |= _peaks_kib(pid)
        cpu_text, note = told.read().split(" ", 1)
    _, status = os.waitpid(pid, 0)
    wall_s = time.monotonic() - started_s
    if status:
        raise RuntimeError(note)
    return Cost(
        wall_s, float(cpu_text), cpu_s(mysqld_pid) - before[0], sum(map(cpu_s, redis_pids)) - before[1],
        max(peaks_kib.values(), default=0) / 1024, note,
    )  # fmt: skip


def _peaks_kib(parent: int) -> dict[int, int]:
    """The most memory that each child of a process has had up to now, by pid.

    A process that ended would tell no less than the bench itself: Linux keeps in ru_maxrss what the program before the
    exec had. A later look at the same process replaces an earlier one, which may have come before its exec.
    """
    found = {}
    with suppress(OSError):  # one has just ended
        for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
            if peak := re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{child}/status").read_text()):
                found[int(child)] = int(peak[1])
    return found


def median(costs: list[Cost]) -> Cost:
    """The median of each figure by itself; the note of the last run."""
    names = ("wall_s", "client_cpu_s", "mysqld_cpu_s", "redis_cpu_s", "client_peak_mib")
    return Cost(*(statistics.median(getattr(cost, name) for cost in costs) for name in names), costs[-1].note)
