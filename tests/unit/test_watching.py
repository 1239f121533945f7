"""What is printed of jobs that nobody runs, damaged ones too, and the exit code of whoever watched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shardload.jobdir.directory import JobDirectory
from shardload.jobdir.journal import Journal
from shardload.jobdir.runfile import RunRecord
from tests.unit.test_cli import left_with


@pytest.fixture
def job(tmp_path: Path) -> JobDirectory:
    """A job with an empty plan."""
    directory = JobDirectory.create(tmp_path, "users")
    directory.write_spec({})
    Journal.create(directory.journal_file, {}, []).close()
    return directory


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("run.json", "{", "cannot be read: "),
        ("run.json", '{"ipc": 1}', "has wrong values: ipc"),
        ("journal.sqlite", "no journal at all, but long enough to look like one" * 20, "file is not a database"),
    ],
)
def test_a_damaged_job_is_listed_as_one(
    job: JobDirectory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    file: str, content: str, told: str,
) -> None:  # fmt: skip
    """With the reason, in the form that was asked for; the jobs beside it as ever."""
    other = JobDirectory.create(job.path.parent, "another")
    other.write_spec({})
    (job.path / file).write_text(content)
    assert left_with(monkeypatch, "jobs", "--state-dir", str(job.path.parent)) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.split()[:2] == ["another", "died"]
    assert second.split()[:2] == ["users", "damaged"]
    assert told in second
    assert left_with(monkeypatch, "jobs", "--json", "--state-dir", str(job.path.parent)) == 0
    whole, damaged = map(json.loads, capsys.readouterr().out.splitlines())
    assert (whole["job"], whole["state"]) == ("another", "died")
    assert (damaged["job"], damaged["state"], damaged.keys()) == ("users", "damaged", {"job", "state", "error"})
    assert told in damaged["error"]


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        ({"status": "stopped", "exit_code": 130}, 130),
        ({"status": "stopped", "exit_code": 129}, 129),
        ({"status": "stopped"}, 143),
        ({"status": "failed", "exit_code": 3}, 3),
        ({"status": "incomplete"}, 1),
        ({"status": "complete", "exit_code": 0}, 0),
        ({"status": "a word of a later version"}, 3),
        (None, 3),
    ],
)
def test_attach_ends_with_the_code_of_the_job(
    job: JobDirectory, monkeypatch: pytest.MonkeyPatch, outcome: dict[str, Any] | None, code: int
) -> None:
    """The one that the job had; where it could not say its own, the one that goes with how it ended."""
    job.write_run(RunRecord.from_json({"ipc": None, "outcome": outcome}))
    assert left_with(monkeypatch, "attach", "users", "--state-dir", str(job.path.parent)) == code
