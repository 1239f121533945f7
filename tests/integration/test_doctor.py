"""`doctor` goes on, whatever it finds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shardload import doctor
from shardload.doctor import Finding, examine
from shardload.jobdir import JobDirectory


@pytest.fixture(autouse=True)
def _no_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MYSQL", "REDIS"):
        monkeypatch.delenv(f"SHARDLOAD_{name}_URL", raising=False)


def found(state_dir: Path, subject: str) -> list[Finding]:
    """What is found of a subject; the examination goes to its end."""
    findings = list(examine(state_dir, None, None))
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
    assert run.text == f"bad-run: {tmp_path / 'bad-run' / 'run.json'} cannot be right: ipc"
    assert "shardload clean bad-run" in run.hint
    assert died.text == "died: dead"


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
