"""What a person types: commands, help texts, exit codes. No logic."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
import traceback
from contextlib import suppress
from types import ModuleType
from typing import NoReturn

import click

from shardload import __version__
from shardload.errors import EXIT_BAD_SPEC, EXIT_CANNOT_START, EXIT_SIGNAL_BASE, ShardloadError
from shardload.urls import without_passwords

EXIT_CODES = """\b
Exit codes:
  0    complete
  1    finished, but some rows failed (shardload failures JOB lists them)
  2    bad usage or spec
  3    cannot start, or stopped by trouble that lasted; resumable
  4    verify found differences
  129, 130, 131, 143   stopped by HUP, INT, QUIT, TERM; resumable"""


# Each command's module is imported when the command is used: a status must not wait for what an import needs.
_COMMANDS = {
    "run": "importing", "resume": "importing", "plan": "importing", "verify": "importing",
    "jobs": "watching", "status": "watching", "attach": "watching", "log": "watching", "failures": "watching",
    "stop": "steering", "pause": "steering", "unpause": "steering", "scale": "steering", "rate": "steering",
    "reload": "steering",
    "clean": "care", "doctor": "care",
    "demo": "sandbox", "seed": "sandbox",
}  # fmt: skip


class _Commands(click.Group):
    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = _imported(f"shardload.cli.{_COMMANDS[cmd_name]}")
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        return command


def _imported(name: str) -> ModuleType:
    """The module. Nothing that an import makes is garbage, and looking for some takes a tenth of its time."""
    gc.disable()
    try:
        return importlib.import_module(name)
    finally:
        gc.freeze()
        gc.enable()


_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(cls=_Commands, epilog=EXIT_CODES, context_settings=_CONTEXT)
@click.version_option(__version__, prog_name="shardload")
def shardload() -> None:
    """Warm Redis from a big MySQL table: in parallel, resumable, verified.

    \b
    shardload run --mysql mysql://reader:secret@db1/app --table user --redis redis://cache/0
    """


def main() -> NoReturn:
    """The `shardload` command: its outcome, and the end of this process, in which nothing is open any more.

    Python's own way out takes every module apart first, which costs as much as a good part of their imports.
    """
    _open_streams()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # whoever ignores it hands that on, and no child could be waited for
    _hide_passwords()
    code = outcome()
    with suppress(OSError):  # whoever read it has left
        sys.stdout.flush()
    os._exit(code)


def _open_streams() -> None:
    """Somebody may have started this command with closed streams: from here on they lead nowhere, and no file of ours
    gets their numbers."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115  # it lives as long as the process


def _hide_passwords() -> None:
    """What was typed is what `ps` shows to everybody: from here on without passwords."""
    shown = [without_passwords(word) for word in sys.argv[1:]]
    if shown != sys.argv[1:]:
        from shardload.process import set_title

        set_title(" ".join(["shardload", *shown]))


def outcome() -> int:
    """Run the command that `sys.argv` names. The exit code; an error is one line on stderr."""
    try:
        code = shardload.main(prog_name="shardload", standalone_mode=False) or 0
    except click.UsageError as error:
        _say(error.format_message(), f"{error.ctx.command_path} --help tells more" if error.ctx else "")
        code = EXIT_BAD_SPEC
    except ShardloadError as error:
        if "--verbose" in sys.argv:
            traceback.print_exc()
        _say(error.message, error.hint)
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        _say("stopped by SIGINT", "")
        code = EXIT_SIGNAL_BASE + 2
    except BrokenPipeError:  # the reader left: nothing more to say
        code = EXIT_SIGNAL_BASE + 13
    except OSError as error:
        if "--verbose" in sys.argv:
            traceback.print_exc()
        _say(f"the system refuses: {error}", "see the disk, ulimit -a, the container's limits")
        code = EXIT_CANNOT_START
    except Exception as error:
        if "--verbose" in sys.argv:
            traceback.print_exc()
        _say(
            f"unexpected {type(error).__name__}: {error}",
            "a fault of shardload: --verbose shows where; please report it",
        )
        code = EXIT_CANNOT_START
    return code


def _say(message: str, hint: str) -> None:
    text = without_passwords(f"shardload: {message}" + (f" ({hint})" if hint else ""))
    with suppress(OSError):  # the disk under it is full: the exit code says it, too
        click.echo(" ".join(text.split()), err=True)
