"""The machines of a job's fleet, before the job begins."""

from __future__ import annotations

import json
import subprocess
import sys

from shardload.config.spec import JobSpec
from shardload.errors import FleetLost, FleetMissing, SpecError
from shardload.model.limits import MOST_MACHINES

_LOOK_WITHIN_S = 30.0


def count_machines(spec: JobSpec) -> int:
    """How many machines the job's fleet has; 0 for a job without a fleet. FleetMissing if there is none, FleetLost if
    the scheduler does not answer."""
    if spec.fleet is None:
        return 0
    try:
        looked = subprocess.run(
            [sys.executable, "-m", "shardload.fleet.look", spec.fleet],
            capture_output=True, timeout=_LOOK_WITHIN_S, check=False,
        )  # fmt: skip
        told = json.loads(looked.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        raise FleetLost(f"the scheduler {spec.fleet} does not answer", "check that it runs: dask scheduler") from None
    if "error" in told:
        message, hint = told["error"]
        raise (FleetMissing if "needs Dask" in message else FleetLost)(message, hint)
    if not told["machines"]:
        raise FleetMissing(
            f"no machine has joined {spec.fleet}", f"on each machine, run: shardload machine {spec.fleet}"
        )
    return min(MOST_MACHINES, len(told["machines"]))


def check_goes_with_fleet(spec: JobSpec, collision: str) -> None:
    """SpecError if the job needs what machines do not tell each other: `collision` says why two rows may get the same
    key, and is empty if they cannot."""
    if spec.fleet is None:
        return
    if collision:
        raise SpecError(
            f"--fleet: {collision}, and machines do not tell each other their keys",
            "run it on one machine, or have the key name every row",
        )
    if spec.extra:
        raise SpecError(
            "--fleet: machines do not tell each other their keys, which --extra needs", "verify it on one machine"
        )
