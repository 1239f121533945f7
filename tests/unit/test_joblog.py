"""The log: a line that cannot be written is dropped, and nothing else goes wrong."""

from __future__ import annotations

import logging
import resource
from pathlib import Path

import pytest

from shardload.jobdir.log import close_log, open_log


def test_a_full_disk_costs_the_lines_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No exception is raised, and nothing is printed on the screen."""
    path = tmp_path / "log"
    handler = open_log(path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    logging.getLogger("shardload.test").warning("lost")
    close_log(handler)
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_text() == ""
    assert capsys.readouterr().err == ""


def test_a_log_that_cannot_be_made_anew_comes_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lines are dropped while a directory has the log's name; after that they are written again."""
    path = tmp_path / "log"
    handler = open_log(path)
    path.unlink()
    path.mkdir()
    log = logging.getLogger("shardload.test")
    log.warning("lost")
    log.warning("lost too")
    path.rmdir()
    log.warning("written")
    close_log(handler)
    assert "written" in path.read_text()
    assert "lost" not in path.read_text()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_event_is_a_line(tmp_path: Path, form: str) -> None:
    """Text from a server, whatever it is, makes neither a second line nor a huge one."""
    path = tmp_path / "log"
    handler = open_log(path, form)
    log = logging.getLogger("shardload.test")
    log.warning("refused: %s", "no\n2026-11-26 INFO coordinator[1]: complete\x1b[2J\u2028")
    log.warning("%s", "x" * 15_000_000)
    try:
        raise ValueError("a\nb\x1b")
    except ValueError:
        log.exception("crashed")
    close_log(handler)
    said = path.read_text(encoding="utf-8")
    assert len(said) < 20_000
    first, second, third = said.split("\n")[:-1]
    assert said.isascii()
    assert "\x1b" not in said
    assert ("coordinator[1]: complete" in first, "left out" in second, "Traceback" in third) == (True, True, True)
    if form == "text":
        assert first.endswith(r": refused: no\n2026-11-26 INFO coordinator[1]: complete\x1b[2J\xe2\x80\xa8")
        assert " | ValueError: a | b\\x1b" in third
