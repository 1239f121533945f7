"""Text from outside is shown as one line that cannot control the terminal and has one meaning."""

from __future__ import annotations

import ast
import io
from pathlib import Path

import pytest

import shardload.cli
from shardload.errors import ShardloadError
from shardload.model.printable import ENCODING_ERRORS, bounded, printable, shown_bytes
from shardload.reporting.output import echo
from shardload.reporting.terminal import make_display

HOSTILE = [
    ("a\x1b[31mred", r"a\x1b[31mred"),
    ("\x07\x00\x7f", r"\x07\x00\x7f"),
    ("\x9b31m\x85", r"\xc2\x9b31m\xc2\x85"),  # C1: an escape sequence in one character, and a line end
    ("one\ntwo\r\tthree\x0b\x0c", r"one\ntwo\r\tthree\x0b\x0c"),
    ("\u2028\u2029", r"\xe2\x80\xa8\xe2\x80\xa9"),
    ("user\u202egnp\u2066", r"user\xe2\x80\xaegnp\xe2\x81\xa6"),
    ("\udcff\ud800", r"\xff\xed\xa0\x80"),  # a byte that was not UTF-8, and a lone surrogate
]
HARMLESS = ["", "an Ünïcode text, 日本語 🚀", r"a back\slash", "'quotes'"]


@pytest.mark.parametrize(("text", "shown"), [*HOSTILE, *((text, text) for text in HARMLESS)])
def test_text_is_one_line_that_prints(text: str, shown: str) -> None:
    """Text that is printable stays the same, so nothing is escaped twice."""
    assert printable(text) == shown
    assert printable(shown) == shown


def test_bytes_have_one_form_each() -> None:
    """Different bytes are shown differently, so a key on the screen is exactly that key."""
    every = [bytes((first, second)) for first in range(256) for second in range(256)]
    every += ["ü\u202e\\x1b".encode(), b"\xf0\x9f\x9a", b"\\n", b"\n", b"\xed\xa0\x80"]
    shown = [shown_bytes(value) for value in every]
    assert all(text.isprintable() for text in shown)
    assert len(set(shown)) == len(set(every))
    assert [shown_bytes(value) for value in (b"a\\b\n", "ü".encode(), b"\xc3")] == ["a\\\\b\\n", "ü", r"\xc3"]


@pytest.mark.parametrize(("encoding", "shown"), [("latin-1", r"ü\xe2\x82\xac"), ("ascii", r"\xc3\xbc\xe2\x82\xac")])
def test_what_a_terminal_lacks_is_escaped_too(encoding: str, shown: str) -> None:
    """Characters that the terminal's encoding lacks are escaped the same way, without an error."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors=ENCODING_ERRORS)
    echo("ü€", file=stream)
    assert stream.buffer.getvalue().decode(encoding) == shown + "\n"


def test_a_long_text_is_cut_in_its_middle() -> None:
    """Errors shorten long text from a server."""
    text = "begin " + 15_000_000 * "x" + " end"
    error = ShardloadError(text, text)
    assert len(str(error)) < 2200
    assert error.message == bounded(text)
    assert error.message.startswith("begin xxx")
    assert error.message.endswith("xxx end")
    assert "(14,999,010 characters left out)" in error.message
    assert bounded("x" * 1000) == "x" * 1000


def test_a_command_prints_lines() -> None:
    """A command may print several lines, with tabs between columns."""
    stream = io.StringIO()
    echo("a\nb\x1b[2J", "key\treason", file=stream)
    assert stream.getvalue() == "a\\nb\\x1b[2J\nkey\treason\n"


def test_a_note_is_one_line() -> None:
    """A note above a progress bar is one line too."""
    for kind in ("plain", "bar", "none"):
        stream = io.StringIO()
        display = make_display(kind, stream)
        display.note("row id=1\n\x1b[2Jis set aside")
        display.close()
        assert r"row id=1\n\x1b[2Jis set aside" in stream.getvalue()


def prints(path: Path) -> list[str]:
    """The calls by which a file prints."""
    calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    names = [ast.unparse(call) for call in calls]
    return [
        name
        for name in names
        if name in ("print", "click.echo", "click.secho") or name.endswith((".write", ".print_exc"))
    ]


def test_commands_print_in_one_place() -> None:
    """Only one module of the command line prints."""
    for path in Path(shardload.cli.__file__).parent.glob("*.py"):
        assert not prints(path) or path.name == "output.py", path
