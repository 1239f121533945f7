"""What users of a cache notice while it is warmed: a live client measures its own latency on the same Redis, alone,
beside an import, and beside one with --max-latency.

    scripts/bench/live [--rows N] [--max-latency TIME] [--reads N]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import redis

from shardload.sandbox import Sandbox, seed

_KEYS = 1000  # that the client reads
_ALONE_S = 5.0


def read_keys(host: str, port: int, reads_per_second: int, told: Connection) -> None:
    """Read keys at this rate until told to end; then tell how long each took, in seconds. A read that had to wait for
    the one before counts from when it was due, as a user would wait; that this process is woken late does not count."""
    client = redis.Redis(host, port)
    taken: list[float] = []
    due_s = time.perf_counter()
    while not told.poll():
        due_s += 1 / reads_per_second
        if (early_s := due_s - time.perf_counter()) > 0:
            time.sleep(early_s)
            due_s = time.perf_counter()
        client.get(f"live:{len(taken) % _KEYS}")
        taken.append(time.perf_counter() - due_s)
    told.send(taken)


@contextmanager
def live_client(sandbox: Sandbox, reads_per_second: int) -> Iterator[list[float]]:
    """A process that reads meanwhile; its latencies are in the list when it has ended."""
    latencies: list[float] = []
    mine, others = multiprocessing.Pipe()
    url = sandbox.redis.url
    child = multiprocessing.Process(target=read_keys, args=(url.host, url.port, reads_per_second, others))
    child.start()
    try:
        yield latencies
    finally:
        mine.send(None)
        latencies += mine.recv()
        child.join()


def begin_anew(client: redis.Redis) -> None:
    """An empty Redis, but for the keys that are read."""
    client.flushall()
    client.mset({f"live:{number}": "x" * 100 for number in range(_KEYS)})


def told(name: str, latencies: list[float], summary: dict[str, Any] | None) -> str:
    """A row of the table."""
    cuts = statistics.quantiles(latencies, n=1000)
    shown = [f"{cut * 1000:.2f}" for cut in (cuts[499], cuts[989], cuts[998], max(latencies))]
    speed = f"{summary['rows_per_second']:,.0f}" if summary else ""
    return f"| {name} | {' | '.join(shown)} | {speed} |"


def main() -> None:
    """Measure the three, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--max-latency", default="5ms")
    parser.add_argument("--reads", type=int, default=500, help="a second, by the live client")
    wanted = parser.parse_args()
    with Sandbox() as sandbox, tempfile.TemporaryDirectory() as state_dir:
        seed(sandbox.mysql.url, "user", wanted.rows, 1, lambda _: None)
        environment = os.environ | {
            "SHARDLOAD_MYSQL_URL": sandbox.mysql.url.with_password(),
            "SHARDLOAD_REDIS_URL": str(sandbox.redis.url),
            "SHARDLOAD_STATE_DIR": state_dir,
        }
        client = redis.Redis(sandbox.redis.url.host, sandbox.redis.url.port)
        print("| | p50, ms | p99, ms | p99.9, ms | worst, ms | rows/s |\n|---|---|---|---|---|---|")
        begin_anew(client)
        with live_client(sandbox, wanted.reads) as latencies:
            time.sleep(_ALONE_S)
        print(told("alone", latencies, None), flush=True)
        for name, flags in (
            ("beside an import", []),
            (f"beside an import with --max-latency {wanted.max_latency}", ["--max-latency", wanted.max_latency]),
        ):
            words = ["run", "--table", "user", "--key", "user:{id}", "--workers", "2", "--json", "--progress", "none"]
            begin_anew(client)
            with live_client(sandbox, wanted.reads) as latencies:
                done = subprocess.run(
                    [sys.executable, "-m", "shardload", *words, *flags],
                    env=environment,
                    check=True,
                    capture_output=True,
                )
            print(told(name, latencies, json.loads(done.stdout)), flush=True)


if __name__ == "__main__":
    main()
