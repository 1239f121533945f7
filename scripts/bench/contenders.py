"""Those who load the same table: what people write first, the best-known trick, the two floors, and shardload."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path

import pymysql
import pymysql.cursors
import redis

from shardload import source
from shardload.encoding import Form, Payload, Rules, make_encoder, make_layout, parse_template
from shardload.sandbox import Sandbox

TABLE = "user"
COLUMNS = ("id", "username", "email", "full_name", "country", "balance", "bio", "created_at")
PIPELINE = 1000


def pipelines(sandbox: Sandbox, workers: int) -> str:
    """PyMySQL and redis-py, pipelines of 1000, a process for each part of the key's space: what people write first."""
    low, high = _bounds(sandbox)
    edges = [low + (high - low) * part // workers for part in range(workers + 1)]
    children = []
    for start, end in pairwise(edges):
        pid = os.fork()
        if pid == 0:
            _pipeline_part(sandbox, start, end)
            os._exit(0)
        children.append(pid)
    for pid in children:
        if os.waitpid(pid, 0)[1]:
            raise RuntimeError("a process failed")
    return ""


def _pipeline_part(sandbox: Sandbox, low: int, high: int) -> None:
    url = sandbox.mysql.url
    connection = pymysql.connect(
        host=url.host, port=url.port, user=url.user, password=url.password or "", database=url.database,
        cursorclass=pymysql.cursors.SSDictCursor, charset="utf8mb4",
    )  # fmt: skip
    client = redis.Redis(port=sandbox.redis.port)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {TABLE} WHERE id >= %s AND id < %s", (low, high))
        pipeline = client.pipeline(transaction=False)
        for row in cursor:
            values = {name: "" if value is None else str(value) for name, value in row.items()}
            pipeline.hset(f"user:{row['id']}", mapping=values)
            if len(pipeline) >= PIPELINE:
                pipeline.execute()
        pipeline.execute()


def pipe(sandbox: Sandbox, *, ttl_s: int = 0) -> str:
    """`mysql --quick` with CONCATed RESP, piped to `redis-cli --pipe`: the best-known trick."""
    with subprocess.Popen(
        _mysql(sandbox, _resp_sql(ttl_s)), stdout=subprocess.PIPE, env=_environment(sandbox)
    ) as mysql:
        subprocess.run(
            [_found("redis-cli", "valkey-cli"), "-p", str(sandbox.redis.port), "--pipe"],
            stdin=mysql.stdout, stdout=subprocess.DEVNULL, check=True,
        )  # fmt: skip
    if mysql.returncode:
        raise RuntimeError("mysql failed")
    return ""


def write_hset_file(sandbox: Sandbox, file: Path) -> None:
    """The pipe's bytes, ready."""
    with file.open("wb") as output:
        subprocess.run(_mysql(sandbox, _resp_sql(0)), stdout=output, env=_environment(sandbox), check=True)


def hset_floor(sandbox: Sandbox, file: Path) -> str:
    """Redis alone: `redis-cli --pipe` from a ready file of the same HSETs."""
    with file.open("rb") as ready:
        subprocess.run(
            [_found("redis-cli", "valkey-cli"), "-p", str(sandbox.redis.port), "--pipe"],
            stdin=ready, stdout=subprocess.DEVNULL, check=True,
        )  # fmt: skip
    return ""


def write_restore_file(sandbox: Sandbox, file: Path) -> int:
    """The very RESTOREs that shardload sends, ready. The result is their number."""
    layout = make_layout(COLUMNS, parse_template("user:{id}"), ["id"], Rules(null="empty"))
    encoder = make_encoder(layout, Form(Payload.LISTPACK), native=True)
    connection = source.connect(sandbox.mysql.url)
    stream = source.RangeStream(connection)
    whole = source.TableKeys(connection, TABLE, "id").bounds()
    assert whole is not None
    stream.send_query(source.select_sql(TABLE, COLUMNS, "id", whole))
    encoder.begin(stream.read_head())
    keys, ended = 0, False
    with file.open("wb") as output:
        while not ended:
            batch = encoder.encode(stream.read())
            stream.consume(batch.consumed_bytes)
            output.write(batch.commands)
            keys, ended = keys + batch.keys, batch.ended
    source.abandon(connection)
    return keys


def restore_floor(sandbox: Sandbox, file: Path, keys: int) -> str:
    """Redis alone: a plain socket writer from a ready file of the same RESTOREs; one thread writes, one counts."""
    with socket.create_connection(("127.0.0.1", sandbox.redis.port)) as connection, file.open("rb") as ready:
        sender = threading.Thread(target=connection.sendfile, args=(ready,))
        sender.start()
        left = keys
        while left > 0:
            data = connection.recv(1 << 16)
            if not data or b"-" in data:
                raise RuntimeError(f"Redis said {data[:100]!r}")
            left -= data.count(b"\n")
        sender.join()
    return ""


def shardload(sandbox: Sandbox, workers: int, *words: str, reference: bool = False) -> str:
    """The real command. The note is its workers' CPU and peak memory, as its log tells them, and its seconds. `--redis`
    among the words names another target than the sandbox's Redis."""
    state = sandbox.directory / "state"
    shutil.rmtree(state, ignore_errors=True)
    command = [
        sys.executable, "-m", "shardload", "run", "--table", TABLE, "--key", "user:{id}", "--job", "bench",
        "--null", "empty", "--workers", str(workers), "--progress", "none", "--json",
        "--encoder", "reference" if reference else "native", *words,
    ]  # fmt: skip
    summary = json.loads(_output(command, sandbox))
    used = re.search(r"workers used ([\d.]+) s of CPU, (\d+) MiB", (state / "bench" / "log").read_text())
    assert used
    return json.dumps({"cpu_s": float(used[1]), "peak_mib": int(used[2]), "seconds": summary["seconds"]})


def verified(sandbox: Sandbox) -> str:
    """Load the table into an empty Redis and have shardload compare every row with its key. What it says."""
    redis.Redis(port=sandbox.redis.port).flushall()
    shardload(sandbox, 2)
    told = _output([sys.executable, "-m", "shardload", "verify", "bench"], sandbox)
    return next(line.strip() for line in told.splitlines() if "rows compared" in line)


def _output(command: list[str], sandbox: Sandbox) -> str:
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},  # as when installed
        "SHARDLOAD_MYSQL_URL": sandbox.mysql.url.with_password(),
        "SHARDLOAD_REDIS_URL": str(sandbox.redis.url),
        "SHARDLOAD_STATE_DIR": str(sandbox.directory / "state"),
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return done.stdout


