"""Loads one table in every way, in turn, several times, and prints medians and ratios. No timed test: a table.

With --save the table, the chart and the README's line are written as well (`report.py`).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import contenders
import redis
import report
from measure import Cost, measured, median

from shardload import source
from shardload.errors import StoppedBySignal
from shardload.model.orders import STOP_SIGNALS
from shardload.process import stop_by_exception
from shardload.ranges.split import split
from shardload.sandbox import RedisCluster, RedisServer, Sandbox, seed
from shardload.target import TargetConnection, describe_server

TTL_S = 7 * 86400
Contender = Callable[[], str]


def main() -> None:
    """See --help."""
    arguments = _arguments()
    load_before = os.getloadavg()[0]
    with stop_by_exception(STOP_SIGNALS), Sandbox() as sandbox:
        started_s = time.monotonic()
        seed(sandbox.mysql.url, contenders.TABLE, arguments.rows, 1, lambda _: None)
        _say(f"{arguments.rows:,} rows made in {time.monotonic() - started_s:.0f} s")
        costs = _measure(sandbox, arguments)
        run = {
            "rows": arguments.rows,
            "columns": len(contenders.COLUMNS),
            "times": arguments.times,
            "machine": _machine(sandbox),
            "cpus": os.cpu_count(),
            "load_before": round(load_before, 2),
            **_small_things(sandbox, arguments),
            "contenders": [_cost(name, several) for name, several in costs.items()],
        }
        if arguments.verify:
            started_s = time.monotonic()
            found = contenders.verified(sandbox)
            run["verified"] = f"{found} ({time.monotonic() - started_s:.0f} s with that load)"
    print(report.table(run))
    if arguments.save:
        report.save(run)


def _measure(sandbox: Sandbox, arguments: argparse.Namespace) -> dict[str, list[Cost]]:
    """Everybody in turn, several times, each into an empty Redis or cluster."""
    cluster = RedisCluster(sandbox.directory / "cluster")
    field = _field(sandbox, cluster, arguments)
    costs: dict[str, list[Cost]] = {name: [] for name in field}
    with ExitStack() as stack:
        if report.CLUSTER in field:
            stack.enter_context(cluster)
        for turn in range(arguments.times):
            for name, run in field.items():
                servers: Sequence[RedisServer] = cluster.nodes if name == report.CLUSTER else [sandbox.redis]
                for server in [sandbox.redis, *cluster.nodes]:
                    redis.Redis(port=server.port, socket_timeout=None).flushall()
                cost = measured(run, sandbox.mysql.pid, [server.pid for server in servers])
                _check_keys(servers, name, arguments.rows)
                costs[name].append(cost)
                _say(f"{turn + 1}/{arguments.times} {name}: {cost.wall_s:.2f} s {cost.note}")
    return costs


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000, help="the table's rows (default 2 000 000)")
    parser.add_argument("--times", type=int, default=5, help="turns; medians are of these (default 5)")
    parser.add_argument(
        "--only", action="append", metavar="REGEX", help="contenders whose names match this; several times"
    )
    parser.add_argument("--verify", action="store_true", help="load once more and compare every key with its row")
    parser.add_argument(
        "--save", action="store_true",
        help="write the results to scripts/bench/results.json (in the place of those with as many rows), and from it "
        "docs/speed.svg, the tables of docs/performance.md and the README's line",
    )  # fmt: skip
    return parser.parse_args()


def _field(sandbox: Sandbox, cluster: RedisCluster, arguments: argparse.Namespace) -> dict[str, Contender]:
    """Every contender, by name; the ready files are made only for those who read them."""

    def load(workers: int, *words: str, reference: bool = False) -> Contender:
        return lambda: contenders.shardload(sandbox, workers, *words, reference=reference)

    restore, commands = ("--encoding", "restore"), ("--encoding", "commands")
    ttl = ("--ttl", "7d", "--ttl-jitter", "10%")
    hsets, restores = sandbox.directory / "hsets", sandbox.directory / "restores"
    field: dict[str, Contender] = {
        "redis-py pipelines, 2 processes": lambda: contenders.pipelines(sandbox, 2),
        report.PIPE: lambda: contenders.pipe(sandbox),
        report.PIPE_EXPIRING: lambda: contenders.pipe(sandbox, ttl_s=TTL_S),
        "redis-cli alone, HSETs from a file": lambda: contenders.hset_floor(sandbox, hsets),
        "a socket alone, RESTOREs from a file": lambda: contenders.restore_floor(sandbox, restores, arguments.rows),
        # beside the default ranges, its measure, for a turn takes minutes, in which machines change
        f"{report.DEFAULT}, --range-rows 1000": load(2, *restore, "--range-rows", "1000"),
        report.DEFAULT: load(2, *restore),
        # beside its measure too: what a row costs the workers
        report.CLUSTER: lambda: load(2, *restore, "--redis", cluster.url.with_password())(),
        "shardload, 1 worker": load(1, *restore),
        "shardload, 4 workers": load(4, *restore),
        report.EXPIRING: load(2, *restore, *ttl),
        f"{report.DEFAULT}, --encoding commands": load(2, *commands),
        f"{report.DEFAULT}, --encoding commands {' '.join(ttl)}": load(2, *commands, *ttl),
        f"{report.DEFAULT}, --hash-layout native": load(2, "--hash-layout", "native"),
        f"{report.DEFAULT}, --encoder reference": load(2, reference=True),
    }
    if arguments.only:
        field = {name: run for name, run in field.items() if any(re.search(text, name) for text in arguments.only)}
    if any("HSETs" in name for name in field):
        contenders.write_hset_file(sandbox, hsets)
    if any("RESTOREs" in name for name in field):
        contenders.write_restore_file(sandbox, restores)
    return field


def _check_keys(servers: Sequence[RedisServer], name: str, rows: int) -> None:
    """As many keys as rows, all of them with an expiry or none. SystemExit if not."""
    found = [redis.Redis(port=server.port).info("keyspace").get("db0", {}) for server in servers]
    keys, expiring = (sum(one.get(what, 0) for one in found) for what in ("keys", "expires"))
    wanted = rows if any(word in name for word in ("--ttl", "EXPIRE")) else 0
    if (keys, expiring) != (rows, wanted):
        raise SystemExit(f"{name}: {keys} keys, {expiring} with an expiry, not {rows} and {wanted}")


def _cost(name: str, several: list[Cost]) -> dict[str, Any]:
    """A contender's medians. Of shardload only the workers' CPU and memory are told, as its log has them."""
    cost = median(several)
    workers = [json.loads(one.note) for one in several if one.note]
    return {
        "name": name,
        "wall_s": round(cost.wall_s, 3),
        "client_cpu_s": round(statistics.median(one["cpu_s"] for one in workers) if workers else cost.client_cpu_s, 3),
        "mysqld_cpu_s": round(cost.mysqld_cpu_s, 3),
        "redis_cpu_s": round(cost.redis_cpu_s, 3),
        "client_peak_mib": round(max(one["peak_mib"] for one in workers) if workers else cost.client_peak_mib),
    }


def _small_things(sandbox: Sandbox, arguments: argparse.Namespace) -> dict[str, Any]:
    """Planning alone, and from the command to the first key."""
    connection = source.connect(sandbox.mysql.url)
    planned = []
    for _ in range(arguments.times):
        started_s = time.monotonic()
        ranges = split(source.TableKeys(connection, contenders.TABLE, "id"), 50_000)
        planned.append(time.monotonic() - started_s)
    connection.close()
    first_s = statistics.median(_until_first_key(sandbox) for _ in range(arguments.times))
    return {
        "planning_s": round(statistics.median(planned), 4), "ranges": len(ranges), "first_key_s": round(first_s, 3)
    }  # fmt: skip


def _until_first_key(sandbox: Sandbox) -> float:
    """Seconds from the start of the command until Redis has a key of the table (and not the probe's)."""
    client = redis.Redis(port=sandbox.redis.port)
    client.flushall()
    started_s = time.monotonic()
    pid = os.fork()
    if pid == 0:
        contenders.shardload(sandbox, 2)
        os._exit(0)
    while client.dbsize() < 2:
        time.sleep(0.001)
    passed_s = time.monotonic() - started_s
    os.waitpid(pid, 0)
    return passed_s


def _machine(sandbox: Sandbox) -> str:
    """Date, processor, kernel, servers."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    connection = source.connect(sandbox.mysql.url)
    mysql = connection.get_server_info()
    connection.close()
    target = TargetConnection(sandbox.redis.url)
    server = describe_server(target).server
    target.close()
    return (
        f"{time.strftime('%Y-%m-%d')}: {os.cpu_count()} x {cpu}, Linux {platform.release()}, "
        f"Python {platform.python_version()}, {server}, {mysql.removeprefix('5.5.5-')}"
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    if shutil.which("redis-cli") is None and shutil.which("valkey-cli") is None:
        raise SystemExit("no redis-cli here: start scripts/bench/bench, which installs it")
    try:
        main()
    except StoppedBySignal as stopped:
        _say(f"bench: {stopped}; its servers and files are gone")
        sys.exit(stopped.exit_code)
