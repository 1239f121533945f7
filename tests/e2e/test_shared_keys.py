"""Rows that give one key: noticed over ranges and workers, with an example, and after every kind of interruption."""

from __future__ import annotations

import binascii
from collections import Counter
from pathlib import Path

from tests.harness import Result, World, ipc_objects, kill, wait_until

JOB = "sharing"
ROWS = 60_000


def people(world: World, *more: str) -> None:
    """Rows 1 to ROWS, each with a mail of its own, and then what `more` changes."""
    world.make_table("p", "id INT PRIMARY KEY, mail VARCHAR(60) NOT NULL")
    world.execute(f"INSERT INTO p SELECT seq, CONCAT('m', seq, '@b.example') FROM seq_1_to_{ROWS}", *more)


def load(world: World, *words: str, code: int = 0) -> Result:
    """An import to its end, in many ranges, by three workers."""
    done = world.run("run", "--table", "p", "--job", JOB, "--range-rows", "2000", "--workers", "3", "--json", *words)
    assert done.code == code, done.err
    return done


def files(world: World) -> list[Path]:
    """The files of fingerprints that are left."""
    return sorted((world.state_dir / JOB).glob("fingerprints.*"))


def warnings(done: Result) -> list[str]:
    """The warnings at the end."""
    return [line for line in done.err.splitlines() if line.startswith("warning:") and "may get" not in line]


def test_a_key_of_two_rows_is_told_with_an_example(world: World) -> None:
    """Rows far apart in the table: the job is complete, and says what was lost, on the screen and later."""
    people(world, "UPDATE p SET mail = 'm5@b.example' WHERE id = 59000")
    done = load(world, "--key", "user:{mail}")
    assert done.summary["keys_shared"] == 1
    assert (done.summary["status"], done.summary["keys_written"]) == ("complete", ROWS)
    told = "1 key was made more than once, the last one written stays: user:m5@b.example (id=5 and id=59000)"
    assert warnings(done) == [f"warning: {told}"]
    assert files(world) == []
    assert world.target().dbsize() == ROWS - 1
    assert told in world.run("log", JOB).out
    assert f"  trouble: {told}" in world.run("status", JOB).out.splitlines()
    again = world.run("resume", JOB, "--json")
    assert (again.code, again.summary["keys_shared"]) == (0, 1)
    assert warnings(again) == [f"warning: {told}"]


def test_a_verify_of_shared_keys(world: World) -> None:
    """Some are reported that are right, and it says so; a repair is refused."""
    people(world, "UPDATE p SET mail = CONCAT(id % 100, '@b.example') WHERE id % 5 = 0")
    load(world, "--key", "user:{mail}")
    done = world.run("verify", JOB)
    assert done.code == 4
    told = "the key's columns are not unique in the table: a key that several rows make may be reported as different"
    assert f"warning: {told}" in done.err.splitlines()
    assert f"  trouble: {told}" in world.run("status", f"{JOB}-verify").out.splitlines()
    flags = ("--table", "p", "--key", "user:{mail}", "--job", "other")
    for words in (["verify", JOB], ["verify", *flags], ["run", *flags, "--verify"]):
        refused = world.run(*words, "--repair")
        (line,) = refused.err.splitlines()
        assert line.startswith("shardload: --repair cannot be used here: the key's columns are not unique"), line
        assert refused.code == 2
    assert not (world.state_dir / "other").exists()


def test_a_repair_where_no_rows_share_a_key(world: World) -> None:
    """They could, but the import has counted its keys."""
    people(world)
    load(world, "--key", "user:{mail}")
    world.target().delete("user:m7@b.example")
    done = world.run("verify", JOB, "--repair")
    assert (done.code, done.err.count("may be reported")) == (0, 0), done.err
    assert world.target().dbsize() == ROWS


def test_where_no_two_rows_share_a_key_nothing_is_said(world: World) -> None:
    """Neither where they could, nor where they cannot; no file is left, and none was made for a unique key."""
    people(world)
    for key in ("user:{mail}", "user:{id}"):
        done = load(world, "--key", key)
        assert done.summary["keys_shared"] == 0
        assert warnings(done) == []
        assert files(world) == []
        assert "trouble" not in world.run("status", JOB).out
        world.run("clean", JOB)


