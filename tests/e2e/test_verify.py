"""Verify as a kind of work: every fault is found, all of it and nothing else; repaired; killed and resumed."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.harness import World, kill, wait_until

JOB = "v"
ROWS = 200_000
RUN = ("--key", "user:{id}", "--job", JOB, "--workers", "2", "--range-rows", "20000")


def compared(world: World, *words: str) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Exit code and summary of a verify, and what is wrong with each key that it lists."""
    done = world.run("verify", JOB, "--json", *words)
    assert done.out.startswith("{"), done.err
    listed = [json.loads(line) for line in world.run("differences", JOB, "--json").out.splitlines()]
    return done.code, json.loads(done.out), {one["key"]: one["fault"] for one in listed}


def damage(world: World, table: str, *, ttl: bool) -> dict[str, str]:
    """Do some keys each kind of harm; what is wrong with each of them now."""
    ids = [int(value) for (value,) in world.execute(f"SELECT id FROM {table} ORDER BY id")]
    assert len(ids) == ROWS
    places = (0, 1, 2, 3, 4, 20_000, 77_777, 123_456, ROWS - 2, ROWS - 1)
    first, *some, last = [f"user:{ids[place]}" for place in places]
    client = world.target()
    harms: list[tuple[str, str, list[Any]]] = [
        (first, "missing", [("DEL", first)]),
        (last, "missing", [("DEL", last)]),
        (some[0], "different", [("HSET", some[0], "email", "changed")]),
        (some[1], "different", [("HSET", some[1], "more", "1")]),
        (some[2], "different", [("HDEL", some[2], "id")]),
        (some[3], "type", [("DEL", some[3]), ("SET", some[3], "a string")]),
        (some[4], "type", [("DEL", some[4]), ("SADD", some[4], "a set")]),
        (some[5], "expiry", [("PERSIST", some[5])] if ttl else [("PEXPIRE", some[5], 10_000_000)]),
        (some[6], "expiry", [("PEXPIRE", some[6], 10_000_000_000 if ttl else 10_000_000)]),
        (some[7], "expiry", [("PEXPIRE", some[7], 600_000)]),
    ]
    for _, _, commands in harms:
        for command in commands:
            client.execute_command(*command)  # type: ignore[no-untyped-call]
    return {key: fault for key, fault, _ in harms}


@pytest.mark.parametrize(
    "form", [(), ("--ttl", "2h", "--ttl-jitter", "10%"), ("--encoding", "commands")], ids=["plain", "ttl", "commands"]
)
def test_every_fault_is_found_and_repaired(world: World, users_200k: str, form: tuple[str, ...]) -> None:
    """All of it and nothing else; a repair writes just that, and a verify after it is clean."""
    assert world.run("run", "--table", users_200k, *RUN, *form).code == 0
    code, told, found = compared(world)
    assert (code, told["status"], told["keys_equal"], found) == (0, "complete", ROWS, {})
    wrong = damage(world, users_200k, ttl="--ttl" in form)
    code, told, found = compared(world)
    assert found == wrong
    assert (code, told["status"]) == (4, "different")
    assert (told["keys_equal"], told["keys_differing"]) == (ROWS - len(wrong), len(wrong))
    written = world.target().info("commandstats")
    code, told, found = compared(world, "--repair")
    assert (code, told["status"], told["keys_repaired"], found) == (0, "complete", len(wrong), wrong)
    name = "cmdstat_hset" if "commands" in form else "cmdstat_restore"
    now = world.target().info("commandstats")
    assert now[name]["calls"] - written[name]["calls"] <= len(wrong) + 3  # and the scratch key
    code, told, found = compared(world)
    assert (code, told["keys_equal"], found) == (0, ROWS, {})


