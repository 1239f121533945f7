"""What a row becomes, as a person says it: shape, fields, key, lookups, NULL, expiry. `JobSpec` has these settings.

Here is checked what the settings alone show. Whether the table's columns fit is checked in `jobs/mapping.py`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from shardload.config.values import BrokenRule, Columns, Duration, Share, parse_pairs, parse_texts

_LONGEST_TTL_S = 100 * 366 * 86400.0

Pairs = Annotated[
    tuple[tuple[str, str], ...],
    BeforeValidator(parse_pairs),
    PlainSerializer(lambda pairs: [list(pair) for pair in pairs]),
]
Texts = Annotated[tuple[str, ...], BeforeValidator(parse_texts)]
Name = Annotated[str, Field(min_length=1)]


class FormSpec(BaseModel):
    """What each row becomes. Frozen. Durations are in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    shape: Annotated[Literal["hash", "json", "string", "redisjson"], Field(alias="as")] = "hash"
    columns: Columns | None = None
    rename: Pairs = ()
    field: Pairs = ()
    value: Name | None = None
    key: Name | None = None
    key_prefix: str = ""
    lookup: Texts = ()
    null: Literal["omit", "empty", "null"] = "omit"
    binary: Literal["raw", "hex", "base64", "uuid"] | None = None
    json_decimal: Literal["string", "number"] = "string"
    json_bigint: Literal["number", "string"] = "number"
    on_conflict: Literal["replace", "keep"] = "replace"
    ttl: Annotated[Duration, Field(ge=1, le=_LONGEST_TTL_S)] | None = None
    ttl_jitter: Annotated[Share, Field(ge=0, le=1)] = 0.0
    ttl_column: Name | None = None
    encoding: Literal["auto", "restore", "commands"] = "auto"
    hash_layout: Literal["compact", "native"] = "compact"

    @property
    def is_json(self) -> bool:
        """True if a row becomes a JSON object."""
        return self.shape in ("json", "redisjson")

    @property
    def keeps(self) -> bool:
        """True if a key that exists is left alone."""
        return self.on_conflict == "keep"

    @property
    def expires(self) -> bool:
        """True if keys may expire."""
        return self.ttl is not None or self.ttl_column is not None

    @property
    def binary_as(self) -> str:
        """What binary columns become: by default base64 in JSON, else what they are."""
        return self.binary or ("base64" if self.is_json else "raw")

    @model_validator(mode="after")
    def _fit_together(self) -> FormSpec:
        """ValueError (BrokenRule) if a setting does not go with another one."""
        changed = [name for name, field in type(self).model_fields.items() if getattr(self, name) != field.default]
        if self.ttl_jitter and self.ttl is None:
            raise BrokenRule("ttl_jitter", "needs a ttl: it spreads the times at which keys expire")
        if self.null == "null" and not self.is_json:
            raise BrokenRule("null", "needs --as json or redisjson: nothing else knows null")
        for name in ("json_decimal", "json_bigint"):
            if name in changed and not self.is_json:
                raise BrokenRule(name, "needs --as json or redisjson")
        for name in ("encoding", "hash_layout"):
            if name in changed and self.shape != "hash":
                raise BrokenRule(name, "needs --as hash: it is about hashes")
        self._check_value()
        self._check_keep()
        names = [name for name, _ in self.field]
        if len(set(names)) != len(names):
            raise BrokenRule("field", "names a field twice")
        return self

    def _check_value(self) -> None:
        if self.shape == "string" and self.value is None:
            raise BrokenRule("shape", "needs --value COLUMN: the column that becomes the string")
        if self.value is not None and self.shape != "string":
            raise BrokenRule("value", "needs --as string")
        for name in ("columns", "rename", "field"):
            if getattr(self, name) and self.shape == "string":
                raise BrokenRule(name, "does not go with --as string, which has no fields")

    def _check_keep(self) -> None:
        if not self.keeps:
            return
        if self.encoding == "commands":
            raise BrokenRule("on_conflict", "does not go with --encoding commands: HSET would change a key that exists")
        if self.shape == "redisjson" and self.expires:
            raise BrokenRule(
                "on_conflict", "does not go with --as redisjson and a TTL, which a key that exists would get, too"
            )


IDENTITY = (
    "shape", "columns", "rename", "field", "value", "key", "key_prefix", "lookup", "null", "binary", "json_decimal",
    "json_bigint", "on_conflict", "ttl", "ttl_jitter", "ttl_column",
)  # fmt: skip
"""The settings that say what is written: they may not change when a job is resumed."""
