"""What a spec means for its table: which columns are read, and what the rows become. No server is asked here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shardload import source
from shardload.config.spec import JobSpec
from shardload.encoding import (
    Form,
    KeyTemplate,
    Layout,
    Payload,
    Piece,
    Rules,
    Shape,
    default_template,
    jitter_ms,
    make_layout,
    parse_lookup,
    parse_template,
)
from shardload.encoding.layout import Text
from shardload.errors import SpecError
from shardload.model.columns import Kind, kind_of
from shardload.target import Needs

_TIMES = (Kind.DATE, Kind.DATETIME, Kind.TIMESTAMP, Kind.INTEGER)


@dataclass(frozen=True)
class Mapping:
    """The rows' key, and what its values are used for. Names are spelled as the table does."""

    table: source.Table
    template: KeyTemplate
    lookups: tuple[tuple[KeyTemplate, KeyTemplate], ...]
    layout: Layout
    repeated: frozenset[str] = frozenset()
    """Columns of which two values may be written as one: TIMESTAMPs in a zone in which an hour comes twice a year."""

    def collision(self) -> str:
        """Why two rows may get the same key, or the same lookup; empty if they cannot."""
        if why := self._collision_of(self.template):
            return f"the key's columns {why}" if why.startswith("are") else why
        for key, _ in self.lookups:
            if why := self._collision_of(key):
                return f"the columns of lookup {_shown(key)} {why}" if why.startswith("are") else f"lookup: {why}"
        return ""

    def description(self) -> dict[str, Any]:
        """What has to be the same when the job is resumed. JSON types only."""
        types = {column.name: column.type for column in self.table.columns}
        return {"columns": [[name, types[name]] for name in dict.fromkeys(self.layout.columns)]}

    def _collision_of(self, template: KeyTemplate) -> str:
        if not self.table.identifies_row([name for name in template.telling_columns if name not in self.repeated]):
            return "are not unique in the table"
        if not template.gives_distinct_keys(self.table.integer_columns()):
            return "the key does not show where the value of one column ends and that of another begins"
        return ""


def make_mapping(table: source.Table, key_columns: Sequence[str], spec: JobSpec) -> Mapping:
    """What this spec means for the table, whose rows `key_columns` name. SpecError if it has not what is asked for."""
    chosen = _chosen(table, spec)
    types = {column.name: column.type for column in table.columns}
    renamed = _renamed(table, chosen, spec)
    _check_names([renamed.get(name, name) for name in chosen], [name for name, _ in spec.field])
    if spec.is_json and spec.binary_as == "raw":
        binary = [name for name in chosen if kind_of(types[name]) is Kind.BINARY]
        if binary:
            hint = "use --binary base64, hex or uuid, or choose other --columns"
            raise SpecError(f"--binary raw: column {binary[0]} is {types[binary[0]]}, and JSON is text", hint)
    own = parse_template(spec.key) if spec.key else _default_template(table, spec)
    template = _resolved(table, own, "--key").after(spec.key_prefix)
    parsed = [parse_lookup(text) for text in spec.lookup]
    lookups = [(_resolved(table, one, "--lookup"), _resolved(table, value, "--lookup")) for one, value in parsed]
    rules = Rules(
        types=types,
        null=spec.null,
        binary=spec.binary_as,
        decimal_as_number=spec.json_decimal == "number",
        bigint_as_string=spec.json_bigint == "string",
        renamed=renamed,
        constants=dict(spec.field),
        lookups=lookups,
        expiry=_expiry_column(table, spec),
    )
    has_summer_time = spec.time_zone[:1].isalpha()
    repeated = frozenset(name for name in types if has_summer_time and kind_of(types[name]) is Kind.TIMESTAMP)
    return Mapping(table, template, tuple(lookups), make_layout(chosen, template, key_columns, rules), repeated)


def needs_of(spec: JobSpec) -> Needs:
    """What the keys of this spec will have to be."""
    return Needs(Shape(spec.shape), spec.expires, spec.ttl_column is not None, spec.keeps, bool(spec.lookup))


