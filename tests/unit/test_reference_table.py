"""The table "What a value becomes" in docs/usage.md is the reference's, which real servers are compared with."""

from __future__ import annotations

import re

from tests.reference_table import REFERENCE, shown
from tests.unit.test_docs import USAGE, code, section

# A row's cells, as they are: a value may end in a space, or contain a comma.
_ROW = re.compile(r"^\| (?:(.*) )?\| `(.*)` \| (left out|(?:bytes )?`.*`) \|$", re.MULTILINE)


def documented() -> list[tuple[list[str], str, str]]:
    """Types, a value, and what arrives; an empty first cell means the types of the row above."""
    rows = []
    types: list[str] = []
    for cell, value, arrives in _ROW.findall(section(USAGE, "What a value becomes")):
        types = code(cell) or types
        rows.append((types, value, arrives))
    return rows


def test_each_row_is_in_the_reference() -> None:
    """Its first type has this value, which becomes this."""
    known = {(one.name, sql, shown(value)) for one in REFERENCE for sql, value in one.values}
    told = [(types[0], value, arrives) for types, value, arrives in documented() if types]
    lines = [line for line in section(USAGE, "What a value becomes").splitlines() if line.startswith("| ")]
    assert len(documented()) == len(lines) - 1, "a line is not of the form that is read here"
    assert [row for row in told if row not in known] == []
    assert "| any | `NULL` | left out |" in USAGE
    assert {value for one in REFERENCE for sql, value in one.values if sql == "NULL"} == {None}


def test_each_type_has_a_row() -> None:
    """By its first word."""
    told = {re.split(r"\W", name)[0] for types, _, _ in documented() for name in types} - {"UNSIGNED"}
    assert told == {re.split(r"\W", one.name)[0] for one in REFERENCE}