def _bounds(sandbox: Sandbox) -> tuple[int, int]:
    connection = source.connect(sandbox.mysql.url)
    whole = source.TableKeys(connection, TABLE, "id").bounds()
    connection.close()
    assert whole is not None
    return whole.low, whole.high


def _resp_sql(ttl_s: int) -> str:
    """One row, one HSET (and EXPIRE), in RESP."""

    def bulk(value: str) -> str:
        return f"'$', LENGTH({value}), '\\r\\n', {value}, '\\r\\n'"

    key = "CONCAT('user:', id)"
    parts = [f"'*{2 + 2 * len(COLUMNS)}\\r\\n$4\\r\\nHSET\\r\\n'", bulk(key)]
    for name in COLUMNS:
        parts += [f"'${len(name)}\\r\\n{name}\\r\\n'", bulk(f"COALESCE({name}, '')")]
    if ttl_s:
        parts += ["'*3\\r\\n$6\\r\\nEXPIRE\\r\\n'", bulk(key), f"'${len(str(ttl_s))}\\r\\n{ttl_s}\\r\\n'"]
    inner = ", ".join(parts).removesuffix("\\n'") + "'"  # mysql writes the line feed
    return f"SELECT CONCAT({inner}) FROM {TABLE}"


def _mysql(sandbox: Sandbox, sql: str) -> list[str]:
    url = sandbox.mysql.url
    return [
        _found("mariadb", "mysql"), "--no-defaults", "--quick", "--raw", "--skip-column-names", "--protocol=tcp",
        "--default-character-set=utf8mb4", f"--host={url.host}", f"--port={url.port}", f"--user={url.user}",
        f"--database={url.database}", f"--execute={sql}",
    ]  # fmt: skip


def _environment(sandbox: Sandbox) -> dict[str, str]:
    return {**os.environ, "MYSQL_PWD": sandbox.mysql.url.password or ""}


def _found(*names: str) -> str:
    return next(found for name in names if (found := shutil.which(name)))
