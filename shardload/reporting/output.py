"""Every line that a command prints goes through here: control characters in foreign text are escaped."""

from __future__ import annotations

import sys
from typing import TextIO

from shardload.model.printable import ENCODING_ERRORS, printable


def echo(*lines: str, err: bool = False, file: TextIO | None = None) -> None:
    """Print these lines. Line ends and control characters inside a line are escaped; a tabulator separates columns."""
    stream = file or (sys.stderr if err else sys.stdout)
    for line in lines:
        stream.write("\t".join(map(printable, line.split("\t"))) + "\n")
    stream.flush()


def echo_text(text: str) -> None:
    """Print a piece of a file, which has lines of its own. Control characters are escaped."""
    sys.stdout.write("\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n")))
    sys.stdout.flush()


def escape_what_streams_lack() -> None:
    """Escape characters that the streams' encoding does not have, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors=ENCODING_ERRORS)


def clear_screen() -> None:
    """Clear the terminal that standard output is; do nothing if it is none."""
    if sys.stdout.isatty():
        sys.stdout.write("\x1b[2J\x1b[H")
        sys.stdout.flush()
