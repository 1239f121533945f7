"""Foreign text made safe to show: what a server, a table or a file said, on a person's terminal and in the log. Pure.

There is one form of escaping: whatever does not print, or could mean something to a terminal (control characters,
line ends, changes of the writing direction, halves of characters), is shown as its bytes in UTF-8: \\x1b for example.
"""

from __future__ import annotations

import codecs

MOST_CHARACTERS = 1000  # of one message: a server may send megabytes
MOST_LOGGED = 8 * MOST_CHARACTERS  # a traceback is longer
ENCODING_ERRORS = "shardload.escape"  # for a stream whose encoding lacks a character

_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(text: str) -> str:
    """One line of characters that print. Text that is printable already stays as it is."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escaped(character) for character in text)


def shown_bytes(value: bytes) -> str:
    """One line for these bytes, and for no others: UTF-8 as text, a backslash doubled, all else escaped."""
    return printable(value.decode("utf-8", "surrogateescape").replace("\\", "\\\\"))


def bounded(text: str, most: int = MOST_CHARACTERS) -> str:
    """The text, without its middle if it is longer than that: what went wrong stands at the beginning or at the end."""
    if len(text) <= most:
        return text
    head, tail = most * 3 // 4, most // 4
    return f"{text[:head]} ... ({len(text) - head - tail:,} characters left out) ... {text[-tail:]}"


def _escaped(character: str) -> str:
    if character in _NAMED:
        return _NAMED[character]
    try:
        raw = character.encode("utf-8", "surrogateescape")  # a byte that was no UTF-8 (PEP 383)
    except UnicodeEncodeError:
        raw = character.encode("utf-8", "surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in raw)


def _escape_what_is_lacking(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_escaped, error.object[error.start : error.end])), error.end


codecs.register_error(ENCODING_ERRORS, _escape_what_is_lacking)
