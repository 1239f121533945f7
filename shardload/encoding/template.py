"""Key templates such as `user:{id}`: literal text, and column names in braces, with a filter or without. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from shardload.errors import SpecError
from shardload.model.names import read_name

FILTERS = ("lower", "upper", "hex", "base64", "uuid", "crc16")
_LOSSY = ("lower", "upper", "crc16")  # different values may become equal
_DIGITS = frozenset("0123456789")
_INTEGER = _DIGITS | {"-"}
_HEX = _DIGITS | frozenset("abcdef")
_BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")
_ALPHABETS = {"hex": _HEX, "uuid": _HEX | {"-"}, "base64": _BASE64, "crc16": _DIGITS}


class Piece(NamedTuple):
    """A piece of a template: `("text", "user:")` is literal, `("column", "id")` stands for a column's value."""

    kind: str
    text: str
    filter: str = ""
    """What is done with the value; empty for nothing."""


@dataclass(frozen=True)
class KeyTemplate:
    """A template, piece by piece."""

    parts: tuple[Piece, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it names, each once, in order."""
        return tuple(dict.fromkeys(part.text for part in self.parts if part.kind == "column"))

    @property
    def telling_columns(self) -> tuple[str, ...]:
        """The columns whose different values it shows differently: `{name|lower}` does not."""
        told = [part.text for part in self.parts if part.kind == "column" and part.filter not in _LOSSY]
        return tuple(dict.fromkeys(told))

    def gives_distinct_keys(self, integers: Collection[str]) -> bool:
        """True if different values always make different keys: the key shows where each value starts and ends.

        Columns in `integers` hold digits and a sign, and filters such as `hex` have an alphabet, too. Any other piece
        may hold any text, so the key may have at most one of them. Each piece with an alphabet needs a literal that is
        not of it, or the end of the key, next to it: on the right if it stands left of that other piece (or if there is
        none), else on the left.
        """
        alphabets = [_INTEGER if p.text in integers and not p.filter else _ALPHABETS.get(p.filter) for p in self.parts]
        others = [at for at, part in enumerate(self.parts) if part.kind == "column" and alphabets[at] is None]
        if len(others) > 1:
            return False
        middle = others[0] if others else len(self.parts)
        for at, part in enumerate(self.parts):
            alphabet = alphabets[at]
            if part.kind == "text" or alphabet is None:
                continue
            beside = self.parts[at + 1 : at + 2] if at < middle else self.parts[at - 1 : at]
            if any(one.kind == "column" or one.text[0 if at < middle else -1] in alphabet for one in beside):
                return False
        return True

    def filled(self, value: str) -> str:
        """The key with `value` for every column: for trial writes, as Redis's access rules cover it like a real key."""
        return "".join(part.text if part.kind == "text" else value for part in self.parts)

    def after(self, prefix: str) -> KeyTemplate:
        """The template with this literal text before it."""
        return KeyTemplate((Piece("text", prefix), *self.parts)) if prefix else self


def default_template(table: str, key_columns: Sequence[str]) -> KeyTemplate:
    """The template `TABLE:{PRIMARY KEY}`. Names may contain any character, braces too."""
    parts = [Piece("text", table)]
    for column in key_columns:
        parts += [Piece("text", ":"), Piece("column", column)]
    return KeyTemplate(tuple(parts))


def parse_template(text: str, flag: str = "--key", *, constant: bool = False) -> KeyTemplate:
    """Parse a template. SpecError, naming `flag`, if a brace is single, a column name is empty, a filter is not known,
    or no column is named (unless it may be `constant`)."""
    parts: list[Piece] = []
    literal = ""
    at = 0
    while at < len(text):
        two, one = text[at : at + 2], text[at]
        if two in ("{{", "}}"):
            literal += one
            at += 2
        elif one == "{":
            piece, end = _column(text, at, flag)
            if literal:
                parts.append(Piece("text", literal))
                literal = ""
            parts.append(piece)
            at = end
        elif one == "}":
            raise _bad(flag, text, f"the '}}' at character {at + 1} has no '{{' before it")
        else:
            literal += one
            at += 1
    if literal:
        parts.append(Piece("text", literal))
    template = KeyTemplate(tuple(parts))
    if not template.columns and not constant:
        raise _bad(flag, text, "it names no column, so every row would get the same key")
    return template


def parse_lookup(text: str) -> tuple[KeyTemplate, KeyTemplate]:
    """Parse `KEY=VALUE`, two templates, at the first `=` that is not in braces. SpecError if it is not of this form."""
    at = 0
    while at < len(text) and text[at] != "=":
        if text[at] == "{" and text[at : at + 2] != "{{":
            at = _column(text, at, "--lookup")[1]
        else:
            at += 2 if text[at : at + 2] in ("{{", "}}") else 1
    if at == len(text):
        hint = "write it like this: --lookup 'user:email:{email}={id}'"
        raise SpecError(f"--lookup {text!r} has no '=' between key and value", hint)
    return parse_template(text[:at], "--lookup"), parse_template(text[at + 1 :], "--lookup", constant=True)


def _column(text: str, at: int, flag: str) -> tuple[Piece, int]:
    """The piece whose brace opens at `at`, and the place behind its closing brace."""
    found = read_name(text, at + 1, "|}")
    if found is None or not found[0] or "{" in text[at + 1 : found[1]].partition("`")[0]:
        raise _bad(flag, text, f"the '{{' at character {at + 1} has no column name and '}}' behind it")
    name, end = found
    filter_ = ""
    if text[end : end + 1] == "|":
        close = text.find("}", end)
        filter_ = text[end + 1 : close] if close > 0 else ""
        if filter_ not in FILTERS:
            known = ", ".join(FILTERS)
            raise _bad(flag, text, f"the column {name} has the filter {filter_!r}; there are: {known}")
        end = close
    if text[end : end + 1] != "}":
        raise _bad(flag, text, f"the '{{' at character {at + 1} has no column name and '}}' behind it")
    return Piece("column", name, filter_), end + 1


def _bad(flag: str, text: str, what: str) -> SpecError:
    return SpecError(
        f"{flag} {text!r}: {what}", "write a column as {id} or {`any name`}, and a literal brace as {{ or }}"
    )
