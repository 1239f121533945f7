"""The machines of a job's fleet, before the job begins or goes on."""

from __future__ import annotations

import json
import subprocess
import sys
import time

from shardload.config.spec import JobSpec
from shardload.errors import FleetLost, FleetMissing, SpecError
from shardload.jobdir.directory import JobDirectory
from shardload.jobdir.machines import read_machines
from shardload.model.limits import FLEET_FENCE_S, MOST_MACHINES
from shardload.reporting.output import echo

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


def wait_for_leases(directory: JobDirectory) -> None:
    """Where a head died, wait until its machines cannot write any more: what they send would come behind the job's own.
    The caller holds the job."""
    names = sorted(one.name for one in read_machines(directory.path) if one.is_claimed)
    if names:
        echo(f"waiting {FLEET_FENCE_S:.0f} s: until then {', '.join(names)} may still write for the last run", err=True)
        time.sleep(FLEET_FENCE_S)


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