def form_of(spec: JobSpec, payload: Payload | None, *, whole: bool) -> Form:
    """How the keys of this spec are written, in this way."""
    ttl_ms = round((spec.ttl or 0) * 1000)
    return Form(
        payload,
        ttl_ms,
        jitter_ms(ttl_ms, spec.ttl_jitter),
        whole,
        shape=Shape(spec.shape),
        keeps=spec.keeps,
        dated=spec.ttl_column is not None,
    )


def written_as(form: Form) -> str:
    """What is written, for people."""
    if form.shape is Shape.HASH:
        return {None: "HSET", Payload.LISTPACK: "RESTORE listpack", Payload.PLAIN: "RESTORE plain"}[form.payload]
    return {Shape.JSON: "SET of JSON", Shape.STRING: "SET", Shape.REDISJSON: "JSON.SET"}[form.shape]


def key_texts(layout: Layout) -> list[Text]:
    """Of what the keys are made: the rows' own, and the lookups'."""
    return [layout.key, *[lookup.key for lookup in layout.lookups]]


def check_extra(layout: Layout) -> None:
    """SpecError if the job's keys begin with a value: then every key of the database looks like one of them."""
    for text in key_texts(layout):
        if not isinstance(text[0], bytes) or not text[0]:
            raise SpecError(
                "--extra cannot tell the job's keys from others: a key begins with a column", "give it a --key-prefix"
            )


def asked_as(form: Form) -> str:
    """What a verify asks for, for people."""
    names = {Shape.HASH: "HGETALL", Shape.JSON: "GET of JSON", Shape.STRING: "GET", Shape.REDISJSON: "JSON.GET"}
    return f"{names[form.shape]} and PTTL"


def _chosen(table: source.Table, spec: JobSpec) -> list[str]:
    """The columns that become fields, or the one that becomes the string."""
    if spec.value is not None:
        return [table.resolve_column(spec.value, "--value")]
    return table.choose_columns(spec.columns) if spec.columns else list(table.column_names())


def _renamed(table: source.Table, chosen: Sequence[str], spec: JobSpec) -> dict[str, str]:
    """The fields that have another name than their column."""
    renamed: dict[str, str] = {}
    for old, new in spec.rename:
        column = table.resolve_column(old, "--rename")
        if column not in chosen:
            raise SpecError(
                f"--rename: column {column} becomes no field", "name it in --columns, or leave --rename out"
            )
        if column in renamed:
            raise SpecError(f"--rename names column {column} twice", "name it once")
        renamed[column] = new
    return renamed


def _check_names(columns: Sequence[str], constants: Sequence[str]) -> None:
    """SpecError if two fields have one name."""
    seen: set[str] = set()
    for name, flag in [*[(name, "--rename") for name in columns], *[(name, "--field") for name in constants]]:
        if name in seen:
            raise SpecError(f"{flag}: two fields would have the name {name!r}", "give each field a name of its own")
        seen.add(name)


def _default_template(table: source.Table, spec: JobSpec) -> KeyTemplate:
    """The table's name and what identifies a row. SpecError if nothing does."""
    columns = table.identifying_columns()
    if not columns:
        raise SpecError(
            f"--key is missing, and {spec.rows_name} has no unique index that could make it, or hides it",
            "say which columns make the Redis key, for example --key 'user:{id}'",
        )
    return default_template(spec.rows_name, columns)


def _resolved(table: source.Table, template: KeyTemplate, flag: str) -> KeyTemplate:
    """The template with names as the table spells them."""
    parts = [
        part._replace(text=table.resolve_column(part.text, flag)) if part.kind == "column" else part
        for part in template.parts
    ]
    return KeyTemplate(tuple(parts))


def _expiry_column(table: source.Table, spec: JobSpec) -> str | None:
    if spec.ttl_column is None:
        return None
    name = table.resolve_column(spec.ttl_column, "--ttl-column")
    type_ = next(column.type for column in table.columns if column.name == name)
    if kind_of(type_) not in _TIMES:
        raise SpecError(
            f"--ttl-column: column {name} is {type_}, which is no time",
            "name a date, datetime or timestamp, or an integer column with Unix times",
        )
    return name


def _shown(template: KeyTemplate) -> str:
    """The template as a person writes it."""
    return "".join(_shown_piece(part) for part in template.parts)


def _shown_piece(part: Piece) -> str:
    if part.kind == "text":
        return part.text
    return f"{{{part.text}|{part.filter}}}" if part.filter else f"{{{part.text}}}"
