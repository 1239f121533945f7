"""`doctor` goes on, whatever it finds."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from shardload.jobdir.directory import JobDirectory
from shardload.jobs import doctor
from shardload.jobs.doctor import Finding, examine
from tests.harness import World


@pytest.fixture(autouse=True)
def _no_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MYSQL", "REDIS"):
        monkeypatch.delenv(f"SHARDLOAD_{name}_URL", raising=False)


def found(state_dir: Path, subject: str) -> list[Finding]:
    """What is found of a subject; the examination goes to its end."""
    findings = list(examine(state_dir, mysql=None, redis=None))
    assert findings[-1].subject == "Redis"
    return [finding for finding in findings if finding.subject == subject]


def test_a_damaged_job_is_a_finding(tmp_path: Path) -> None:
    """Each with its reason and the next step; the job that died is found all the same."""
    for name in ("bad-run", "bad-journal", "dead"):
        JobDirectory.create(tmp_path, name).write_spec({})
    (tmp_path / "bad-run" / "run.json").write_text('{"ipc": 1}')
    (tmp_path / "bad-journal" / "journal.sqlite").write_text("no database, but long enough for one" * 30)
    journal, run, died = found(tmp_path, "jobs")
    assert {finding.level for finding in (journal, run, died)} == {"warning"}
    assert journal.text.startswith("bad-journal: the journal ")
    assert run.text == f"bad-run: {tmp_path / 'bad-run' / 'run.json'} has wrong values: ipc"
    assert "shardload clean bad-run" in run.hint
    assert died.text == "died: dead"


def test_a_state_directory_for_all(tmp_path: Path) -> None:
    """Whoever may write it can prepare a job, or take one away."""
    tmp_path.chmod(0o777)
    warned = found(tmp_path, "state directory")[-1]
    tmp_path.chmod(0o700)
    assert (warned.level, warned.text) == ("warning", "every user may write it, too: jobs may vanish from there")


def test_a_user_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may be given any uid: where systemd runs, too, it is a finding and no crash."""
    monkeypatch.setattr(doctor, "_SYSTEMD", tmp_path)
    monkeypatch.setattr(os, "getuid", lambda: 4_242_424)
    (logout,) = found(tmp_path, "logout")
    assert (logout.level, logout.text) == ("ok", "uid 4242424 has no name here: nobody can log in, or out, as it")


def test_no_place_for_a_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container whose file system can only be read: a finding, and the rest is examined."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    (ipc,) = found(tmp_path, "SysV IPC")
    assert (ipc.level, ipc.text) == ("warning", "not examined: no temporary file: No such file or directory")


@pytest.mark.parametrize(
    ("rights", "key", "levels"),
    [
        (["+@all"], "user:{id}", ["ok"]),
        (["+@all"], "other:{id}", ["problem"]),
        (["+@all"], None, ["warning"]),
        (["+@all", "-restore"], "user:{id}", ["warning"]),
        (["+@all", "-restore", "-pexpire"], "user:{id}", ["warning", "warning"]),
        (["+@all", "-hset"], "user:{id}", ["ok"]),
        (["+@all", "-restore", "-hset"], "user:{id}", ["problem"]),
    ],
)
def test_only_what_an_import_fails_of_is_a_problem(
    world: World, tmp_path: Path, rights: list[str], key: str | None, levels: list[str]
) -> None:
    """A user whose keys begin with user: needs no others; and one who may not PEXPIRE can import without --ttl."""
    admin = world.target()
    admin.acl_setuser("narrow", enabled=True, passwords=["+secret"], keys=["user:*"], commands=rights)
    url = replace(world.redis, user="narrow", password="secret").with_password()
    try:
        server, *seen = [
            one for one in examine(tmp_path, mysql=None, redis=url, key=key) if one.subject.startswith("Redis")
        ]
    finally:
        admin.acl_deluser("narrow")
    assert (server.level, [one.level for one in seen]) == ("ok", levels)
    assert all(one.hint for one in seen if one.level != "ok")
    assert ("--key TEMPLATE" in seen[0].hint) == (key is None)
    assert admin.dbsize() == 0


def test_the_table_of_a_job_to_come(world: World, tmp_path: Path) -> None:
    """Whether it can be read, and has the columns of the key; a default key is the table's own."""
    world.make_table("narrow", "id INT PRIMARY KEY, name TEXT")
    mysql, redis = world.mysql.with_password(), world.redis.with_password()

    def told(table: str, key: str | None) -> list[tuple[str, str]]:
        found = examine(tmp_path, mysql=mysql, redis=redis, table=table, key=key)
        return [(one.level, one.text) for one in found if one.subject in ("table", "MySQL") and one.text[:5] != "mysql"]

    assert told("narrow", None) == [("ok", "narrow: split by id, 2 columns that may be read")]
    assert told("narrow", "n:{nmae}") == [("problem", "--key: table narrow has no column 'nmae'")]
    ((level, text),) = told("nobody", None)
    assert (level, "doesn't exist" in text) == ("problem", True)


def test_a_password_file_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A finding of its server; the other one is examined."""
    monkeypatch.setenv("SHARDLOAD_MYSQL_URL", "mysql://u@h/d")
    monkeypatch.setenv("SHARDLOAD_MYSQL_PASSWORD_FILE", str(tmp_path / "nowhere"))
    (mysql,) = found(tmp_path, "MySQL")
    assert (mysql.level, mysql.text) == ("problem", f"cannot read {tmp_path / 'nowhere'}: No such file or directory")
