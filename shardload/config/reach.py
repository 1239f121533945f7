"""How Redis is reached: what the flags beside --redis say, put into its URL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from shardload.config.addresses import parse_map
from shardload.config.certificates import redis_context
from shardload.config.urls import TargetUrl, TlsRules
from shardload.errors import SpecError

_TLS_FLAGS = ("redis_cacert", "redis_cacertdir", "redis_cert", "redis_key", "redis_sni", "redis_insecure")


def typed(flags: Mapping[str, str | bool | None]) -> dict[str, Any]:
    """The flags' values as a spec has them. ValueError if the map is wrong."""
    found: dict[str, Any] = {key: value for key, value in flags.items() if value is not None}
    for key in {"redis_cacert", "redis_cacertdir", "redis_cert", "redis_key"} & found.keys():
        found[key] = Path(found[key]).absolute()
    if "redis_map" in found:
        try:
            found["redis_map"] = parse_map(found["redis_map"])
        except ValueError as error:
            raise ValueError(f"--redis-map {error}") from None
    return found


def with_reach(url: TargetUrl, flags: Mapping[str, Any], origins: Mapping[str, str]) -> TargetUrl:
    """The URL with what the flags say of TLS and of other addresses; `flags` has their values, paths as Path.

    SpecError, with the flag or its name in `origins`, if a file is of no use, or a flag does not go with the URL.
    """

    def origin(key: str) -> str:
        return origins.get(key, "--" + key.replace("_", "-"))

    given = [key for key in _TLS_FLAGS if flags.get(key)]
    url = replace(url, map=flags.get("redis_map") or ())
    if url.tls is None:
        if given:
            hint = "write rediss:// in --redis, or leave it out"
            raise SpecError(f"{origin(given[0])} is about TLS, and {url} has none", hint)
        return url
    for one, other in (("redis_cert", "redis_key"), ("redis_key", "redis_cert")):
        if one in given and other not in given:
            raise SpecError(f"{origin(one)} needs {origin(other)}", "a certificate and its key belong together")
    rules = TlsRules(**{key.removeprefix("redis_"): flags[key] for key in given})
    redis_context(rules, origins)
    return replace(url, tls=rules)
