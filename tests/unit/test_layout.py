"""Which columns are selected, which become fields, and which make the key."""

from __future__ import annotations

import pytest

from shardload.encoding import Rules, make_layout, parse_template


@pytest.mark.parametrize(
    ("chosen", "template", "key_column", "selected"),
    [
        (["id", "name"], "u:{id}", "id", ("id", "name")),
        (["name"], "u:{id}", "id", ("name", "id")),
        (["name"], "u:{tenant}:{name}", "id", ("name", "tenant", "id")),
        (["b", "a"], "{a}:{b}", "b", ("b", "a")),
    ],
)
def test_the_select_has_each_column_once(
    chosen: list[str], template: str, key_column: str, selected: tuple[str, ...]
) -> None:
    """The chosen columns in their order, then what only the key template needs, then the primary key."""
    assert make_layout(chosen, parse_template(template), [key_column]).columns == selected


def test_columns_for_the_key_alone_are_not_written() -> None:
    """They are selected and used in the key, but do not become fields."""
    layout = make_layout(["name"], parse_template("u:{tenant}:{id}"), ["id"])
    assert layout.columns == ("name", "tenant", "id")
    assert layout.key_of([b"Ada", b"acme", b"7"]) == b"u:acme:7"
    assert layout.fields_of([b"Ada", b"acme", b"7"]) == [(b"name", b"Ada")]


@pytest.mark.parametrize(
    ("null", "fields"),
    [("omit", [(b"b", b"x")]), ("empty", [(b"a", b""), (b"b", b"x"), (b"c", b"")])],
)
def test_null_columns(null: str, fields: list[tuple[bytes, bytes]]) -> None:
    """A NULL column is left out, or written as an empty string, depending on --null."""
    layout = make_layout(["a", "b", "c"], parse_template("{b}"), ["b"], Rules(null=null))
    assert layout.fields_of([None, b"x", None]) == fields


def test_an_empty_string_is_not_null() -> None:
    """An empty string becomes a field, and can be part of a key."""
    layout = make_layout(["a"], parse_template("k:{a}"), ["id"])
    assert layout.fields_of([b"", b"1"]) == [(b"a", b"")]
    assert layout.key_of([b"", b"1"]) == b"k:"


def test_a_null_in_the_key_makes_no_key() -> None:
    """There is no key, even with --null empty: otherwise two rows could get the same key."""
    for null in ("omit", "empty"):
        layout = make_layout(["a"], parse_template("k:{a}:{id}"), ["id"], Rules(null=null))
        assert layout.key_of([None, b"1"]) is None


def test_names_are_utf_8() -> None:
    """Names and literal text are encoded as UTF-8; values are bytes and stay as they are."""
    layout = make_layout(["größe"], parse_template("ключ:{größe}"), ["größe"])
    assert layout.key_of([b"\xff\x00"]) == "ключ:".encode() + b"\xff\x00"
    assert layout.fields_of([b"\xff\x00"]) == [("größe".encode(), b"\xff\x00")]
