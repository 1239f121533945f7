"""Key templates: parsing, errors, and whether keys are distinct."""

from __future__ import annotations

import pytest

from shardload.encoding import default_template, parse_template
from shardload.errors import SpecError


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("{id}", [("column", "id")]),
        ("user:{id}", [("text", "user:"), ("column", "id")]),
        ("{a}{b}", [("column", "a"), ("column", "b")]),
        ("a{{b}}:{id}", [("text", "a{b}:"), ("column", "id")]),
        ("{{{id}}}", [("text", "{"), ("column", "id"), ("text", "}")]),
        ("{first name}", [("column", "first name")]),
        ("é:{ключ}:%d", [("text", "é:"), ("column", "ключ"), ("text", ":%d")]),
        ("{id}:{id}", [("column", "id"), ("text", ":"), ("column", "id")]),
    ],
)
def test_templates(text: str, parts: list[tuple[str, str]]) -> None:
    """Columns stand in braces; a doubled brace is a brace; everything else is literal."""
    assert [(part.kind, part.text) for part in parse_template(text).parts] == parts


@pytest.mark.parametrize(
    ("text", "apart"),
    [
        ("user:{i}", True), ("{t}", True), ("{i}:{j}", True), ("{i}:{t}:{j}", True), ("7{i}", True), ("{i}x7{j}", True),
        ("{i}{j}", False), ("{i}7{j}", False), ("{i}7x{j}", False), ("{t}x{i}", True), ("{t}7{i}", False),
        ("{i}{t}", False), ("{t}{i}", False), ("{t}-{i}", False), ("{i}-{j}", False), ("{t}:{u}", False),
        ("{t}:{t}", False),
    ],
)  # fmt: skip
def test_keys_that_tell_values_apart(text: str, apart: bool) -> None:
    """i and j are integers; t and u may hold any text, digits and colons too."""
    assert parse_template(text).gives_distinct_keys({"i", "j"}) is apart


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("user", "it names no column, so every row would get the same key"),
        ("{{id}}", "it names no column, so every row would get the same key"),
        ("", "it names no column, so every row would get the same key"),
        ("user:{id", "the '{' at character 6 has no column name and '}' behind it"),
        ("{}", "the '{' at character 1 has no column name and '}' behind it"),
        ("a{b{c}", "the '{' at character 2 has no column name and '}' behind it"),
        ("user:id}", "the '}' at character 8 has no '{' before it"),
        ("{id}}", "the '}' at character 5 has no '{' before it"),
    ],
)
def test_refused_templates(text: str, what: str) -> None:
    """The error gives the position, counted from 1, and the rule."""
    with pytest.raises(SpecError) as caught:
        parse_template(text)
    assert caught.value.message == f"--key {text!r}: {what}"
    assert caught.value.hint == "write a column as {id} or {`any name`}, and a literal brace as {{ or }}"


def test_the_columns_of_a_template() -> None:
    """Each column is listed once, in the order of the text."""
    assert parse_template("{b}:{a}:{b}").columns == ("b", "a")


def test_a_scratch_key_looks_like_a_real_one() -> None:
    """Every column is replaced, and all literal text stays, so that the same access rules cover the key."""
    assert parse_template("a{{:{x}:{y}").filled("probe") == "a{:probe:probe"


@pytest.mark.parametrize(
    ("table", "key", "filled"),
    [("user", ("id",), "user:7"), ("t", ("a", "b"), "t:7:7"), ("odd{na}me", ("i{d}",), "odd{na}me:7")],
)
def test_the_default_template(table: str, key: tuple[str, ...], filled: str) -> None:
    """It has the table and the primary key, separated by colons, whatever characters the names have."""
    template = default_template(table, key)
    assert template.columns == key
    assert template.filled("7") == filled
