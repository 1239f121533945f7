"""Which column goes where."""

from __future__ import annotations

import pytest

from shardload.encoding import make_layout, parse_template, selected_columns


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
    assert selected_columns(chosen, parse_template(template), key_column) == selected
    assert make_layout(chosen, parse_template(template), key_column, "omit").columns == selected


def test_columns_for_the_key_alone_are_not_written() -> None:
    """They are read, they make the key, and they are no field."""
    layout = make_layout(["name"], parse_template("u:{tenant}:{id}"), "id", "omit")
    assert layout.columns == ("name", "tenant", "id")
    assert layout.key_of([b"Ada", b"acme", b"7"]) == b"u:acme:7"
    assert layout.fields_of([b"Ada", b"acme", b"7"]) == [(b"name", b"Ada")]


@pytest.mark.parametrize(
    ("null", "fields"),
    [("omit", [(b"b", b"x")]), ("empty", [(b"a", b""), (b"b", b"x"), (b"c", b"")])],
)
def test_null_columns(null: str, fields: list[tuple[bytes, bytes]]) -> None:
    """Left out, or empty, as was asked."""
    layout = make_layout(["a", "b", "c"], parse_template("{b}"), "b", null)
    assert layout.fields_of([None, b"x", None]) == fields


def test_an_empty_string_is_not_null() -> None:
    """It is a field, and it can make a key."""
    layout = make_layout(["a"], parse_template("k:{a}"), "id", "omit")
    assert layout.fields_of([b"", b"1"]) == [(b"a", b"")]
    assert layout.key_of([b"", b"1"]) == b"k:"


def test_a_null_in_the_key_makes_no_key() -> None:
    """Also with --null empty: two rows must not meet under one key."""
    for null in ("omit", "empty"):
        layout = make_layout(["a"], parse_template("k:{a}:{id}"), "id", null)
        assert layout.key_of([None, b"1"]) is None


def test_names_are_utf_8() -> None:
    """Text of template and columns becomes bytes as UTF-8; values are bytes already and stay as they are."""
    layout = make_layout(["größe"], parse_template("ключ:{größe}"), "größe", "omit")
    assert layout.key_of([b"\xff\x00"]) == "ключ:".encode() + b"\xff\x00"
    assert layout.fields_of([b"\xff\x00"]) == [("größe".encode(), b"\xff\x00")]
