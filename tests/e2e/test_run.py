"""The main job with the real command: every row arrives, and the summary tells the truth."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import time

import pytest

from tests.harness import DEADLINE_S, World, by_id, ipc_objects, shares

SUMMARY_NAMES = [
    "job", "status", "rows_read", "keys_written", "keys_kept", "rows_skipped", "rows_failed", "lookups_written",
    "ranges", "ranges_done", "ranges_retried", "seconds", "rows_per_second", "encoder", "target", "workers",
    "rows_lost", "rows_unfinished", "rows_unfinished_exact", "keys_shared", "kind",
]  # fmt: skip


def test_300_000_users_arrive_exactly(world: World, users: str) -> None:
    """Gaps, NULLs, unicode, control characters: every field of every key, and no key more."""
    before = ipc_objects()
    done = world.run("run", "--table", users, "--key", "user:{id}", "--workers", "3", "--range-rows", "20000", "--json")
    assert done.code == 0, done.err
    summary = done.summary
    assert list(summary) == SUMMARY_NAMES
    assert (summary["status"], summary["rows_read"], summary["keys_written"]) == ("complete", 300_000, 300_000)
    assert (summary["rows_skipped"], summary["rows_failed"], summary["workers"]) == (0, 0, 3)
    assert summary["ranges"] == summary["ranges_done"] > 10
    assert world.assert_exact(users, by_id) == 300_000
    assert ipc_objects() == before


def test_a_second_load_leaves_nothing_of_the_first(world: World) -> None:
    """A whole-key write: stale fields, other types and time-outs of an older load do not survive."""
    world.make_table("small", "id INT PRIMARY KEY, name VARCHAR(20) NULL")
    world.execute("INSERT INTO small VALUES (1, 'one'), (2, NULL), (3, 'three')")
    client = world.target()
    client.hset("user:1", mapping={"stale": "x", "name": "old"})
    client.expire("user:1", 1000)
    client.hset("user:2", mapping={"name": "was not NULL then"})
    client.rpush("user:3", "a list")
    assert world.run("run", "--table", "small", "--key", "user:{id}").code == 0
    world.assert_exact("small", by_id)
    assert client.ttl("user:1") == -1


def test_null_columns_are_empty_on_request(world: World) -> None:
    """--null empty writes them as empty strings."""
    world.make_table("nulls", "id INT PRIMARY KEY, a TEXT NULL, b TEXT NULL")
    world.execute("INSERT INTO nulls VALUES (1, NULL, ''), (2, 'x', NULL)")
    assert world.run("run", "--table", "nulls", "--key", "user:{id}", "--null", "empty").code == 0
    world.assert_exact("nulls", by_id, null="empty")


def test_rows_without_a_field_are_skipped_and_counted(world: World) -> None:
    """A row whose chosen columns are all NULL makes no key."""
    world.make_table("sparse", "id INT PRIMARY KEY, a TEXT NULL")
    world.execute("INSERT INTO sparse VALUES (1, 'x'), (2, NULL), (3, NULL)")
    done = world.run("run", "--table", "sparse", "--columns", "a", "--json")
    assert done.code == 0, done.err
    assert (done.summary["rows_read"], done.summary["keys_written"], done.summary["rows_skipped"]) == (3, 1, 2)
    assert world.target().hgetall("sparse:1") == {b"a": b"x"}
    assert world.target().dbsize() == 1


def test_a_null_in_the_key_sets_the_row_aside(world: World) -> None:
    """Exit 1, the row and the reason in `failures`; a resume after the mend completes."""
    world.make_table("keyed", "id INT PRIMARY KEY, name VARCHAR(20) NULL")
    world.execute("INSERT INTO keyed VALUES (1, 'a'), (2, NULL), (3, 'c')")
    done = world.run("run", "--table", "keyed", "--key", "k:{NAME}", "--job", "j", "--json")
    assert done.code == 1, done.err
    assert (done.summary["status"], done.summary["keys_written"], done.summary["rows_failed"]) == ("incomplete", 2, 1)
    assert world.run("failures", "j").out == "id=2\tcolumn name of the key is NULL\n"
    world.execute("UPDATE keyed SET name = 'b' WHERE id = 2")
    again = world.run("resume", "j", "--json")
    assert again.code == 0, again.err
    assert (again.summary["rows_read"], again.summary["keys_written"], again.summary["rows_failed"]) == (3, 3, 0)
    assert world.run("failures", "j").out == ""
    assert "nothing is left to do: 1 of 1 ranges are done" in world.run("resume", "j").err


@pytest.mark.parametrize("encoding", ["restore", "commands"])
@pytest.mark.parametrize("range_rows", ["50000", "20"])
def test_a_row_that_redis_refuses_is_found_and_set_aside(world: World, encoding: str, range_rows: str) -> None:
    """One key of 2000 is outside what the Redis user may write: its range is halved until the row is alone. Neighbours
    that were on the way with it bear no blame."""
    world.make_table("poison", "id INT PRIMARY KEY, kind VARCHAR(8) NOT NULL")
    values = ", ".join(f"({n}, '{'bad' if n == 1234 else 'ok'}')" for n in range(2000))
    world.execute(f"INSERT INTO poison VALUES {values}")
    admin = world.target()
    admin.acl_setuser(
        "narrow", enabled=True, passwords=["+pw"], keys=["ok:*", "shardload-probe-*"], commands=["+@all"], reset=True
    )
    try:
        url = f"redis://narrow:pw@{world.redis.host}:{world.redis.port}/{world.redis.database}"
        # the second pattern is for the probe's scratch key: the template with every column filled in
        done = world.run(
            "run", "--table", "poison", "--key", "{kind}:{id}", "--job", "p", "--json", "--redis", url,
            "--encoding", encoding, "--range-rows", range_rows,
        )  # fmt: skip
        assert done.code == 1, done.err
        summary = done.summary
        assert (summary["rows_read"], summary["keys_written"], summary["rows_failed"]) == (2000, 1999, 1)
        listed = world.run("failures", "p").out
        assert listed.startswith("id=1234\t")
        halved = re.findall(r"(\[\d+, \d+\)) keeps failing", done.err)
        assert 4 <= len(halved) < 15
        assert all(int(low) <= 1234 < int(high) for low, high in (re.findall(r"\d+", keys) for keys in halved))
        assert "NOPERM" in listed
        assert admin.dbsize() == 1999
    finally:
        admin.acl_deluser("narrow")


@pytest.mark.parametrize(
    ("key", "reason"),
    [("{a}{b}", "does not show where"), ("{name}", "are not unique"), ("{a}:{b}", ""), ("{name}:{id}", "")],
)
def test_keys_that_may_collide_are_warned_of(world: World, key: str, reason: str) -> None:
    """Before anything is written, by plan and by run."""
    world.make_table("pairs", "id INT PRIMARY KEY, a INT NOT NULL, b INT NOT NULL, name VARCHAR(9), UNIQUE (a, b)")
    world.execute("INSERT INTO pairs VALUES (1, 1, 11, 'x'), (2, 11, 1, 'y')")
    for command in ("plan", "run"):
        done = world.run(command, "--table", "pairs", "--key", key, "--job", "pairs")
        assert done.code == 0
        assert ("several rows may get the same key" in done.err) is bool(reason)
        assert reason in done.err
    assert world.target().dbsize() == (1 if key == "{a}{b}" else 2)


def test_a_toml_file_says_the_same(world: World) -> None:
    """Flags win over the file; a wrong key names file, key and what is accepted."""
    world.make_table("small", "id INT PRIMARY KEY")
    world.execute("INSERT INTO small VALUES (7)")
    file = world.state_dir.parent / "job.toml"
    file.write_text('table = "small"\nkey = "file:{id}"\nrange-rows = 10\n')
    assert world.run("run", str(file), "--key", "flag:{id}").code == 0
    assert world.target().keys() == [b"flag:7"]
    file.write_text('tabel = "small"\n')
    wrong = world.run("run", str(file))
    assert wrong.code == 2
    assert f"{file}: tabel is not a known key" in wrong.err
    assert "range-rows" in wrong.err


def test_plan_changes_nothing(world: World, users: str) -> None:
    """It shows the estimate, as one, the ranges, and the first key and hash. It needs no Redis."""
    done = world.run("plan", "--table", users, "--key", "user:{id}", SHARDLOAD_REDIS_URL="")
    assert done.code == 0, done.err
    assert "(an estimate)" in done.out
    assert "first key: user:" in done.out
    assert "username = " in done.out
    told = world.run("plan", "--table", users, "--key", "user:{id}", "--json").summary
    assert told["first_key"] in done.out
    assert told["first_fields"]["username"] in done.out
    assert f"{told['lowest']} to {told['highest']}" in done.out
    assert f"about {told['rows_estimated']:,} rows (an estimate), {told['ranges']} ranges" in done.out
    assert world.target().dbsize() == 0
    assert not world.state_dir.exists()


def test_verify_finds_every_kind_of_difference(world: World) -> None:
    """Missing, different (which fields), another type: counted and shown; exit 4."""
    world.make_table("small", "id INT PRIMARY KEY, name VARCHAR(20)")
    world.execute("INSERT INTO small VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')")
    assert world.run("run", "--table", "small", "--job", "v").code == 0
    right = world.run("verify", "v")
    assert right.code == 0, right.err
    client = world.target()
    client.delete("small:1")
    client.hset("small:2", "name", "changed")
    client.delete("small:3")
    client.set("small:3", "a string")
    wrong = world.run("verify", "v")
    assert wrong.code == 4
    found, target = wrong.out.splitlines()[:5], wrong.out.splitlines()[-1]
    assert target.startswith("  target: ")
    assert found == [
        "small:1: missing",
        "small:2: different in name",
        "small:3: is not a hash",
        "job v-verify: different",
        "  4 rows compared: 1 missing, 1 different, 1 of another type, 0 with another expiry, 0 rows that make no key",
    ]


def test_the_bar_on_a_terminal_never_goes_back(world: World, users: str) -> None:
    """On a pseudo-terminal: a bar, within 0 and 100 %, rising, and at 100 % at the end."""
    shown, code = on_a_terminal(world, "run", "--table", users, "--key", "user:{id}")
    assert code == 0, shown
    seen = shares(shown)
    assert seen == sorted(seen)
    assert seen[-1] == 100
    assert max(seen) <= 100
    assert "300,000 rows" in shown
    assert "complete" in shown


def test_json_is_alone_on_standard_output(world: World) -> None:
    """All else goes to standard error."""
    world.make_table("small", "id INT PRIMARY KEY")
    done = world.run("run", "--table", "small", "--json", "--progress", "plain")
    assert done.code == 0
    assert json.loads(done.out)["rows_read"] == 0
    assert "of the plan" in done.err


def test_the_workers_stay_small(world: World) -> None:
    """Rows of up to 64 KiB: no worker needs more than 80 MiB."""
    world.make_table("wide", "id INT PRIMARY KEY, body MEDIUMTEXT")
    world.execute(
        "INSERT INTO wide SELECT seq.n, REPEAT('x', 65000) FROM (SELECT a.d + 10 * b.d + 100 * c.d n FROM "
        + ", ".join("(SELECT 0 d" + "".join(f" UNION ALL SELECT {n}" for n in range(1, 10)) + f") {x}" for x in "abc")
        + ") seq"
    )
    words = ["run", "--table", "wide", "--job", "w", "--range-rows", "100", "--workers", "2", "--progress", "none"]
    assert peak_kib(world, "--version") < peak_kib(world, *words) < 80 * 1024


def peak_kib(world: World, *words: str) -> int:
    """The kernel's high-water mark of resident memory of the command and all its children: the biggest of them."""
    asked = (
        "import resource, subprocess, sys\n"
        "subprocess.run([sys.executable, '-m', 'shardload', *sys.argv[1:]], stdout=sys.stderr, check=True)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    command = [sys.executable, "-c", asked, *words]
    done = subprocess.run(command, env=world.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def on_a_terminal(world: World, *words: str) -> tuple[str, int]:
    """Run the command with a pseudo-terminal as its terminal: everything it showed, and its exit code."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "shardload", *words],
        stdin=theirs, stdout=theirs, stderr=theirs, env=world.environment(COLUMNS="120"), start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    give_up_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < give_up_s:
        if select.select([ours], [], [], 0.2)[0]:
            try:
                data = os.read(ours, 65536)
            except OSError:
                break  # the other end is closed
            if not data:
                break
            shown += data
    os.close(ours)
    return shown.decode(errors="replace"), process.wait(DEADLINE_S)
