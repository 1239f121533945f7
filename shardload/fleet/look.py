"""Prints the machines of a fleet as JSON. Dask has threads, and a process that forks must have none: so this is a
program of its own (`python -m shardload.fleet.look URL`)."""

from __future__ import annotations

import json
import sys

from shardload.errors import ShardloadError
from shardload.fleet.scheduler import machines_of


def main(url: str) -> int:
    """Print one line: the names, or what is wrong."""
    try:
        told = {"machines": [machine.name for machine in machines_of(url)]}
    except ShardloadError as error:
        told = {"error": [error.message, error.hint or ""]}
    sys.stdout.write(json.dumps(told) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
