"""Makes text from servers, tables and files safe for a terminal and for the log. Pure.

Characters that do not print, or that a terminal may act on (control characters, line ends, changes of the writing
direction, lone surrogates), are shown as their bytes in UTF-8: \\x1b for example.
"""

from __future__ import annotations

import codecs

MOST_CHARACTERS = 1000  # in one message; a server may send megabytes
MOST_LOGGED = 8 * MOST_CHARACTERS  # in one event of the log; tracebacks are long
ENCODING_ERRORS = "shardload.escape"  # `errors=` for a stream whose encoding may lack a character

_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(text: str) -> str:
    """The text as one line of printable characters. Printable text stays the same."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escaped(character) for character in text)


def shown_bytes(value: bytes) -> str:
    """The bytes as one line: UTF-8 as text, backslashes doubled, the rest escaped. Different bytes differ in it."""
    return printable(value.decode("utf-8", "surrogateescape").replace("\\", "\\\\"))


def bounded(text: str, most: int = MOST_CHARACTERS) -> str:
    """The text, without its middle if it is longer than `most`. Errors say what went wrong at the start or the end."""
    if len(text) <= most:
        return text
    head, tail = most * 3 // 4, most // 4
    return f"{text[:head]} ... ({len(text) - head - tail:,} characters left out) ... {text[-tail:]}"


def _escaped(character: str) -> str:
    if character in _NAMED:
        return _NAMED[character]
    try:
        raw = character.encode("utf-8", "surrogateescape")  # a byte that was not UTF-8 (PEP 383)
    except UnicodeEncodeError:
        raw = character.encode("utf-8", "surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in raw)


def _escape_unencodable(error: UnicodeError) -> tuple[str, int]:
    """The handler for `codecs.register_error`: escape the characters that the encoding lacks."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_escaped, error.object[error.start : error.end])), error.end


codecs.register_error(ENCODING_ERRORS, _escape_unencodable)
