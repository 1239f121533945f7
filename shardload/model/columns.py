"""What a column holds, by the type that MySQL gives it, and the ways in which a SELECT can read it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What a column's values are."""

    INTEGER = "integer"
    DECIMAL = "decimal"
    FLOAT = "float"
    DOUBLE = "double"
    BIT = "bit"
    YEAR = "year"
    DATE = "date"
    DATETIME = "datetime"
    TIMESTAMP = "timestamp"
    TIME = "time"
    TEXT = "text"
    BINARY = "binary"
    ENUM = "enum"
    SET = "set"
    JSON = "json"
    OTHER = "other"  # MySQL writes it as text: UUID, INET4, INET6, and what is not known here


class Reading(Enum):
    """How a SELECT reads a column (`source/select.py` has the expressions)."""

    PLAIN = "plain"  # as MySQL writes it
    NUMBER = "number"  # BIT, as an unsigned number
    DOUBLE = "double"  # FLOAT, with all its digits: the encoder makes the shortest text that gives the same FLOAT
    LOWER = "lower"  # in lower case, as MySQL knows it
    UPPER = "upper"
    EXPIRY_MS = "expiry"  # a date, or a Unix time in seconds or milliseconds, as Unix time in milliseconds


_KINDS = (
    (Kind.INTEGER, r"(tiny|small|medium|big)?int(eger)?"),
    (Kind.DECIMAL, r"decimal|numeric"),
    (Kind.FLOAT, r"float"),
    (Kind.DOUBLE, r"double|real"),
    (Kind.BIT, r"bit"),
    (Kind.YEAR, r"year"),
    (Kind.DATETIME, r"datetime"),
    (Kind.DATE, r"date"),
    (Kind.TIMESTAMP, r"timestamp"),
    (Kind.TIME, r"time"),
    (Kind.BINARY, r"(var)?binary|(tiny|medium|long)?blob|geometry|geom(etry)?collection|point|linestring|polygon"
     r"|multi(point|linestring|polygon)|vector"),
    (Kind.TEXT, r"(var)?char|(tiny|medium|long)?text"),
    (Kind.ENUM, r"enum"),
    (Kind.SET, r"set"),
    (Kind.JSON, r"json"),
)  # fmt: skip
_TYPES = tuple((kind, re.compile(rf"(?:{pattern})\b", re.IGNORECASE)) for kind, pattern in _KINDS)


def kind_of(type_: str) -> Kind:
    """The kind of a column's type as MySQL writes it, such as `varchar(255)` or `bigint(20) unsigned`."""
    return next((kind for kind, pattern in _TYPES if pattern.match(type_)), Kind.OTHER)


def members_of(type_: str) -> int:
    """How many members `enum('a','b')` has; 0 of another type, or if it does not say."""
    return len(re.findall(r"'(?:[^']|'')*'", type_)) if kind_of(type_) is Kind.ENUM else 0


def decimals_of(type_: str) -> int | None:
    """The decimals in `float(M,D)`; None if the type does not say."""
    match = re.match(r"\w+\(\d+,(\d+)\)", type_)
    return int(match[1]) if match else None


@dataclass(frozen=True)
class KeyColumn:
    """A column of the key by which a table is split. `charset` is a text's own character set; empty: not known.
    `members` is how many values an ENUM has; 0: not known."""

    name: str
    kind: Kind
    charset: str = ""
    is_nullable: bool = False
    members: int = 0
