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
from click.shell_completion import CompletionItem

from shardload import __version__
from shardload.config.passwords import without_passwords
from shardload.errors import EXIT_BAD_SPEC, EXIT_CANNOT_START, EXIT_COMPLETE, EXIT_SIGNAL_BASE, ShardloadError
from shardload.reporting.output import echo, escape_what_streams_lack

EXIT_CODES = """\b
Exit codes:
  0    complete
  1    finished, but rows failed, or vanished from the table (shardload failures JOB lists them)
  2    bad usage or spec
  3    cannot start, or stopped by trouble that lasted; resumable
  4    verify found differences
  129, 130, 131, 143   stopped by HUP, INT, QUIT, TERM; resumable"""


# The commands by what they are for, each with its module, which is imported when the command is used: a status must
# not wait for what an import needs.
_GROUPS = {
    "Import": {
        "run": "importing", "resume": "importing", "plan": "importing", "failures": "watching",
    },
    "Compare": {"verify": "verifying", "differences": "verifying"},
    "Watch": {"jobs": "watching", "status": "watching", "attach": "watching", "log": "watching"},
    "Control": {
        "stop": "control", "pause": "control", "unpause": "control", "scale": "control", "rate": "control",
        "reload": "control",
    },
    "Fleet": {"machine": "fleet"},
    "Maintain": {"doctor": "maintenance", "clean": "maintenance"},
    "Try": {"demo": "sandbox", "seed": "sandbox"},
}  # fmt: skip
_COMMANDS = {name: module for commands in _GROUPS.values() for name, module in commands.items()}


class _Commands(click.Group):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            echo(*ctx.get_help().splitlines(), err=True)
            ctx.exit(EXIT_BAD_SPEC)
        return super().parse_args(ctx, args)

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return [*_COMMANDS, "help"]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """A section for each group of commands, with whole sentences: click would cut them to one line."""
        for title, names in _GROUPS.items():
            with formatter.section(title):
                found = [(name, self.get_command(ctx, name)) for name in names]
                formatter.write_dl([(name, command.short_help or "") for name, command in found if command])
        formatter.write_paragraph()
        formatter.write_text("shardload COMMAND --help tells what a command takes.")

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command as click does; suggest similar names for an unknown one, as click does for a flag."""
        if not ctx.resilient_parsing and not args[0].startswith("-") and args[0] not in self.list_commands(ctx):
            import difflib  # here: few need it

            similar = difflib.get_close_matches(args[0], self.list_commands(ctx))
            meant = f" (Did you mean {' or '.join(map(repr, similar))}?)" if similar else ""
            raise click.UsageError(f"No such command {args[0]!r}.{meant}", ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete as click does, but without each command's help: that would import every module."""
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        return [*map(CompletionItem, names), *click.Command.shell_complete(self, ctx, incomplete)]

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "help":
            return show_help
        if cmd_name not in _COMMANDS:
            return None
        module = _imported(f"shardload.cli.{_COMMANDS[cmd_name]}")
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        return command


def _imported(name: str) -> ModuleType:
    """Import a module without garbage collection: an import makes no garbage, and looking for it takes a tenth of its
    time."""
    gc.disable()
    try:
        return importlib.import_module(name)
    finally:
        gc.freeze()
        gc.enable()


_EXIT_READER_LEFT = EXIT_SIGNAL_BASE + signal.SIGPIPE
_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(cls=_Commands, epilog=EXIT_CODES, context_settings=_CONTEXT)
@click.version_option(__version__, "-V", "--version", prog_name="shardload")
def shardload() -> None:
    """Warm Redis from a big MySQL table: in parallel, resumable, verified.

    \b
    shardload run --mysql mysql://reader:secret@db1/app --table user --redis redis://cache/0
    """


@click.command("help", short_help="Show the help of a command.")
@click.argument("command", required=False)
@click.pass_context
def show_help(ctx: click.Context, command: str | None) -> int:
    """Show what `shardload --help` or `shardload COMMAND --help` shows."""
    above = ctx.parent
    assert above is not None
    if command is None:
        echo(*above.get_help().splitlines())
        return EXIT_COMPLETE
    name, found, _ = shardload.resolve_command(above, [command])
    assert found is not None
    with found.make_context(name, ["--help"], parent=above):
        return EXIT_COMPLETE


def main() -> NoReturn:
    """Run the `shardload` command and end the process, without Python's own clean-up of every module, which takes
    time."""
    _open_streams()
    signal.signal(
        signal.SIGCHLD, signal.SIG_DFL
    )  # if the parent ignores it, this process would too, and could wait for no child
    code = outcome()
    with suppress(OSError):  # whoever read it has left
        sys.stdout.flush()
    os._exit(code)


def _open_streams() -> None:
    """Open streams that were closed when this command was started, on /dev/null, so that no file gets their numbers."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115  # it lives as long as the process
    escape_what_streams_lack()


def outcome() -> int:
    """Run the command that `sys.argv` names. The exit code; an error is one line on stderr."""
    try:
        code = shardload.main(prog_name="shardload", standalone_mode=False) or 0
    except click.UsageError as error:
        _say(error.format_message(), f"{error.ctx.command_path} --help tells more" if error.ctx else "")
        code = EXIT_BAD_SPEC
    except ShardloadError as error:
        _show_where()
        _say(error.message, error.hint)
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        _say("stopped by SIGINT", "")
        code = EXIT_SIGNAL_BASE + 2
    except BrokenPipeError:  # the reader left: nothing more to say
        code = _EXIT_READER_LEFT
    except SystemExit as left:  # click's: 1 if the reader left, 0 when the shell's completion is answered
        code = _EXIT_READER_LEFT if left.code else EXIT_COMPLETE
    except OSError as error:
        _show_where()
        _say(f"the system refuses: {error}", "see the disk, ulimit -a, the container's limits")
        code = EXIT_CANNOT_START
    except Exception as error:
        _show_where()
        _say(
            f"unexpected {type(error).__name__}: {error}",
            "a fault of shardload: --verbose shows where; please report it",
        )
        code = EXIT_CANNOT_START
    return code


def _say(message: str, hint: str) -> None:
    text = without_passwords(f"shardload: {message}" + (f" ({hint})" if hint else ""))
    with suppress(OSError):  # the disk is full; the exit code tells it as well
        echo(" ".join(text.split()), err=True)


def _show_where() -> None:
    if "--verbose" in sys.argv:
        with suppress(OSError):
            echo(*without_passwords(traceback.format_exc()).splitlines(), err=True)
