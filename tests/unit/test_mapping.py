"""What a spec means for a table: the layout, and whether two rows may get one key."""

from __future__ import annotations

from typing import Any

import pytest

from shardload.config.spec import load
from shardload.encoding import Conversion, Field, JsonType, Lookup, Slot
from shardload.errors import SpecError
from shardload.jobs.mapping import Mapping, form_of, make_mapping, needs_of
from shardload.model.columns import Reading
from shardload.source import Column, Index, Table

COLUMNS = {
    "id": "bigint(20)", "uuid": "binary(16)", "email": "varchar(80)", "ratio": "float", "fixed": "float(7,2)",
    "flags": "bit(3)", "price": "decimal(9,2)", "doc": "json", "till": "datetime", "year": "year(4)",
    "made": "timestamp",
}  # fmt: skip
APART = "the key does not show where the value of one column ends and that of another begins"
INDEXES = tuple(Index(name, (name,), is_unique=True) for name in ("email", "uuid", "made"))
TABLE = Table("t", tuple(Column(*one) for one in COLUMNS.items()), ("id",), INDEXES)


def mapping(**flags: Any) -> Mapping:
    """What these flags mean for the table."""
    urls = {"mysql": "mysql://u:p@h/d", "redis": "redis://h"}
    return make_mapping(TABLE, ("id",), load({"table": "t", **urls, **flags}, None, {}))


def test_every_kind_of_column_is_read_as_it_must_be() -> None:
    """FLOAT with all digits, BIT as a number; and each has its type in JSON."""
    layout = mapping(**{"as": "json", "ttl_column": "till"}).layout
    found = {
        field.name: (layout.readings[field.source], field.conversion, field.json)
        for field in layout.fields
        if isinstance(field.source, int)
    }
    plain, none, number, text = Reading.PLAIN, Conversion.NONE, JsonType.NUMBER, JsonType.TEXT
    assert found == {
        "id": (plain, none, number),
        "uuid": (plain, Conversion.BASE64, text),
        "email": (plain, none, text),
        "ratio": (Reading.DOUBLE, Conversion.FLOAT, number),
        "fixed": (plain, none, number),
        "flags": (Reading.NUMBER, none, number),
        "price": (plain, none, text),
        "doc": (plain, none, JsonType.RAW),
        "till": (plain, none, text),
        "year": (plain, none, number),
        "made": (plain, none, text),
    }
    assert layout.expiry == len(COLUMNS)
    assert (layout.columns[-1], layout.readings[-1]) == ("till", Reading.EXPIRY_MS)
    assert layout.key == (b"t:", Slot(0))


def test_a_column_is_selected_once_for_each_reading() -> None:
    """Names are found in any case, and spelled as the table does."""
    found = mapping(
        columns="EMAIL", key="{Email|lower}:{email}:{uuid|hex}", lookup=["l:{UUID}={email|upper}"], binary="uuid",
        rename=["email=mail"], field=["k=v"],
    )  # fmt: skip
    layout = found.layout
    assert layout.columns == ("email", "email", "uuid", "id", "email")
    assert [reading.value for reading in layout.readings] == ["plain", "lower", "plain", "plain", "upper"]
    assert layout.fields == (Field("mail", 0), Field("k", b"v"))
    assert layout.key == (Slot(1), b":", Slot(0), b":", Slot(2, Conversion.HEX))
    assert layout.lookups == (Lookup((b"l:", Slot(2, Conversion.UUID)), (Slot(4),)),)
    assert layout.row_id == (Slot(3),)
    assert found.description() == {"columns": [[name, COLUMNS[name]] for name in ("email", "uuid", "id")]}


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        ({}, ""),
        ({"key": "{email}"}, ""),
        ({"key": "{email|hex}:{price}"}, ""),
        ({"key": "{email|lower}"}, "the key's columns are not unique in the table"),
        ({"key": "{id|crc16}"}, "the key's columns are not unique in the table"),
        ({"key": "{price}"}, "the key's columns are not unique in the table"),
        ({"key": "{email}:{price}"}, APART),
        ({"key": "{made}"}, ""),
        ({"key": "{made}", "time_zone": "+02:00"}, ""),
        ({"key": "{made}", "time_zone": "Europe/Berlin"}, "the key's columns are not unique in the table"),
        ({"lookup": ["l:{email}={id}"]}, ""),
        ({"lookup": ["l:{price}={id}"]}, "the columns of lookup l:{price} are not unique in the table"),
    ],
)  # fmt: skip
def test_whether_two_rows_may_get_one_key(flags: dict[str, Any], why: str) -> None:
    """A warning says so before the job begins."""
    assert mapping(**flags).collision() == why


def test_a_prefix_stands_before_the_default_and_the_given_key() -> None:
    """Literally: its braces are no columns."""
    assert mapping(key_prefix="a{id}:").layout.key == (b"a{id}:t:", Slot(0))
    assert mapping(key_prefix="a:", key="{id}").layout.key == (b"a:", Slot(0))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"as": "json", "binary": "raw"}, "--binary raw: column uuid is binary(16), and JSON is text"),
        ({"rename": ["email=a", "EMAIL=b"]}, "--rename names column email twice"),
        ({"ttl_column": "price"}, "--ttl-column: column price is decimal(9,2), which is no time"),
    ],
)
def test_what_does_not_fit_the_table(flags: dict[str, Any], message: str) -> None:
    """SpecError names the flag and the column."""
    with pytest.raises(SpecError) as caught:
        mapping(**flags)
    assert caught.value.message == message


def test_raw_columns_that_are_not_written_do_not_matter() -> None:
    """JSON refuses raw bytes in its text alone, not in keys."""
    assert mapping(**{"as": "json", "binary": "raw", "columns": "id", "key": "{uuid}"}).layout.key == (Slot(1),)


def test_the_form_of_a_spec() -> None:
    """All that the commands depend on."""
    urls = {"mysql": "mysql://u:p@h/d", "redis": "redis://h", "table": "t"}
    spec = load(
        {**urls, "as": "json", "ttl": "1m", "ttl_jitter": "10%", "on_conflict": "keep", "lookup": "{id}=1"}, None, {}
    )
    form, needs = form_of(spec, None, whole=False), needs_of(spec)
    assert (form.ttl_ms, form.jitter_ms, form.keeps, form.dated, form.expires) == (60_000, 6_000, True, False, True)
    assert (needs.shape, needs.expires, needs.dated, needs.keeps, needs.lookups) == (
        form.shape,
        True,
        False,
        True,
        True,
    )
