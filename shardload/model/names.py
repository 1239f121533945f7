"""Names of columns as a person writes them in a list or a template: plain, or quoted with backticks as in SQL. Pure."""

from __future__ import annotations


def read_name(text: str, at: int, ends: str) -> tuple[str, int] | None:
    """The name that begins at `at`, and the place of the first of the characters `ends` behind it, or of the text's
    end. In a quoted name these characters are part of it, and a doubled backtick is one.

    None if a quoted name has no end, or is followed by something else.
    """
    if text[at : at + 1] != "`":
        end = min((place for place in (text.find(one, at) for one in ends) if place >= 0), default=len(text))
        return text[at:end], end
    name = ""
    at += 1
    while (close := text.find("`", at)) >= 0:
        name += text[at:close]
        at = close + 1
        if text[at : at + 1] != "`":
            return (name, at) if at == len(text) or text[at] in ends else None
        name += "`"
        at += 1
    return None


def read_names(text: str) -> list[str] | None:
    """The names in a list such as ``id, `a,b` ``. None if it is none. Spaces around a name are not part of it."""
    names = []
    at = 0
    while at <= len(text):
        at += len(text[at:]) - len(text[at:].lstrip())
        is_quoted = text[at : at + 1] == "`"
        found = read_name(text, at, ", " if is_quoted else ",")
        if found is None:
            return None
        name, at = found
        at += len(text[at:]) - len(text[at:].lstrip())
        if at < len(text) and text[at] != ",":
            return None
        names.append(name if is_quoted else name.strip())
        at += 1
    return names