@pytest.mark.usefixtures("cluster")
def test_a_cluster_is_compared_and_repaired(world: World, users_200k: str) -> None:
    """On three masters, with lookups: each fault where its key is."""
    lookups = ("--lookup", "user:email:{email}={id}")
    assert world.run("run", "--table", users_200k, *RUN, *lookups).code == 0
    ids = [int(value) for (value,) in world.execute(f"SELECT id FROM {users_200k} ORDER BY id LIMIT 30")]
    (email,) = world.execute(f"SELECT email FROM {users_200k} WHERE id = {ids[0]}")[0]
    first = world.redis.addresses[0]
    client: Any = redis.RedisCluster(first.host, first.port)
    wrong = {f"user:{number}": "missing" if at < 10 else "different" for at, number in enumerate(ids)}
    wrong[f"user:email:{email.decode()}"] = "different"
    for key, fault in wrong.items():
        if fault == "missing":
            client.delete(key)
        elif "email" in key:
            client.set(key, "another")
        else:
            client.hset(key, "more", "x")
    code, told, found = compared(world)
    assert (code, found) == (4, wrong)
    code, told, found = compared(world, "--repair")
    assert (code, told["keys_repaired"], found) == (0, len(wrong), wrong)
    code, told, found = compared(world)
    assert (code, found) == (0, {})
    assert told["keys_equal"] > ROWS


def test_killed_and_resumed(world: World, users_200k: str) -> None:
    """kill -9 of every process in the middle: resume goes on, and finds what is left; so does a stop."""
    assert world.run("run", "--table", users_200k, *RUN).code == 0
    wrong = damage(world, users_200k, ttl=False)
    slow = ("--rate", "60000", "--range-rows", "5000", "--workers", "2")
    daemon = world.launch("verify", JOB, *slow, job=f"{JOB}-verify")
    daemon.wait_for("a range that is done", lambda seen: seen["ranges_done"])
    kill(daemon.pid, *daemon.workers())
    wait_until(lambda: daemon.status()["state"] == "died", "it died")
    refused = world.run("verify", JOB)
    assert refused.code == 2
    assert f"shardload resume {JOB}-verify" in refused.err
    resumed = world.start("resume", f"{JOB}-verify", *slow[:2], job=f"{JOB}-verify")
    resumed.wait_for_ranges(12)
    resumed.signal(signal.SIGTERM)
    assert resumed.finish().code == 128 + signal.SIGTERM
    done = world.run("resume", f"{JOB}-verify", "--rate", "off", "--json")
    assert done.code == 4, done.err
    told = json.loads(done.out)
    assert (told["rows_read"], told["keys_equal"], told["keys_differing"]) == (ROWS, ROWS - len(wrong), len(wrong))
    listed = [json.loads(line) for line in world.run("differences", f"{JOB}-verify", "--json").out.splitlines()]
    assert {one["key"]: one["fault"] for one in listed} == wrong


def test_keys_that_no_row_stands_for(world: World, few_users: str) -> None:
    """--extra names them; keys of another kind and rows that came meanwhile are none; nothing is removed."""
    run = ("run", "--table", few_users, "--key", "u[1]:{id}:x", "--job", JOB)
    assert world.run(*run).code == 0
    client = world.target()
    extra = {f"u[1]:{number}:x" for number in range(10**9, 10**9 + 7)}
    for key in extra:
        client.set(key, "left behind")
    for key in ("u[1]:5:y", "u1:5:x", "other", "u[1]"):
        client.set(key, "another's")
    code, told, found = compared(world, "--extra")
    assert (code, told["status"], found) == (4, "different", dict.fromkeys(extra, "extra"))
    assert told["differences"]["extra"] == 7
    assert told["keys_equal"] == 20_000
    client.delete(*extra)
    assert compared(world, "--extra")[0] == 0
    refused = world.run("verify", "--table", few_users, "--key", "{id}", "--extra")
    assert (refused.code, "--extra cannot tell" in refused.err) == (2, True)


@pytest.mark.parametrize("encoder", ["native", "reference"])
def test_a_key_of_a_row_whose_time_is_past(world: World, encoder: str) -> None:
    """No row stands for it, if it is there all the same. A row that expires just now is none of them."""
    world.make_table("dated", "id VARCHAR(10) PRIMARY KEY, until DATETIME")
    world.execute(
        "INSERT INTO dated VALUES ('past', '2001-01-01'), ('future', '2101-01-01'), ('never', NULL), "
        "('now', UTC_TIMESTAMP() + INTERVAL 1 SECOND)"
    )
    flags = ("--table", "dated", "--key", "p:{id}", "--ttl-column", "until", "--encoder", encoder)
    assert world.run("run", *flags, "--job", JOB).code == 0
    world.target().set("p:past", "zombie")
    code, told, found = compared(world, "--extra")
    assert (code, found, told["differences"]["extra"]) == (4, {"p:past": "extra"}, 1)


