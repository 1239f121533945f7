"""Dask's scheduler, as the head reaches it. Every wait has an end; every error of Dask becomes FleetLost.

This module, `machine.py`'s process and nothing else use Dask.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from shardload.errors import FleetLost, FleetMissing
from shardload.fleet.machine import run_block, talk
from shardload.model.blocks import BlockEnd, BlockOrder, Reply, Word

RESOURCE = "shardload"
"""What a Dask worker has one of if it is a machine: it runs one block at a time."""
_CONNECT_S = 5.0
_ANSWER_S = 4.0

T = TypeVar("T")


@dataclass(frozen=True)
class MachineFacts:
    """A machine that the scheduler knows: where Dask reaches it, and its name."""

    address: str
    name: str


class RunningBlock:
    """A block that a machine runs, or is about to."""

    def __init__(self, machine: MachineFacts, future: Any) -> None:
        self._machine = machine
        self._future = future
        self._result = asyncio.ensure_future(future.result())

    def end(self) -> BlockEnd | None:
        """How it ended, None while it runs. FleetLost if that is not known."""
        if not self._result.done():
            return None
        try:
            end: BlockEnd = self._result.result()
            return end
        except BaseException as error:  # Dask raises what it likes, CancelledError among it
            raise FleetLost(f"machine {self._machine.name} was lost: {_words(error)}") from None

    async def wait(self, most_s: float) -> None:
        """Wait until it has ended, or for so long."""
        await asyncio.wait({self._result}, timeout=most_s)

    async def forget(self) -> None:
        """Have nothing to do with it any more. A block that has not begun never will."""
        self._result.cancel()
        with suppress(Exception):
            await asyncio.wait_for(self._future.cancel(), 1.0)


class Scheduler:
    """One process's connection. Use it inside of one event loop."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client: Any = None

    async def machines(self) -> list[MachineFacts]:
        """The machines that are there, by name. FleetLost if the scheduler does not answer."""
        client = await self._connected()
        told = await self._within(client.scheduler.identity(n_workers=-1))
        found = [
            MachineFacts(address, str(worker.get("name") or address))
            for address, worker in told.get("workers", {}).items()
            if (worker.get("resources") or {}).get(RESOURCE)
        ]
        return sorted(found, key=lambda one: one.name)

    async def talk(self, machine: MachineFacts, word: Word) -> Reply:
        """Say a word to a machine. FleetLost if it does not answer in time."""
        client = await self._connected()
        told = await self._within(client.run(talk, word, workers=[machine.address]))
        reply = told.get(machine.address)
        if not isinstance(reply, Reply):
            raise FleetLost(f"machine {machine.name} has gone", "start it again")
        return reply

    async def begin(self, machine: MachineFacts, order: BlockOrder) -> RunningBlock:
        """Have a machine run a block. FleetLost if the scheduler does not answer."""
        client = await self._connected()
        future = client.submit(
            run_block, order, key=f"shardload-{order.name}", pure=False, retries=0,
            workers=[machine.address], allow_other_workers=False, resources={RESOURCE: 1},
        )  # fmt: skip
        return RunningBlock(machine, future)

    async def close(self) -> None:
        """Close the connection, whatever its state."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):
                await asyncio.wait_for(client.close(), 2.0)

    async def _connected(self) -> Any:
        if self._client is not None and self._client.status in ("closed", "closing"):
            await self.close()
        if self._client is None:
            distributed = dask_distributed()
            made = distributed.Client(self.url, asynchronous=True, timeout=_CONNECT_S, set_as_default=False)
            try:
                self._client = await self._within(_itself(made), _CONNECT_S + 1)
            except FleetLost:
                with suppress(Exception):
                    await asyncio.wait_for(made.close(), 1.0)
                raise
        return self._client

    async def _within(self, waiting: Awaitable[T], most_s: float = _ANSWER_S) -> T:
        try:
            return await asyncio.wait_for(waiting, most_s)
        except Exception as error:  # Dask raises what it likes
            raise FleetLost(
                f"the scheduler {self.url} does not answer: {_words(error)}", "check that it runs: dask scheduler"
            ) from None


async def _itself(client: Any) -> Any:
    return await client


def _words(error: BaseException) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__


def dask_distributed() -> Any:
    """Dask's package. FleetMissing if it is not installed. Its own log stays quiet: what matters is told here."""
    try:
        import distributed
    except ImportError:
        raise FleetMissing("--fleet needs Dask", "install it: pip install 'shardload[fleet]'") from None
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] in ("distributed", "tornado", "asyncio"):  # Dask gives several a level of their own
            logging.getLogger(name).setLevel(logging.CRITICAL)
    return distributed


def machines_of(url: str) -> list[MachineFacts]:
    """The machines of a fleet. FleetLost if the scheduler does not answer. Starts threads: call it in a process of its
    own."""

    async def ask() -> list[MachineFacts]:
        scheduler = Scheduler(url)
        try:
            return await scheduler.machines()
        finally:
            await scheduler.close()

    return asyncio.run(ask())
