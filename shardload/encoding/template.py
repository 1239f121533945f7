"""Key templates such as `user:{id}`: literal text, and column names in braces. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from shardload.errors import SpecError


@dataclass(frozen=True)
class KeyTemplate:
    """A template, piece by piece: `("text", "user:")` is literal, `("column", "id")` stands for a column's value."""

    parts: tuple[tuple[str, str], ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it names, each once, in order."""
        return tuple(dict.fromkeys(value for kind, value in self.parts if kind == "column"))

    def gives_distinct_keys(self, integers: Collection[str]) -> bool:
        """True if different values always make different keys: the key shows where each value starts and ends.

        Columns in `integers` hold digits. Any other column may hold any text, so the key may name at most one of them.
        Each integer needs a literal that is no digit, or the end of the key, next to it: on the right if it stands left
        of that other column (or if there is none), else on the left.
        """
        others = [at for at, (kind, text) in enumerate(self.parts) if kind == "column" and text not in integers]
        if len(others) > 1:
            return False
        middle = others[0] if others else len(self.parts)
        for at, (kind, _) in enumerate(self.parts):
            if kind == "text" or at == middle:
                continue
            beside = self.parts[at + 1 : at + 2] if at < middle else self.parts[at - 1 : at]
            if any(other == "column" or text[0 if at < middle else -1].isdigit() for other, text in beside):
                return False
        return True

    def filled(self, value: str) -> str:
        """The key with `value` for every column: for trial writes, as Redis's access rules cover it like a real key."""
        return "".join(text if kind == "text" else value for kind, text in self.parts)


def default_template(table: str, key_columns: Sequence[str]) -> KeyTemplate:
    """The template `TABLE:{PRIMARY KEY}`. Names may contain any character, braces too."""
    parts = [("text", table)]
    for column in key_columns:
        parts += [("text", ":"), ("column", column)]
    return KeyTemplate(tuple(parts))


def parse_template(text: str) -> KeyTemplate:
    """Parse a template. SpecError if a brace is single, a column name is empty, or no column is named."""
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
                raise _bad(text, f"the '{{' at character {at + 1} has no column name and '}}' behind it")
            if literal:
                parts.append(("text", literal))
                literal = ""
            parts.append(("column", name))
            at = end + 1
        elif one == "}":
            raise _bad(text, f"the '}}' at character {at + 1} has no '{{' before it")
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
    return SpecError(f"--key {text!r}: {what}", "write a column as {id}, and a literal brace as {{ or }}")
