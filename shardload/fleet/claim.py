"""A claim: which machine a slot of the head has, and until when that machine may write.

Each word renews the lease from the machine's last answer on, by the machine's own clock. So a word that arrives late
renews nothing, and the head knows when the lease has run out without asking.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass

from shardload.errors import FleetLost
from shardload.fleet.scheduler import MachineFacts, Scheduler
from shardload.jobdir.machines import MachineRecord
from shardload.model.blocks import Reply, Word, block_prefix
from shardload.model.limits import FLEET_LEASE_S, FLEET_MARGIN_S


@dataclass
class Claim:
    """A machine that a slot has. Its last answer came at `answered_s`, and said that its own clock was `anchor_s`; it
    may write until `until_s` at most, by this machine's monotonic clock. `blocks` were given to it."""

    scheduler: Scheduler
    job: str
    machine: MachineFacts
    number: int
    record: MachineRecord
    anchor_s: float
    answered_s: float
    until_s: float = 0.0
    blocks: int = 0

    @classmethod
    async def make(cls, scheduler: Scheduler, job: str, slot: int) -> Claim:
        """Claim a machine that nobody has. FleetLost if there is none."""
        machines = await scheduler.machines()
        number = int.from_bytes(os.urandom(8), "little")
        first = slot % len(machines) if machines else 0
        holders = []
        for machine in (*machines[first:], *machines[:first]):
            with suppress(FleetLost):
                reply = await scheduler.talk(machine, Word(number, job, None, FLEET_LEASE_S))
                if reply.is_granted:
                    record = MachineRecord(machine.name, machine.address, reply.workers, slot)
                    claim = cls(scheduler, job, machine, number, record, reply.now_s, time.monotonic())
                    await claim.talk()
                    return claim
                holders.append(reply.holder)
        taken = f": they work for {', '.join(sorted(set(holders)))}" if holders else ""
        raise FleetLost(f"no machine of {scheduler.url} is free{taken}", f"shardload machine {scheduler.url}")

    @property
    def prefix(self) -> str:
        """With what the names of its blocks begin."""
        return block_prefix(self.job, self.number)

    @property
    def has_run_out(self) -> bool:
        """True if the machine's lease has run out, unless its clock is slower than this one."""
        return time.monotonic() > self.until_s

    @property
    def may_write(self) -> bool:
        """False if the machine's lease has run out for certain."""
        return time.monotonic() <= self.until_s + FLEET_MARGIN_S

    async def talk(self, rate_rows: int = 0, *, stops: bool = False, releases: bool = False) -> Reply:
        """Renew the lease, and hear what became of the block. FleetLost if the machine does not answer, or if it has
        forgotten the claim."""
        self.until_s = self.answered_s + FLEET_LEASE_S
        word = Word(self.number, self.job, self.anchor_s, FLEET_LEASE_S, rate_rows, stops, releases)
        reply = await self.scheduler.talk(self.machine, word)
        if not reply.is_granted:
            raise FleetLost(f"machine {self.machine.name} works for {reply.holder}")
        self.anchor_s, self.answered_s = reply.now_s, time.monotonic()
        return reply
