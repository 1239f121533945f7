"""What a person may say of a row's form: names, pairs, templates with filters, and what does not go together."""

from __future__ import annotations

from typing import Any

import pytest

from shardload.config.forms import FormSpec
from shardload.encoding import KeyTemplate, Piece, parse_lookup, parse_template
from shardload.errors import SpecError
from shardload.model.names import read_name, read_names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a,b", ["a", "b"]),
        (" a , b ", ["a", "b"]),
        ("a b,c", ["a b", "c"]),
        ("`a,b`,id", ["a,b", "id"]),
        ("` lead`, `x` ,y", [" lead", "x", "y"]),
        ("`tick``s`", ["tick`s"]),
        ("``", [""]),
        ("a,,b", ["a", "", "b"]),
        ("a,", ["a", ""]),
        ("", [""]),
        ("`a", None),
        ("`a`b", None),
        ("`a`,`b", None),
    ],
)
def test_names_in_a_list(text: str, names: list[str] | None) -> None:
    """Commas part them; in backticks they are part of a name; a quoted name has nothing behind it."""
    assert read_names(text) == names


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("id}x", ("id", 2)),
        ("id|hex}", ("id", 2)),
        ("`a}b`}", ("a}b", 5)),
        ("`a|b`|hex}", ("a|b", 5)),
        ("id", ("id", 2)),
        ("`a`x}", None),
        ("`a}", None),
    ],
)
def test_a_name_in_a_template(text: str, found: tuple[str, int] | None) -> None:
    """It ends at a brace or a bar, unless they are quoted."""
    assert read_name(text, 0, "|}") == found


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("{id|hex}", (Piece("column", "id", "hex"),)),
        ("u:{`a}b`}", (Piece("text", "u:"), Piece("column", "a}b"))),
        ("{`x|y`|lower}!", (Piece("column", "x|y", "lower"), Piece("text", "!"))),
        ("{ lead}", (Piece("column", " lead"),)),
        ("{`{`}", (Piece("column", "{"),)),
    ],
)  # fmt: skip
def test_columns_with_filters_and_odd_names(text: str, parts: tuple[Piece, ...]) -> None:
    """A filter stands behind a bar."""
    assert parse_template(text).parts == parts


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{id|}", "the column id has the filter ''; there are: lower, upper, hex, base64, uuid, crc16"),
        ("{id|md5}", "the column id has the filter 'md5'; there are: lower, upper, hex, base64, uuid, crc16"),
        ("{id|hex", "the column id has the filter ''"),
        ("{`id}", "the '{' at character 1 has no column name and '}' behind it"),
        ("{`id`x}", "the '{' at character 1 has no column name and '}' behind it"),
        ("{`id`", "the '{' at character 1 has no column name and '}' behind it"),
        ("{``}", "the '{' at character 1 has no column name and '}' behind it"),
    ],
)
def test_refused_columns(text: str, what: str) -> None:
    """With the place, or the filters that there are."""
    with pytest.raises(SpecError) as caught:
        parse_template(text)
    assert caught.value.message.startswith(f"--key {text!r}: {what}")


@pytest.mark.parametrize(
    ("text", "apart"),
    [
        ("{t|hex}:{u}", True), ("{t|hex}a{u}", False), ("{t|hex}{u}", False), ("{t|uuid}:{u|hex}", True),
        ("{t|uuid}-{u|hex}", False), ("{t|base64}:{u|base64}", True), ("{t|base64}={u|base64}", False),
        ("{i|crc16}:{t}", True), ("{i|crc16}5{t}", False), ("{i|hex}g{i}", True), ("{t|lower}:{u}", False),
        ("{i|lower}:{t}", False),
    ],
)  # fmt: skip
def test_filters_have_alphabets(text: str, apart: bool) -> None:
    """i is an integer, t and u may hold any text: what a filter writes ends where a sign comes that it never writes."""
    assert parse_template(text).gives_distinct_keys({"i"}) is apart


def test_a_lossy_filter_tells_no_value_apart() -> None:
    """Such a column does not count as one that identifies the row."""
    template = parse_template("{a|lower}:{b|upper}:{c|crc16}:{d|hex}:{e|uuid}:{f|base64}:{g}")
    assert template.telling_columns == ("d", "e", "f", "g")
    assert parse_template("{a|lower}:{a}").telling_columns == ("a",)


def test_lookups() -> None:
    """The first '=' that is not in braces parts key and value; braces may hold one."""
    key, value = parse_lookup("l:{{x}}:{`a=b`}:{c|lower}={id}=1")
    assert key.parts[:2] == (Piece("text", "l:{x}:"), Piece("column", "a=b"))
    assert value.parts == (Piece("column", "id"), Piece("text", "=1"))
    assert parse_lookup("{a}=yes")[1] == KeyTemplate((Piece("text", "yes"),))
    assert parse_lookup("{a}=")[1] == KeyTemplate(())


@pytest.mark.parametrize("text", ["{a}", "a=b", "={id}", "{a=b", "{a}=}", ""])
def test_refused_lookups(text: str) -> None:
    """Without '=', without a column in the key, or with a single brace."""
    with pytest.raises(SpecError, match="--lookup"):
        parse_lookup(text)


@pytest.mark.parametrize(
    ("pairs", "found"),
    [
        (["a=b"], (("a", "b"),)),
        ("a=b=c", (("a", "b=c"),)),
        (["`x=y`=z", "b="], (("x=y", "z"), ("b", ""))),
        ([["a", "b"]], (("a", "b"),)),
    ],
)
def test_pairs(pairs: Any, found: tuple[tuple[str, str], ...]) -> None:
    """As typed, and as a job's spec stores them."""
    spec = FormSpec(field=pairs)
    assert spec.field == found
    assert FormSpec(**spec.model_dump(mode="json", by_alias=True)) == spec


@pytest.mark.parametrize("pairs", ["a", "=b", "", ["a=b", "c"], 7, [7], [["a"]], "`a", {"a": "b"}])
def test_refused_pairs(pairs: Any) -> None:
    """What has no name, or no '='."""
    with pytest.raises(ValueError, match="field"):
        FormSpec(field=pairs)


@pytest.mark.parametrize(
    "settings",
    [
        {}, {"as": "json", "binary": "hex"}, {"as": "string", "value": "a"}, {"ttl": 5, "ttl_jitter": 0.5},
        {"as": "json", "on_conflict": "keep", "ttl": 5}, {"null": "null", "as": "redisjson"},
    ],
)  # fmt: skip
def test_what_goes_together_is_read_again(settings: dict[str, Any]) -> None:
    """A stored spec names every setting: defaults that were written down are no contradiction."""
    spec = FormSpec(**settings)
    assert FormSpec(**spec.model_dump(mode="json", by_alias=True)) == spec
