"""Joins a fleet: this process becomes a machine, with everything set, until it is told to end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from shardload.errors import FleetLost
from shardload.fleet.machine import ours
from shardload.fleet.scheduler import RESOURCE, dask_distributed

_AGAIN_S = 2.0
_CONNECT_S = 10.0
_LEAVE_S = 10.0  # a block ends in order within a few seconds


def join(url: str, name: str | None, host: str | None, say: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT. A scheduler that leaves is waited for. FleetLost if it is not there at first."""
    asyncio.run(_serve(dask_distributed(), url, name, host, say))


async def _serve(distributed: Any, url: str, name: str | None, host: str | None, say: Callable[[str], None]) -> None:
    leaving = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, leaving.set)
    is_first = True
    while not leaving.is_set():
        worker = _worker(distributed, url, name, host)
        try:
            await asyncio.wait_for(_started(worker), _CONNECT_S)
        except Exception as error:  # Dask raises what it likes
            await _closed(worker)
            if is_first:
                raise FleetLost(
                    f"the scheduler {url} does not answer: {str(error) or type(error).__name__}",
                    "check that it runs: dask scheduler",
                ) from None
        else:
            say(f"machine {worker.name} serves {url}")
            is_first = False
            await _first_of(leaving.wait(), worker.finished())
            if leaving.is_set():
                await asyncio.to_thread(ours().leave, _LEAVE_S)
            await _closed(worker)
            if not leaving.is_set():
                say(f"the scheduler {url} has gone; waiting for it")
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(leaving.wait(), _AGAIN_S)


def _worker(distributed: Any, url: str, name: str | None, host: str | None) -> Any:
    """One block at a time: one thread, and one of the resource. Dask may not pause or restart it for its memory: blocks
    have processes of their own."""
    return distributed.Worker(
        url, nthreads=1, resources={RESOURCE: 1}, name=name, host=host, memory_limit=0, dashboard=False
    )


async def _started(worker: Any) -> None:
    await worker


async def _closed(worker: Any) -> None:
    with suppress(Exception):
        await asyncio.wait_for(worker.close(), _CONNECT_S)


async def _first_of(*waiting: Any) -> None:
    tasks = [asyncio.ensure_future(one) for one in waiting]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