def test_lookups_are_compared_with_lookups_and_with_keys(world: World) -> None:
    """Many rows make few lookups; a lookup that is another row's key counts, too; kept keys are those of the first."""
    people(world)
    done = load(world, "--lookup", "by:{mail|crc16}={id}", "--lookup", "p:{id}={mail}", "--on-conflict", "keep",
                "--encoder", "reference", "--where", "id <= 4000")  # fmt: skip
    with world.sql() as cursor:
        cursor.execute("SELECT mail FROM p WHERE id <= 4000")
        mails = [mail for (mail,) in cursor.fetchall()]
    slots = Counter(binascii.crc_hqx(mail, 0) for mail in mails)
    shared = sum(times > 1 for times in slots.values())
    assert shared > 50
    assert done.summary["keys_shared"] == shared + 4000
    assert len(warnings(done)) == 1
    assert f"{shared + 4000:,} keys were made more than once, the first one written stays: " in warnings(done)[0]


def test_a_job_that_was_killed_again_and_again_tells_the_truth(world: World) -> None:
    """Ranges are tried twice, and half records are left: nothing false is told, and nothing is missed."""
    people(world, "UPDATE p SET mail = 'm5@b.example' WHERE id = 59000", "UPDATE p SET mail = 'x' WHERE id IN (9, 10)")
    before = ipc_objects()
    words = ("run", "--table", "p", "--key", "user:{mail}", "--range-rows", "500", "--rate", "10000", "--workers", "3")
    running = world.start(*words, "--job", JOB, job=JOB)
    for done in (3, 10, 20):
        running.wait_for_ranges(done)
        kill(running.workers()[0])
        running.wait_for_ranges(done + 2)
        kill(running.process.pid, *running.workers())
        running.process.communicate()
        wait_until(lambda: ipc_objects() == before, "everything is gone")
        assert files(world)
        rate = () if done < 20 else ("--rate", "off")
        running = world.start("resume", JOB, *rate, "--json", job=JOB)
    done_at_last = running.finish()
    assert done_at_last.code == 0, done_at_last.err
    assert done_at_last.summary["keys_shared"] == 2
    assert "2 keys were made more than once" in warnings(done_at_last)[0]
    assert files(world) == []


def test_a_stopped_job_keeps_what_it_noted(world: World) -> None:
    """A stop and a resume, with a redone range between: one key, made by rows of both runs."""
    people(world, "UPDATE p SET mail = 'm5@b.example' WHERE id = 59000")
    words = ("run", "--table", "p", "--key", "user:{mail}", "--range-rows", "500", "--rate", "10000")
    running = world.start(*words, "--job", JOB, job=JOB)
    running.wait_for_ranges(5)
    assert world.run("stop", JOB).code == 0
    stopped = running.finish()
    assert "more than once" not in stopped.err
    assert files(world)
    done = world.run("resume", JOB, "--rate", "off", "--json")
    assert done.summary["keys_shared"] == 1
    assert "(id=5 and id=59000)" in done.err


def test_lost_fingerprints_are_told(world: World) -> None:
    """Somebody removes a file: what is not known is not claimed."""
    people(world)
    words = ("run", "--table", "p", "--key", "user:{mail}", "--range-rows", "500", "--rate", "10000")
    running = world.start(*words, "--job", JOB, job=JOB)
    running.wait_for_ranges(5)
    assert world.run("stop", JOB).code == 0
    running.finish()
    for file in files(world):
        file.unlink()
    done = world.run("resume", JOB, "--rate", "off", "--json")
    assert done.code == 0
    assert "were not looked at: their fingerprints are not there" in warnings(done)[0]


def test_rows_in_one_stream_and_rows_without_a_name(world: World) -> None:
    """A table that cannot be split: the key alone is named."""
    world.make_table("p", "mail VARCHAR(60) NOT NULL")
    world.execute("INSERT INTO p VALUES ('a'), ('b'), ('a')")
    done = load(world, "--key", "user:{mail}")
    assert warnings(done) == ["warning: 1 key was made more than once, the last one written stays: user:a"]
