"""Key templates: `user:{id}` is literal text and column names. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from shardload.errors import SpecError


@dataclass(frozen=True)
class KeyTemplate:
    """`parts` alternate freely: `("text", "user:")` is literal, `("column", "id")` is a column's value."""

    parts: tuple[tuple[str, str], ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it names, each once, in order."""
        return tuple(dict.fromkeys(value for kind, value in self.parts if kind == "column"))

    def tells_apart(self, integers: Collection[str]) -> bool:
        """True if the key shows where each column's value begins and ends, so that other values make another key.

        Of `integers` it is known that they are digits. One other column at most may be among them, and a digit may
        stand next to none of them.
        """
        others = [at for at, (kind, text) in enumerate(self.parts) if kind == "column" and text not in integers]
        if len(others) > 1:
            return False
        middle = others[0] if others else len(self.parts)
        for at, (kind, _) in enumerate(self.parts):
            if kind == "text" or at == middle:
                continue
            beside = self.parts[at + 1 : at + 2] if at < middle else self.parts[at - 1 : at]  # where it ends, or begins
            if any(other == "column" or text[0 if at < middle else -1].isdigit() for other, text in beside):
                return False
        return True

    def filled(self, value: str) -> str:
        """The key with `value` in place of every column: a scratch key that the same access rules cover."""
        return "".join(text if kind == "text" else value for kind, text in self.parts)


def default_template(table: str, key_columns: Sequence[str]) -> KeyTemplate:
    """`TABLE:{PRIMARY KEY}`, whatever characters are in the names."""
    parts = [("text", table)]
    for column in key_columns:
        parts += [("text", ":"), ("column", column)]
    return KeyTemplate(tuple(parts))


def parse_template(text: str) -> KeyTemplate:
    """The parts of a template. SpecError for a lone brace, an empty name or a template without a column."""
    parts: list[tuple[str, str]] = []
    literal = ""
    at = 0
    while at < len(text):
        two, one = text[at : at + 2], text[at]
        if two in ("{{", "}}"):
            literal += one
            at += 2
        elif one == "{":
            end = text.find("}", at)
            name = text[at + 1 : end] if end > 0 else ""
            if not name or "{" in name:
                raise _bad(text, f"the '{{' at character {at + 1} opens no column name")
            if literal:
                parts.append(("text", literal))
                literal = ""
            parts.append(("column", name))
            at = end + 1
        elif one == "}":
            raise _bad(text, f"the '}}' at character {at + 1} closes nothing")
        else:
            literal += one
            at += 1
    if literal:
        parts.append(("text", literal))
    template = KeyTemplate(tuple(parts))
    if not template.columns:
        raise _bad(text, "it names no column, so every row would get the same key")
    return template


def _bad(text: str, what: str) -> SpecError:
    return SpecError(f"--key {text!r}: {what}", "write columns as {id}, and a brace as {{ or }}")
