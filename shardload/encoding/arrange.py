"""Makes a layout: which columns are selected, how each is read, and what its values are used for. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shardload.encoding.conversions import Conversion
from shardload.encoding.document import JsonType
from shardload.encoding.layout import Field, Layout, Lookup, NullRule, Slot, Text
from shardload.encoding.template import KeyTemplate
from shardload.model.columns import Kind, Reading, decimals_of, kind_of

BINARY = {
    "raw": Conversion.NONE,
    "hex": Conversion.HEX,
    "base64": Conversion.BASE64,
    "uuid": Conversion.UUID,
}
NULLS = {"omit": NullRule(), "empty": NullRule(as_empty=True), "null": NullRule(as_null=True)}
_FILTERS = {
    "": None,
    "lower": None,
    "upper": None,
    "hex": Conversion.HEX,
    "base64": Conversion.BASE64,
    "uuid": Conversion.UUID,
    "crc16": Conversion.CRC16,
}
_READINGS = {"lower": Reading.LOWER, "upper": Reading.UPPER}
_NUMBERS = (Kind.INTEGER, Kind.BIT, Kind.YEAR, Kind.FLOAT, Kind.DOUBLE)


@dataclass(frozen=True)
class Rules:
    """What the values become, beside the key.

    - `types`: the columns' types as MySQL writes them; a column that is not there is taken for text.
    - `null`: `omit`, `empty` or `null`. `binary`: `raw`, `hex`, `base64` or `uuid`.
    - `decimal_as_number`: DECIMAL is a number in JSON. `bigint_as_string`: integers beyond 2**53 are texts.
    - `renamed`: the fields of columns that have another name. `constants`: fields of the same text for every row.
    - `lookups`: key and value of each. `expiry`: the column that says when the key expires.
    """

    types: Mapping[str, str] = field(default_factory=dict)
    null: str = "omit"
    binary: str = "raw"
    decimal_as_number: bool = False
    bigint_as_string: bool = False
    renamed: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    lookups: Sequence[tuple[KeyTemplate, KeyTemplate]] = ()
    expiry: str | None = None

    def kind(self, column: str) -> Kind:
        """What the column's values are."""
        return kind_of(self.types[column]) if column in self.types else Kind.TEXT

    def reading(self, column: str) -> Reading:
        """How the column is read where nothing else is asked for."""
        kind = self.kind(column)
        if kind is Kind.BIT:
            return Reading.NUMBER
        return Reading.DOUBLE if self._has_all_digits(column) else Reading.PLAIN

    def conversion(self, column: str) -> Conversion:
        """What is done with the column's value where nothing else is asked for."""
        if self.kind(column) is Kind.BINARY:
            return BINARY[self.binary]
        return Conversion.FLOAT if self._has_all_digits(column) else Conversion.NONE

    def json_type(self, column: str) -> JsonType:
        """What the column's value is in JSON."""
        kind = self.kind(column)
        if kind is Kind.INTEGER and self.bigint_as_string:
            return JsonType.SAFE_NUMBER
        if kind is Kind.BIT and self.bigint_as_string:
            return JsonType.SAFE_NUMBER
        if kind in _NUMBERS or (kind is Kind.DECIMAL and self.decimal_as_number):
            return JsonType.NUMBER
        return JsonType.RAW if kind is Kind.JSON else JsonType.TEXT

    def _has_all_digits(self, column: str) -> bool:
        """True for a FLOAT without a number of decimals, whose text in MySQL lacks digits."""
        return self.kind(column) is Kind.FLOAT and decimals_of(self.types[column]) is None


class _Selected:
    """The columns to select, each once for each reading."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.found: dict[tuple[str, Reading], int] = {}

    def place(self, column: str, reading: Reading | None = None) -> int:
        """The index of this column, which is selected from now on."""
        return self.found.setdefault((column, reading or self.rules.reading(column)), len(self.found))

    def text(self, template: KeyTemplate) -> Text:
        """The template's text, its literal pieces as few as possible."""
        pieces: list[bytes | Slot] = []
        for kind, text, filter_ in template.parts:
            if kind == "text":
                before = pieces.pop() if pieces and isinstance(pieces[-1], bytes) else b""
                assert isinstance(before, bytes)
                pieces.append(before + text.encode())
                continue
            conversion = _FILTERS[filter_]
            if conversion is None:
                conversion = self.rules.conversion(text) if not filter_ else Conversion.NONE
            pieces.append(Slot(self.place(text, _READINGS.get(filter_)), conversion))
        return tuple(pieces)


def make_layout(
    chosen: Sequence[str], template: KeyTemplate, key_columns: Sequence[str], rules: Rules | None = None
) -> Layout:
    """The layout for rows whose `chosen` columns become fields, and which `key_columns` name in reports. Spell every
    name as the table does."""
    rules = rules or Rules()
    selected = _Selected(rules)
    fields = [
        Field(rules.renamed.get(name, name), selected.place(name), rules.conversion(name), rules.json_type(name))
        for name in chosen
    ]
    fields += [Field(name, text.encode()) for name, text in rules.constants.items()]
    key = selected.text(template)
    row_id = [
        Slot(selected.place(name), Conversion.HEX if rules.kind(name) is Kind.BINARY else Conversion.NONE)
        for name in key_columns
    ]
    lookups = [Lookup(selected.text(one), selected.text(value)) for one, value in rules.lookups]
    expiry = None if rules.expiry is None else selected.place(rules.expiry, Reading.EXPIRY_MS)
    return Layout(
        columns=tuple(name for name, _ in selected.found),
        readings=tuple(reading for _, reading in selected.found),
        fields=tuple(fields),
        key=key,
        row_id=tuple(row_id),
        null=NULLS[rules.null],
        lookups=tuple(lookups),
        expiry=expiry,
    )
