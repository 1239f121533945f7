"""The SQL of keys, as text: what an index can serve, and what cannot be misread. That it is right, servers show."""

from __future__ import annotations

import pytest

from shardload.errors import SourceError
from shardload.model.columns import KeyColumn, Kind
from shardload.model.keys import Key, KeyRange, integer_range
from shardload.source.keys import condition, literal, value_of, value_sql

ID = KeyColumn("id", Kind.INTEGER)
TEXT = KeyColumn("t`x", Kind.TEXT, "latin1")
ENUM = KeyColumn("e", Kind.ENUM, members=3)
NULLABLE = KeyColumn("n", Kind.INTEGER, is_nullable=True)


@pytest.mark.parametrize(
    ("columns", "keys", "expected"),
    [
        ([ID], integer_range(5, 9), "`id` BETWEEN 5 AND 8"),
        ([ID], KeyRange((5,), None), "`id` >= 5"),
        ([ID], KeyRange(), "TRUE"),
        ([], KeyRange(), "TRUE"),
        ([TEXT], KeyRange((b"a'\xff",), (b"b",)), "`t``x` >= _latin1 x'6127ff' AND `t``x` < _latin1 x'62'"),
        ([ID, TEXT], KeyRange((5,), (6,)), "`id` >= 5 AND `id` < 6"),
        (
            [ID, TEXT], KeyRange((5, b"a"), (7, b"b")),
            "((`id` > 5) OR (`id` = 5 AND `t``x` >= _latin1 x'61')) AND "
            "((`id` < 7) OR (`id` = 7 AND `t``x` < _latin1 x'62'))",
        ),
        ([ID, ID], KeyRange((5, 1), (5, 3)), "`id` = 5 AND `id` >= 1 AND `id` < 3"),
        ([ID, ID], KeyRange((5,), (5, 3)), "`id` = 5 AND `id` < 3"),
        ([ENUM], KeyRange((1,), (3,)), "`e` IN (1, 2, 3) AND `e` IN (0, 1, 2)"),
        ([ENUM, ID], KeyRange((3, 1), None), "((FALSE) OR (`e` = 3 AND `id` >= 1))"),
        ([NULLABLE], KeyRange(), "`n` IS NOT NULL"),
        ([NULLABLE], KeyRange(nulls=True), "(`n` IS NULL)"),
        ([NULLABLE, NULLABLE], KeyRange(nulls=True), "(`n` IS NULL OR `n` IS NULL)"),
        ([NULLABLE], integer_range(5, 6), "`n` BETWEEN 5 AND 5 AND `n` IS NOT NULL"),
        ([ID, NULLABLE], KeyRange((5, 1), None), "`n` IS NOT NULL AND ((`id` > 5) OR (`id` = 5 AND `n` >= 1))"),
        ([ID], KeyRange(nulls=True), "FALSE"),
    ],
)  # fmt: skip
def test_conditions(columns: list[KeyColumn], keys: KeyRange, expected: str) -> None:
    """One value after the other, written out: a row constructor would read the whole index."""
    assert condition(columns, keys) == expected


@pytest.mark.parametrize(
    ("kind", "sent", "key", "sql"),
    [
        (Kind.INTEGER, b"-5", (-5,), "-5"),
        (Kind.ENUM, b"2", (2,), "2"),
        (Kind.TEXT, b"C3A9", (b"\xc3\xa9",), "_utf8mb4 x'c3a9'"),
        (Kind.BINARY, "00FF", (b"\0\xff",), "x'00ff'"),
        (Kind.BINARY, b"", (b"",), "x''"),
        (Kind.DECIMAL, b"-1.50", ("-1.50",), "-1.50"),
        (Kind.DOUBLE, b"1.5", ("1.5",), "1.5e0"),
        (Kind.DOUBLE, b"1.5e300", ("1.5e300",), "1.5e300"),
        (Kind.FLOAT, b"-2e-10", ("-2e-10",), "-2e-10"),
        (Kind.DATETIME, b"2020-01-01 00:00:00.5", ("2020-01-01 00:00:00.5",), "'2020-01-01 00:00:00.5'"),
        (Kind.OTHER, b"::1", ("::1",), "'::1'"),
    ],
)
def test_a_value_there_and_back(kind: Kind, sent: str | bytes, key: Key, sql: str) -> None:
    """As MySQL sends it, as the journal has it, and as a literal that is compared as the column is sorted."""
    column = KeyColumn("k", kind, "utf8mb4" if kind is Kind.TEXT else "")
    assert (value_of(column, sent),) == key
    assert literal(column, key[0]) == sql


@pytest.mark.parametrize("kind", [Kind.DECIMAL, Kind.DOUBLE, Kind.DATE, Kind.OTHER])
@pytest.mark.parametrize("value", ["1' OR '1", "1\\", "x'; --", '"', ""])
def test_no_value_ends_its_literal(kind: Kind, value: str) -> None:
    """Types whose text has no quotes are written in them; any other text is refused."""
    if kind in (Kind.DATE, Kind.OTHER) and value in ("",):
        assert literal(KeyColumn("k", kind), value) == "''"
        return
    with pytest.raises(SourceError, match="a key's value"):
        literal(KeyColumn("k", kind), value)


def test_texts_of_an_unknown_character_set_travel_as_utf8() -> None:
    """Those of a query: MySQL converts them in both directions."""
    column = KeyColumn("k", Kind.TEXT)
    assert value_sql(column, "k0") == "HEX(CONVERT(k0 USING utf8mb4))"
    assert literal(column, b"\xc3\xa9") == "_utf8mb4 x'c3a9'"