def test_the_search_for_extra_keys_is_steered(world: World, few_users: str) -> None:
    """While the table is read once more, status says so and no number that is not known; the rate holds, can be
    changed, and a stop ends it; resume searches again."""
    assert world.run("run", "--table", few_users, *RUN).code == 0
    world.target().set("user:1000000000", "left behind")
    name = f"{JOB}-verify"
    daemon = world.launch("verify", JOB, "--extra", "--rate", "1500", job=name)
    daemon.wait_for("the search", lambda seen: seen["state"] == "searching")
    assert "at most 50 rows/s" in daemon.order("rate", name, "50").out  # from now on it takes minutes
    seen, text = daemon.status(), world.run("status", name).out
    assert (seen["state"], "extra" in seen["differences"], seen["pid"]) == ("searching", False, daemon.pid)
    assert "it looks for keys that no row stands for" in text
    assert "0 that no row" not in text
    refused = world.run("pause", name)
    assert (refused.code, "only stop, rate and status work now" in refused.err) == (2, True)
    daemon.order("stop", name)
    ended = daemon.end()
    assert (ended["state"], "extra" in ended["differences"]) == ("stopped", False)
    resumed = world.start("resume", name, "--rate", "1000", job=name)
    daemon.wait_for("the search", lambda seen: seen["state"] == "searching")
    resumed.signal(signal.SIGTERM)
    assert resumed.finish().code == 128 + signal.SIGTERM
    began_s = time.monotonic()
    done = world.run("resume", name, "--rate", "5000", "--json")
    assert time.monotonic() - began_s > 3  # for 20,000 rows
    assert (done.code, done.summary["differences"]["extra"]) == (4, 1), done.err
    assert world.run("differences", name).out == "user:1000000000: no row stands for it\n"


def test_a_sample_and_what_it_says(world: World, users_200k: str) -> None:
    """About as many rows as were asked for, from the whole table, and the bound that they give."""
    assert world.run("run", "--table", users_200k, *RUN).code == 0
    done = world.run("verify", JOB, "--sample", "2%", "--range-rows", "10000", "--json")
    told = json.loads(done.out)
    assert done.code == 0, done.err
    assert 1_000 <= told["rows_read"] <= 16_000
    assert told["sample"] == 0.02
    assert "with a confidence of 95 %, at most 0.0" in done.err
    world.target().flushall()
    done = world.run("verify", JOB, "--sample", "2%", "--json")
    assert (done.code, json.loads(done.out)["keys_equal"]) == (4, 0)


def test_an_empty_cache_is_not_proved_by_a_ttl(world: World, few_users: str) -> None:
    """Nobody knows when its keys were written: what is missing is missing. After a job of now, too."""
    flags = ("--table", few_users, "--key", "user:{id}", "--ttl", "2h")
    assert world.run("run", *flags, "--job", JOB).code == 0
    assert world.run("verify", *flags, "--job", "full").code == 0
    world.target().flushall()
    for words in ([*flags, "--job", "empty"], [JOB]):
        done = world.run("verify", *words, "--json")
        told = done.summary
        assert (done.code, told["status"], told["keys_expired"]) == (4, "different", 0)
        assert told["differences"]["missing"] == 20_000


def test_without_a_job(world: World, few_users: str) -> None:
    """With run's flags: whoever filled the cache."""
    flags = ("--table", few_users, "--key", "user:{id}")
    assert world.run("run", *flags, "--job", "filled", "--encoder", "reference").code == 0
    world.run("clean", "filled")
    done = world.run("verify", *flags, "--job", "c")
    assert done.code == 0, done.err
    assert "20,000 rows compared: 0 missing" in done.out
    both = world.run("verify", "c", "--table", few_users)
    assert (both.code, "both say what is compared" in both.err) == (2, True)


