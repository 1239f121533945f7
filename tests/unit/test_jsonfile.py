"""Small JSON files: written whole or not at all, and what happens if the disk is full."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from shardload.errors import DirectoryLost
from shardload.files import jsonfile


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No new file can be written; an existing file can be overwritten."""
    really = os.open

    def refused(path: Any, flags: int, mode: int = 0o777, **how: Any) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return really(path, flags, mode, **how)

    monkeypatch.setattr(os, "open", refused)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """A file can be written, read and replaced; nothing else is left in the directory."""
    file = tmp_path / "run.json"
    for content in ({"a": 1, "text": "ü"}, {}):
        jsonfile.write(file, content)
        assert jsonfile.read(file) == content
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_full_disk_has_room_for_what_is_no_longer(tmp_path: Path, full_disk: None) -> None:
    """Content that is no longer than the old one is written over it, any number of times."""
    file = tmp_path / "run.json"
    file.write_text('{"pid": 4711, "ipc": {"queues": [1, 2, 3], "semaphore": 7}}')
    for content in ({"pid": 4711, "ipc": None}, {"pid": 4711, "ipc": None, "outcome": "failed"}, {}):
        jsonfile.write(file, content)
        assert jsonfile.read(file) == content
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.parametrize("before", [None, "{}"])
def test_a_full_disk_has_no_room_for_more(tmp_path: Path, before: str | None, full_disk: None) -> None:
    """Longer content raises DirectoryLost, and the old content stays."""
    file = tmp_path / "run.json"
    if before is not None:
        file.write_text(before)
    with pytest.raises(DirectoryLost, match="No space left"):
        jsonfile.write(file, {"pid": 4711})
    assert (file.read_text() if file.exists() else None) == before
    assert len(list(tmp_path.iterdir())) == (before is not None)
