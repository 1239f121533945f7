"""The settings that say which rows a job reads, and by which columns they are split into ranges."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from shardload.config.values import Columns
from shardload.errors import SpecError

QUERY_NAME = "query"  # in a job's default name
_OFFSET = re.compile(r"[+-]\d\d?:\d\d")
_ZONE = re.compile(r"[A-Za-z][\w+/-]*")
_UTC = ("", "UTC", "Z", "+00:00", "-00:00", "+0:00")


def _time_zone(text: str) -> str:
    """The time zone as MySQL is told; empty for UTC."""
    if text.upper() in _UTC:
        return ""
    if _OFFSET.fullmatch(text) or _ZONE.fullmatch(text):
        return text
    raise ValueError("should be a time zone such as +02:00 or Europe/Berlin")


def _expression(text: str) -> str:
    text = text.strip().rstrip(";").rstrip()
    if not text:
        raise ValueError("is empty")
    if "\0" in text:
        raise ValueError("contains a NUL character")
    return text


def _as_text(value: object) -> object:
    return value if isinstance(value, str) else str(value)


Expression = Annotated[str, AfterValidator(_expression)]


IDENTITY = {"table", "query", "split_by", "where", "time_zone"}


class RowSet(BaseModel):
    """Which rows are read. Exactly one of `table` and `query` is set."""

    table: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    query: Expression | None = None
    split_by: Columns | None = None
    where: Expression | None = None
    time_zone: Annotated[str, BeforeValidator(_as_text), AfterValidator(_time_zone)] = ""

    @property
    def rows_name(self) -> str:
        """The table's name, or what stands for it."""
        return self.table or QUERY_NAME


def check_rowset(values: Mapping[str, Any], origins: Mapping[str, str]) -> None:
    """SpecError unless the settings name a table or a query, and not both."""
    has_table, has_query = values.get("table") is not None, values.get("query") is not None
    if not has_table and not has_query:
        raise SpecError("--table is missing", "give --table TABLE, or --query SELECT")
    if has_table and has_query:
        one, other = (origins.get(key, f"--{key}") for key in ("table", "query"))
        raise SpecError(f"{one} and {other} both say which rows are read", "leave one of them out")
