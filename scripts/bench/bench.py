"""Loads one table in every way, in turn, several times, and prints medians and ratios. No timed test: a table."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import contenders
import redis
from measure import Cost, measured, median

from shardload import source
from shardload.errors import StoppedBySignal
from shardload.model.orders import STOP_SIGNALS
from shardload.process import stop_by_exception
from shardload.ranges.split import split
from shardload.sandbox import Sandbox, seed
from shardload.target import TargetConnection, describe_server

TTL_S = 7 * 86400
Contender = Callable[[], str]


def main() -> None:
    """See --help."""
    arguments = _arguments()
    with stop_by_exception(STOP_SIGNALS), Sandbox() as sandbox:
        started_s = time.monotonic()
        seed(sandbox.mysql.url, contenders.TABLE, arguments.rows, 1, lambda _: None)
        _say(f"{arguments.rows:,} rows made in {time.monotonic() - started_s:.0f} s")
        field = _field(sandbox, arguments)
        costs: dict[str, list[Cost]] = {name: [] for name in field}
        for turn in range(arguments.times):
            for name, run in field.items():
                client = redis.Redis(port=sandbox.redis.port)
                client.flushall()
                cost = measured(run, sandbox.mysql.pid, sandbox.redis.pid)
                _check_keys(client, name, arguments.rows)
                costs[name].append(cost)
                _say(f"{turn + 1}/{arguments.times} {name}: {cost.wall_s:.2f} s {cost.note}")
        _print_table(sandbox, arguments, costs)
        _print_small_things(sandbox, arguments)
        if arguments.verify:
            started_s = time.monotonic()
            print(f"\n{contenders.verified(sandbox)} ({time.monotonic() - started_s:.0f} s)")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000, help="the table's rows (default 2 000 000)")
    parser.add_argument("--times", type=int, default=5, help="turns; medians are of these (default 5)")
    parser.add_argument("--only", action="append", help="contenders whose names contain this text; several times")
    parser.add_argument("--verify", action="store_true", help="load once more and compare every key with its row")
    return parser.parse_args()


def _field(sandbox: Sandbox, arguments: argparse.Namespace) -> dict[str, Contender]:
    """Every contender, by name; the ready files are made only for those who read them."""

    def load(workers: int, *words: str, reference: bool = False) -> Contender:
        return lambda: contenders.shardload(sandbox, workers, *words, reference=reference)

    restore = ("--encoding", "restore")
    ttl = ("--ttl", "7d", "--ttl-jitter", "10%")
    hsets, restores = sandbox.directory / "hsets", sandbox.directory / "restores"
    loads = {
        f"shardload {encoding}{also}, {count}": load(workers, "--encoding", encoding, *words)
        for encoding in ("restore", "commands")
        for also, words in (("", ()), (" + TTL", ttl))
        for workers, count in ((1, "1 worker"), (2, "2 workers"), (4, "4 workers"))
    }
    field: dict[str, Contender] = {
        "PyMySQL + redis-py, 2 processes": lambda: contenders.pipelines(sandbox, 2),
        "pipe: mysql to redis-cli": lambda: contenders.pipe(sandbox),
        "pipe with EXPIRE": lambda: contenders.pipe(sandbox, ttl_s=TTL_S),
        "floor: HSETs from a file": lambda: contenders.hset_floor(sandbox, hsets),
        "floor: RESTOREs from a file": lambda: contenders.restore_floor(sandbox, restores, arguments.rows),
        # beside the default ranges, its measure, for a turn takes minutes, in which machines change
        "shardload ranges of 1000, 2 workers": load(2, *restore, "--range-rows", "1000"),
        **loads,
        "shardload auto, native layout, 2 workers": load(2, "--hash-layout", "native"),
        "shardload reference, 2 workers": load(2, reference=True),
        "shardload reference restore, 2 workers": load(2, *restore, reference=True),
    }
    if arguments.only:
        field = {name: run for name, run in field.items() if any(text in name for text in arguments.only)}
    if any("HSETs" in name for name in field):
        contenders.write_hset_file(sandbox, hsets)
    if any("RESTOREs" in name for name in field):
        contenders.write_restore_file(sandbox, restores)
    return field


def _check_keys(client: redis.Redis, name: str, rows: int) -> None:
    """As many keys as rows, all of them with an expiry or none. SystemExit if not."""
    found = client.info("keyspace").get("db0", {})
    keys, expiring = found.get("keys", 0), found.get("expires", 0)
    wanted = rows if any(word in name for word in ("TTL", "EXPIRE")) else 0
    if (keys, expiring) != (rows, wanted):
        raise SystemExit(f"{name}: {keys} keys, {expiring} with an expiry, not {rows} and {wanted}")


def _print_table(sandbox: Sandbox, arguments: argparse.Namespace, costs: dict[str, list[Cost]]) -> None:
    rows = arguments.rows
    medians = {name: median(several) for name, several in costs.items()}
    reference = medians.get("pipe: mysql to redis-cli")
    print(f"\n{_machine(sandbox)}\n{rows:,} rows of {len(contenders.COLUMNS)} columns, medians of {arguments.times}\n")
    print("| contender | speed / pipe | s | rows/s | client CPU | mysqld CPU | Redis CPU | client peak |")
    print("|---|---|---|---|---|---|---|---|")
    for name, cost in medians.items():
        ratio = f"{reference.wall_s / cost.wall_s:.2f}" if reference else "-"
        workers = [json.loads(one.note) for one in costs[name] if one.note]
        cpu = statistics.median(one["cpu_s"] for one in workers) if workers else cost.client_cpu_s
        peak = max(one["peak_mib"] for one in workers) if workers else cost.client_peak_mib
        memory = f"{peak:.0f} MiB" if peak else "-"
        print(
            f"| {name} | {ratio} | {cost.wall_s:.2f} | {rows / cost.wall_s:,.0f} | {cpu / rows * 1e6:.2f} µs/row "
            f"| {cost.mysqld_cpu_s / rows * 1e6:.2f} | {cost.redis_cpu_s / rows * 1e6:.2f} | {memory} |"
        )


def _print_small_things(sandbox: Sandbox, arguments: argparse.Namespace) -> None:
    """Planning alone, and from the command to the first key."""
    connection = source.connect(sandbox.mysql.url)
    planned = []
    for _ in range(arguments.times):
        started_s = time.monotonic()
        ranges = split(source.TableKeys(connection, contenders.TABLE, "id"), 50_000)
        planned.append(time.monotonic() - started_s)
    connection.close()
    print(f"\nplanning {arguments.rows:,} rows: {statistics.median(planned):.3f} s, {len(ranges)} ranges")
    first = statistics.median(_until_first_key(sandbox) for _ in range(arguments.times))
    print(f"from the command to the first key: {first:.2f} s")


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
