"""The command line: everything is explained, and every refusal has its exit code and one line."""

from __future__ import annotations

import re
import sys

import click
import pytest

from shardload import __version__, errors
from shardload.cli import EXIT_CODES, outcome, shardload

CONTEXT = click.Context(shardload)
COMMANDS = [
    (name, command) for name in shardload.list_commands(CONTEXT) if (command := shardload.get_command(CONTEXT, name))
]


def all_commands() -> list[str]:
    """The names that `shardload --help` lists."""
    return [name for name, _ in COMMANDS]


def test_the_commands() -> None:
    """Those that the design promises so far."""
    assert set(all_commands()) == {
        "run", "resume", "plan", "verify", "differences", "jobs", "status", "attach", "log", "failures", "stop",
        "pause", "unpause", "scale", "rate", "reload", "machine", "clean", "doctor", "demo", "seed", "help",
    }  # fmt: skip


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=all_commands())
def test_every_command_is_explained(name: str, command: click.Command) -> None:
    """A sentence for the list, and a help text for every flag."""
    assert command.help
    assert command.help.strip()[0].isupper()
    assert command.get_short_help_str(limit=200)
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.opts}"
            assert all(re.fullmatch(r"-[a-z]|--[a-z][a-z-]*", form) for form in parameter.opts)


def left_with(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """The exit code of the command with these words."""
    for name in ("MYSQL_URL", "REDIS_URL", "STATE_DIR"):
        monkeypatch.delenv(f"SHARDLOAD_{name}", raising=False)
    monkeypatch.setattr(sys, "argv", ["shardload", *words])
    return outcome()


@pytest.mark.parametrize("name", [None, *all_commands()])
def test_help_is_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str | None) -> None:
    """--help and -h show the same, on standard output, with exit code 0."""
    shown = set()
    for flag in ("--help", "-h"):
        assert left_with(monkeypatch, *([name] if name else []), flag) == 0
        captured = capsys.readouterr()
        assert captured.err == ""
        shown.add(captured.out)
    (text,) = shown
    assert text.startswith("Usage: shardload")
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("words", [[], ["run"], ["help"]])
def test_help_is_a_command_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    """`shardload help run` shows what `shardload run --help` shows."""
    assert left_with(monkeypatch, *words, "--help") == 0
    as_flag = capsys.readouterr().out
    assert left_with(monkeypatch, "help", *words) == 0
    assert capsys.readouterr().out == as_flag


def test_without_a_word_it_shows_its_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """All lines of it, on standard error: nothing was done. 2, as for any command that is missing."""
    assert left_with(monkeypatch, "help") == 0
    help_text = capsys.readouterr().out
    assert left_with(monkeypatch) == 2
    assert capsys.readouterr() == ("", help_text)


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], flag: str) -> None:
    """Name and version."""
    assert left_with(monkeypatch, flag) == 0
    assert capsys.readouterr().out == f"shardload, version {__version__}\n"


def test_the_help_lists_the_exit_codes() -> None:
    """The numbers in the text are those in the code."""
    listed = [int(number) for number in re.findall(r"^  (\d+)", EXIT_CODES, re.MULTILINE)]
    assert listed == [
        errors.EXIT_COMPLETE, errors.EXIT_WITH_FAILURES, errors.EXIT_BAD_SPEC, errors.EXIT_CANNOT_START,
        errors.EXIT_DIFFERENCES, errors.EXIT_SIGNAL_BASE + 1,
    ]  # fmt: skip
    assert "129, 130, 131, 143" in EXIT_CODES


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        (["nosuch"], ["nosuch", "--help tells more"]),
        (["rnu"], ["No such command 'rnu'. (Did you mean 'run'?)"]),
        (["help", "statsu"], ["No such command 'statsu'. (Did you mean 'status'"]),
        (["run", "--tabel", "t"], ["--tabel", "Did you mean", "--table"]),
        (["run", "--nosuch"], ["--nosuch", "shardload run --help tells more"]),
        (["run"], ["is missing"]),
        (["run", "a.toml", "b.toml"], ["b.toml"]),
        (["resume"], ["JOB", "--help tells more"]),
        (["resume", "nobody", "--state-dir", "/nonexistent"], ["no job 'nobody' in /nonexistent"]),
        (["verify", "nobody", "--state-dir", "/nonexistent"], ["no job 'nobody'"]),
        (["failures", "nobody", "--state-dir", "/nonexistent"], ["no job 'nobody'"]),
        (["seed"], ["--rows"]),
        (["seed", "--rows", "-1"], ["--rows"]),
        (["seed", "--rows", "1"], ["--mysql is missing", "SHARDLOAD_MYSQL_URL"]),
        (["seed", "--rows", "1", "--mysql", "mysql://u:hunter2@h"], ["names no database"]),
        (["demo", "--rows", "many"], ["--rows"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_bad_usage_is_one_line_and_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], fragments: list[str]
) -> None:
    """On standard error, with the culprit and the next step; nothing on standard output; no password."""
    assert left_with(monkeypatch, *words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("shardload: ")
    assert captured.err.count("\n") == 1
    assert all(fragment in captured.err for fragment in fragments), captured.err
    assert "hunter2" not in captured.err


def test_verbose_shows_where(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A traceback only for those who ask."""
    assert left_with(monkeypatch, "run", "--verbose") == 2
    assert "Traceback" in capsys.readouterr().err
