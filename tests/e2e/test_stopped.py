"""What a job says that ended before its work was done: why, what is written, and the one next step."""

from __future__ import annotations

from tests.harness import World, by_id

JOB = "halves"
SLOW = ("--key", "user:{id}", "--workers", "2", "--rate", "20000")


def test_a_stop_says_what_was_written_in_unfinished_ranges(world: World, many_users: str) -> None:
    """Every key in Redis is accounted for, in the status, the log and the summary; the stop is told as one."""
    daemon = world.launch("run", "--table", many_users, *SLOW, job=JOB)
    daemon.wait_for("rows", lambda seen: seen["rows_read"] > 5000)
    daemon.order("pause")  # what comes back then counts as well
    written = world.target().dbsize()
    daemon.order("stop", "--wait")
    seen = daemon.status()
    assert seen["error"] == "stopped as asked"
    assert seen["rows_unfinished_exact"]
    assert seen["rows_unfinished"] > 0
    assert seen["keys_written"] + seen["rows_unfinished"] == written == world.target().dbsize()
    words = f"{seen['rows_unfinished']:,} more rows were written in ranges that are not done; resume loads these ranges"
    assert words in world.run("status", JOB).out
    assert words in daemon.log()
    running = world.start("resume", JOB, "--json", job=JOB)
    daemon.wait_for("rows", lambda seen: seen["state"] == "running" and seen["rows_read"] > 5000)
    daemon.order("stop")
    done = running.finish()
    assert done.code == 143
    assert "stopped as asked" in daemon.log()
    assert done.summary["keys_written"] + done.summary["rows_unfinished"] <= world.target().dbsize()
    assert "more rows were written" in done.err
    assert world.run("resume", JOB, "--rate", "off").code == 0
    assert world.run("status", JOB, "--json").summary["rows_unfinished"] == 0
    world.assert_exact(many_users, by_id)


def test_a_dropped_column_gets_one_advice(world: World, many_users: str) -> None:
    """The job cannot be resumed as the table is; nobody is told to do just that."""
    table = "halved"
    world.tables.append(table)
    world.execute(
        f"DROP TABLE IF EXISTS {table}", f"CREATE TABLE {table} LIKE {many_users}",
        f"INSERT INTO {table} SELECT * FROM {many_users}",
    )  # fmt: skip
    running = world.start("run", "--table", table, *SLOW, "--range-rows", "5000", "--job", JOB, job=JOB)
    running.wait_for_ranges(1)
    world.execute(f"ALTER TABLE {table} DROP COLUMN email")
    done = running.finish()
    assert done.code == 3
    (told,) = [line for line in done.err.splitlines() if "shardload" in line]
    assert "Unknown column" in told
    assert told.endswith("(the table has changed: restore it, then run: shardload resume JOB; or start a new job)")
    again = world.run("resume", JOB)
    assert again.code == 2
    assert "its table has changed: column email is gone (put the table back as it was, or start a new job)" in again.err