@pytest.mark.parametrize("encoder", ["native", "reference"])
@pytest.mark.parametrize("shape", ["json", "string"])
def test_other_forms(world: World, few_users: str, shape: str, encoder: str) -> None:
    """JSON and strings, with both encoders."""
    form = ("--as", shape, *(["--value", "email"] if shape == "string" else []), "--encoder", encoder)
    assert world.run("run", "--table", few_users, *RUN, *form).code == 0
    ids = [int(value) for (value,) in world.execute(f"SELECT id FROM {few_users} ORDER BY id LIMIT 2")]
    client = world.target()
    client.set(f"user:{ids[0]}", '{"id":0}')
    client.delete(f"user:{ids[1]}")
    wrong = {f"user:{ids[0]}": "different", f"user:{ids[1]}": "missing"}
    assert compared(world)[::2] == (4, wrong)
    assert compared(world, "--repair")[::2] == (0, wrong)
    assert compared(world)[::2] == (0, {})


def test_run_verifies_at_the_end(world: World, few_users: str) -> None:
    """One command: both summaries, and the code of the worse."""
    done = world.run("run", "--table", few_users, *RUN, "--verify", "--extra")
    assert done.code == 0, done.err
    assert "20,000 rows read = 20,000 keys written" in done.out
    assert "20,000 rows compared: 0 missing" in done.out
    assert world.run("status", f"{JOB}-verify").out.startswith(f"job {JOB}-verify: complete")
    daemon = world.launch("run", "--table", few_users, "--key", "user:{id}", "--verify", job="d")
    daemon.end()
    done = wait_until(lambda: (seen := world.run("status", "d-verify")).code == 0 and seen, "its verify")
    wait_until(lambda: "complete" in world.run("status", "d-verify").out, "it is complete")
    assert world.run("run", "--table", few_users, "--sample", "1%").code == 2


def test_a_row_that_changes_all_the_time(world: World, few_users: str) -> None:
    """Its key is no difference, and a repair does not write an older value over it; what is wrong is repaired."""
    world.make_table("hot", "id INT PRIMARY KEY, name VARCHAR(40)")
    world.execute("INSERT INTO hot SELECT id, 'a' FROM " + few_users)
    assert world.run("run", "--table", "hot", "--key", "user:{id}", "--job", JOB).code == 0
    ids = [int(value) for (value,) in world.execute("SELECT id FROM hot ORDER BY id")]
    client = world.target()
    client.hset(f"user:{ids[9_000]}", "name", "forgotten")
    hot, at = ids[15_000], 0
    running = world.start("verify", JOB, "--repair", "--workers", "1", "--json")
    with world.sql() as cursor:
        while running.process.poll() is None:
            at += 1
            cursor.execute(f"UPDATE hot SET name = 'app{at}' WHERE id = {hot}")
            client.hset(f"user:{hot}", "name", f"app{at}")
    done = running.finish()
    assert done.code == 0, done.err
    assert client.hget(f"user:{hot}", "name") == b"app%d" % at
    assert f"user:{ids[9_000]}: different in name (repaired)" in world.run("differences", JOB).out.splitlines()


def test_rows_that_change_meanwhile(world: World, few_users: str) -> None:
    """A writer changes rows and their keys, the row first: what it has in hand is no difference, what it forgot is."""
    world.make_table("changing", "id INT PRIMARY KEY, name VARCHAR(40)")
    world.execute("INSERT INTO changing SELECT id, 'a' FROM " + few_users)
    assert world.run("run", "--table", "changing", "--key", "user:{id}", "--job", JOB, "--range-rows", "2000").code == 0
    ids = [int(value) for (value,) in world.execute("SELECT id FROM changing ORDER BY id")]
    daemon = world.launch("verify", JOB, "--rate", "4000", "--workers", "1", job=f"{JOB}-verify")
    client = world.target()
    forgotten = ids[15_000]
    client.hset(f"user:{forgotten}", "name", "forgotten")
    at = 0
    while Path(f"/proc/{daemon.pid}").exists():
        number = ids[at * 37 % len(ids)]
        if number != forgotten:
            world.execute(f"UPDATE changing SET name = 'b{at}' WHERE id = {number}")
            client.hset(f"user:{number}", "name", f"b{at}")
        at += 1
    assert at > 20
    listed = world.run("differences", JOB).out.splitlines()
    assert listed == [f"user:{forgotten}: different in name"]
