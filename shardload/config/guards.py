"""What a job watches beside its work, so that it hurts nobody, as a person says it. `JobSpec` has these settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, PlainSerializer, model_validator

from shardload.config.urls import SourceUrl, completed, read_mysql
from shardload.config.values import AbsolutePath, BrokenRule, Duration, Integer, Share

_MOST = 10**18
_LIMIT = re.compile(r"([A-Za-z][A-Za-z0-9_]*)\s*=\s*(\d{1,18})")
_WINDOW = re.compile(r"(\d\d?):(\d\d)\s*-\s*(\d\d?):(\d\d)")
_DAY_MINUTES = 24 * 60


def _is_off(value: object) -> bool:
    return value is False or value in ("off", ("off",), ["off"])


def _or_off(parse: Callable[[object], object], off: object) -> Callable[[object], object]:
    return lambda value: off if _is_off(value) else parse(value)


def _limits(value: object) -> object:
    """Names of MySQL's status variables and the most that each may be."""
    if not isinstance(value, str):
        return value
    found = [_LIMIT.fullmatch(one.strip()) for one in value.split(",")]
    if not all(found):
        raise ValueError("should be like Threads_running=25,Threads_connected=500")
    return tuple((one[1], int(one[2])) for one in found if one)


def _window(value: object) -> object:
    """From and to, in minutes since midnight."""
    if not isinstance(value, str):
        return value
    match = _WINDOW.fullmatch(value.strip())
    if match is None:
        raise ValueError("should be like 22:00-06:00")
    hours, minutes = (int(match[1]), int(match[3])), (int(match[2]), int(match[4]))
    if max(hours) > 24 or max(minutes) > 59:
        raise ValueError("should be like 22:00-06:00")
    start, end = (60 * hour + minute for hour, minute in zip(hours, minutes, strict=True))
    if start == end or max(start, end) > _DAY_MINUTES:
        raise ValueError("should be like 22:00-06:00")
    return (start, end)


def _replicas(value: object) -> object:
    several = (value,) if isinstance(value, str) else value
    if not isinstance(several, (list, tuple)):
        return value
    return tuple(_replica(one) if isinstance(one, str) else one for one in several)


def _replica(text: str) -> SourceUrl:
    """A URL, or just HOST or HOST:PORT. What is missing in it is as in --mysql."""
    url = read_mysql(text if "://" in text else f"mysql://{text}")
    if not url.host:
        raise ValueError("names no host; write HOST, HOST:PORT, a URL or off")
    if text == "off":
        raise ValueError("is off and names a replica; a host of this name is off:3306")
    return url


Limits = Annotated[
    tuple[tuple[str, int], ...],
    BeforeValidator(_or_off(_limits, ())),
    PlainSerializer(lambda limits: ",".join(f"{name}={most}" for name, most in limits) or "off"),
]
Window = Annotated[
    tuple[int, int] | None,
    BeforeValidator(_or_off(_window, None)),
    PlainSerializer(lambda window: window and "-".join(f"{at // 60:02}:{at % 60:02}" for at in window)),
]
Replicas = Annotated[
    tuple[SourceUrl, ...],
    BeforeValidator(_or_off(_replicas, ())),
    PlainSerializer(lambda urls: [url.stored() for url in urls]),
]


def _plain(value: object) -> Any:
    return value


class GuardSpec(BaseModel):
    """The guards. Frozen; they are no part of a job's identity. Durations are in seconds."""

    max_load: Limits = ()
    critical_load: Limits = ()
    max_lag_millis: Annotated[
        Annotated[Integer, Field(ge=1, le=10**9)] | None, BeforeValidator(_or_off(_plain, None))
    ] = None
    replica: Replicas = ()
    keep_free: Annotated[Annotated[Share, Field(ge=0, lt=1)], BeforeValidator(_or_off(_plain, 0.0))] = 0.1
    on_eviction: Literal["stop", "ignore"] = "stop"
    max_latency: Annotated[
        Annotated[Duration, Field(ge=0.0001, le=60)] | None, BeforeValidator(_or_off(_plain, None))
    ] = None
    while_saving: Literal["go", "pause"] = "go"
    pause_while_exists: Annotated[AbsolutePath | None, BeforeValidator(_or_off(_plain, None))] = None
    window: Window = None

    @property
    def reads_mysql(self) -> bool:
        """True if MySQL is measured."""
        return bool(self.max_load or self.critical_load)

    @property
    def always_reads_redis(self) -> bool:
        """True if Redis is measured whatever it is; what concerns its maxmemory is measured if it has one."""
        return self.max_latency is not None or self.while_saving != "go"

    @property
    def reads_redis(self) -> bool:
        """True if Redis may be measured."""
        return self.always_reads_redis or self.keep_free > 0 or self.on_eviction == "stop"

    @model_validator(mode="after")
    def _guards_fit_together(self) -> GuardSpec:
        """ValueError (BrokenRule) if a setting does not go with another one."""
        if self.max_lag_millis is not None and not self.replica:
            raise BrokenRule("max_lag_millis", "needs --replica URL: a replica whose lag is measured")
        if self.replica and self.max_lag_millis is None:
            raise BrokenRule("replica", "needs --max-lag-millis N: how far it may be behind")
        return self


def without_lag(values: Mapping[str, Any], flags: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a file or a stored job without the guard of a replica's lag, if one of its two flags is off and
    the other is not given."""
    pairs = (("max_lag_millis", "replica"), ("replica", "max_lag_millis"))
    dropped = {other for name, other in pairs if _is_off(flags.get(name)) and flags.get(other) is None}
    return {name: value for name, value in values.items() if name not in dropped}


def as_source(replica: SourceUrl, source: SourceUrl) -> SourceUrl:
    """The replica's URL, complete: what is missing in it is as in the source's. One with a socket has no port."""
    url = replace(
        source,
        host=replica.host,
        port=0 if replica.socket else replica.port or source.port,
        user=replica.user or source.user,
        password=source.password if replica.password is None else replica.password,
        socket=replica.socket,
    )
    return completed(url)


def is_within(window: tuple[int, int], minute: int) -> bool:
    """True if this minute of the day is in the window, which may cross midnight."""
    start, end = window
    return start <= minute < end if start < end else minute >= start or minute < end
