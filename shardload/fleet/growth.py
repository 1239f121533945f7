"""Notices machines that join while a job runs, and has the head take them in."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from shardload.errors import FleetLost
from shardload.fleet.scheduler import Scheduler
from shardload.model.limits import MOST_MACHINES
from shardload.process import ControlRequest, NoListener

_EVERY_S = 3.0


class Growth:
    """One process's look at the fleet, for a job in this directory that began with so many machines."""

    def __init__(self, scheduler: Scheduler, directory: Path, machines: int) -> None:
        self._scheduler = scheduler
        self._directory = directory
        self._known = machines
        self._next_s = time.monotonic() + _EVERY_S

    async def look(self) -> None:
        """If there are more machines than ever, order the coordinator to use them, as `shardload scale` does. What a
        person has ordered stays, until another one joins."""
        if time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + _EVERY_S
        with suppress(FleetLost, NoListener, OSError):  # the next look sees it
            machines = min(MOST_MACHINES, len(await self._scheduler.machines()))
            if machines > self._known:
                with ControlRequest(self._directory, f"scale {machines}"):
                    self._known = machines
