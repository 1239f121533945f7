"""Types of a spec's values: how each is read from a flag's text or a TOML value.

A validator raises ValueError with the words that follow the flag's name in the message: "should be ...".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from shardload.config.addresses import Address, parse_map
from shardload.config.urls import SourceUrl, TargetUrl, parse_redis, read_mysql
from shardload.model.limits import MOST_RATE_ROWS
from shardload.model.names import read_name, read_names

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|)")
_UNIT_S = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*(%?)")


def parse_duration_s(value: object) -> float:
    """Seconds from `90`, `"90s"`, `"5m"`, `"1.5h"`, `"7d"`, `"500ms"`. ValueError otherwise."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError("should be a duration such as 30s, 5m or 1h")
    return float(match[1]) * _UNIT_S[match[2]]


def parse_share(value: object) -> float:
    """A fraction from `0.1` or `"10%"`; the result may be more than 1. ValueError otherwise."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    match = _SHARE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError("should be a share such as 10% or 0.1")
    return float(match[1]) / (100 if match[2] else 1)


class BrokenRule(ValueError):
    """A setting, `key`, does not go with another one. The text follows the flag and its value in the message."""

    def __init__(self, key: str, text: str) -> None:
        super().__init__(text)
        self.key = key


def _parse_columns(value: object) -> object:
    if isinstance(value, str):
        value = read_names(value)
        if value is None:
            raise ValueError("should be column names, separated by commas; `a,b` in backticks is one name")
    if isinstance(value, (list, tuple)):
        names = list(value)
        if not names or not all(isinstance(name, str) and name for name in names):
            raise ValueError("should be column names, separated by commas")
        if len(set(names)) != len(names):
            raise ValueError("names a column twice")
        return tuple(names)
    return value


def parse_texts(value: object) -> object:
    """A list of texts; one alone may stand without a list."""
    return (value,) if isinstance(value, str) else value


def parse_pairs(value: object) -> object:
    """Pairs from texts such as `"old=new"`; a name that contains `=` stands in backticks. ValueError otherwise."""
    if isinstance(value, str):
        value = [value]
    return tuple(map(_parse_pair, value)) if isinstance(value, (list, tuple)) else value


def _parse_pair(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = read_name(value, 0, "=")
    if found is None or not found[0] or found[1] == len(value):
        raise ValueError("should be NAME=TEXT")
    name, end = found
    return name, value[end + 1 :]


def _check_path(value: object) -> object:
    if value == "":
        raise ValueError("is empty")
    if "\0" in str(value):
        raise ValueError("contains a NUL character")
    return value


def _at_home(path: Path) -> Path:
    """The absolute path; a `~` in front is what a shell makes of it."""
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        raise ValueError("begins with a '~' of nobody") from None


def _check_not_boolean(value: object) -> object:
    """pydantic takes true for 1 and false for 0; in a TOML file that is a mistake."""
    if isinstance(value, bool):
        raise ValueError("should be a valid integer")
    return value


def _url_parser(parse: Callable[[str], object]) -> Any:
    return BeforeValidator(lambda value: parse(value) if isinstance(value, str) else value)


def _parse_map(value: object) -> object:
    if isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value):
        value = ",".join(value)
    return parse_map(value) if isinstance(value, str) else value


Source = Annotated[SourceUrl, _url_parser(read_mysql), PlainSerializer(SourceUrl.stored)]
Target = Annotated[TargetUrl, _url_parser(parse_redis), PlainSerializer(str)]  # str() of a URL has no password
AddressMap = Annotated[
    tuple[tuple[Address, Address], ...],
    BeforeValidator(_parse_map),
    PlainSerializer(lambda pairs: [f"{named}={reached}" for named, reached in pairs]),
]
Columns = Annotated[tuple[str, ...], BeforeValidator(_parse_columns)]
Duration = Annotated[float, BeforeValidator(parse_duration_s)]
Share = Annotated[float, BeforeValidator(parse_share)]
Integer = Annotated[int, BeforeValidator(_check_not_boolean)]
Rate = Annotated[
    Annotated[Integer, Field(ge=1, le=MOST_RATE_ROWS)] | None,
    BeforeValidator(lambda value: None if value == "off" else value),
]
AbsolutePath = Annotated[Path, BeforeValidator(_check_path), AfterValidator(Path.absolute)]
HomePath = Annotated[Path, BeforeValidator(_check_path), AfterValidator(_at_home)]
