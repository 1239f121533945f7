"""JobSpec: what a person says about a job, from flags, TOML file and environment, validated once.

Flags win over the file, the file over the environment (`environment.py`). No server is asked: whether a table or a
column exists is the source's to say.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    model_validator,
)

from shardload.config import environment
from shardload.config.environment import DEFAULT_WORKERS, MYSQL_VARIABLE, PASSWORD_FILES, REDIS_VARIABLE, VARIABLES
from shardload.config.keyfile import read_public_key
from shardload.config.tomlfile import read_toml
from shardload.config.urls import MYSQL_FORM, REDIS_FORM, PasswordRules, SourceUrl, TargetUrl, parse_mysql, parse_redis
from shardload.errors import SpecError
from shardload.model.jobname import JOB_NAME, JOB_NAME_WORDS
from shardload.model.limits import (
    DEFAULT_GIVE_UP_AFTER_S,
    DEFAULT_HUNG_AFTER_S,
    DEFAULT_RANGE_ROWS,
    MOST_RATE_ROWS,
    MOST_WORKERS,
    range_rows_under,
)

_NO_REDIS = TargetUrl("none", 0, "", None, "0")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|)")
_UNIT_S = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*(%?)")
_LONGEST_TTL_S = 100 * 366 * 86400.0
_MOST_SHOWN = 80


def parse_duration_s(value: object) -> float:
    """Seconds from `90`, `"90s"`, `"5m"`, `"1.5h"`, `"7d"`, `"500ms"`. ValueError otherwise."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError("should be a duration such as 30s, 5m or 1h")
    return float(match[1]) * _UNIT_S[match[2]]


def parse_share(value: object) -> float:
    """A share of 1 from `0.1` or `"10%"`. ValueError otherwise."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    match = _SHARE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError("should be a share such as 10% or 0.1")
    return float(match[1]) / (100 if match[2] else 1)


def _parse_columns(value: object) -> object:
    if isinstance(value, str):
        value = [name.strip() for name in value.split(",")]
    if isinstance(value, (list, tuple)):
        names = list(value)
        if not names or not all(isinstance(name, str) and name for name in names):
            raise ValueError("should be column names, separated by commas")
        if len(set(names)) != len(names):
            raise ValueError("names a column twice")
        return tuple(names)
    return value


def _named(directory: object) -> object:
    if directory == "":
        raise ValueError("is empty")
    if "\0" in str(directory):
        raise ValueError("holds a NUL character")
    return directory


def _parse_url(parse: Any) -> Any:
    def validate(value: object) -> object:
        return parse(value) if isinstance(value, str) else value

    return BeforeValidator(validate)


_AsText = PlainSerializer(str)  # str() of a URL leaves its password out
Source = Annotated[SourceUrl, _parse_url(parse_mysql), _AsText]
Target = Annotated[TargetUrl, _parse_url(parse_redis), _AsText]
Columns = Annotated[tuple[str, ...], BeforeValidator(_parse_columns)]
Duration = Annotated[float, BeforeValidator(parse_duration_s)]
Share = Annotated[float, BeforeValidator(parse_share)]
Rate = Annotated[
    Annotated[int, Field(ge=1, le=MOST_RATE_ROWS)] | None, BeforeValidator(lambda said: None if said == "off" else said)
]


class JobSpec(BaseModel):
    """One job, as a person asked for it. Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    mysql: Source
    mysql_enable_cleartext_plugin: bool = False
    mysql_get_server_public_key: bool = False
    mysql_server_public_key_path: Annotated[Path, BeforeValidator(_named), AfterValidator(Path.absolute)] | None = None
    redis: Target
    table: Annotated[str, Field(min_length=1, max_length=64)]
    columns: Columns | None = None
    key: Annotated[str, Field(min_length=1)] | None = None
    null: Literal["omit", "empty"] = "omit"
    ttl: Annotated[Duration, Field(ge=1, le=_LONGEST_TTL_S)] | None = None
    ttl_jitter: Annotated[Share, Field(ge=0, le=1)] = 0.0
    encoding: Literal["auto", "restore", "commands"] = "auto"
    hash_layout: Literal["compact", "native"] = "compact"
    encoder: Literal["auto", "native", "reference"] = "auto"
    workers: Annotated[int, Field(ge=1, le=MOST_WORKERS)] = DEFAULT_WORKERS
    range_rows: Annotated[int, Field(ge=1, le=10**9)] = DEFAULT_RANGE_ROWS
    rate: Rate = None
    hung_after: Annotated[Duration, Field(ge=1, le=10**9)] = DEFAULT_HUNG_AFTER_S
    give_up_after: Annotated[Duration, Field(ge=0, le=10**9)] = DEFAULT_GIVE_UP_AFTER_S
    job: Annotated[str, Field(pattern=JOB_NAME)]
    state_dir: Annotated[Path, BeforeValidator(_named), AfterValidator(Path.absolute)]
    progress: Literal["auto", "bar", "plain", "none"] = "auto"
    json_summary: Annotated[bool, Field(alias="json")] = False
    log_format: Literal["text", "json"] = "text"
    verbose: bool = False

    @model_validator(mode="after")
    def _jitter_needs_a_ttl(self) -> JobSpec:
        if self.ttl_jitter and self.ttl is None:
            raise ValueError("spreads the expiry of keys, and these have none: give a ttl too")
        return self

    @property
    def planned_range_rows(self) -> int:
        """About how many rows a range is planned with: as was said; else by the rate, if there is one."""
        if "range_rows" in self.model_fields_set or self.rate is None:
            return self.range_rows
        return range_rows_under(self.rate, self.workers)

    def stored(self) -> dict[str, Any]:
        """What `spec.json` holds: everything but secrets, with a note of which URL had a password."""
        kept = self.model_dump(mode="json", by_alias=True, exclude={"state_dir", "progress", "json_summary", "verbose"})
        kept["passwords"] = {name: getattr(self, name).password is not None for name in ("mysql", "redis")}
        return kept

    def identity(self) -> dict[str, Any]:
        """What makes two runs the same job: where from, where to, and what is written. JSON types only."""
        place = {"mysql": without_user(str(self.mysql)), "redis": without_user(str(self.redis))}
        return place | self.model_dump(mode="json", include={"table", "columns", "key", "null", "ttl", "ttl_jitter"})


def without_user(url: str) -> str:
    """The URL's place alone: another user of the same server is still the same server."""
    return re.sub(r"//[^@/]*@", "//", url)


def load(
    flags: Mapping[str, Any],
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    asks_redis: bool = True,
) -> JobSpec:
    """A JobSpec from what was said. Flags that are None were not given. SpecError names the culprit.

    Whoever asks no Redis need not name one: then `redis` is a place that is none.
    """
    environ = environment.current() if environ is None else environ
    said: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for key, variable in VARIABLES.items():
        value = environment.url_from_environment(key, environ) if key in PASSWORD_FILES else environ.get(variable)
        if value:
            said[key], origins[key] = value, variable
    for key, value in (read_toml(file) if file else {}).items():
        said[key], origins[key] = value, f"{file}: {key.replace('_', '-')}"
    for key, value in flags.items():
        if value is not None:
            said[key], origins[key] = value, "--" + key.replace("_", "-")
    said.setdefault("state_dir", environment.default_state_dir(environ))
    if not asks_redis:
        said.setdefault("redis", _NO_REDIS)
    if "job" not in said and isinstance(said.get("table"), str):
        said["job"] = _default_job_name(said["table"])
    return _with_password_rules(_validated(said, origins), origins)


def passwords_to_repeat(spec: JobSpec) -> list[str]:
    """The URLs that have to be given again on resume: their passwords are not stored, nor in the environment."""
    return [
        name
        for name in ("mysql", "redis")
        if getattr(spec, name).password is not None and environment.url_from_environment(name) is None
    ]


def load_stored(
    stored: Mapping[str, Any], flags: Mapping[str, Any], environ: Mapping[str, str] | None = None
) -> JobSpec:
    """The spec of an existing job, with passwords given again. SpecError if one is missing or the job changed."""
    environ = environment.current() if environ is None else environ
    said = {key: value for key, value in stored.items() if key != "passwords"}
    origins = {key: f"spec.json: {key}" for key in said}
    needed = stored.get("passwords", {})
    for key in ("mysql", "redis"):
        if flags.get(key) is None and needed.get(key):
            again = environment.url_from_environment(key, environ)
            if not again:
                raise SpecError(
                    f"the job's {key} URL {said.get(key)} had a password, and passwords are not stored",
                    f"give the URL again: --{key} URL, or {VARIABLES[key]}",
                )
            said[key], origins[key] = again, VARIABLES[key]
    for key, value in flags.items():
        if value is not None:
            said[key], origins[key] = value, "--" + key.replace("_", "-")
    spec = _with_password_rules(_validated(said, origins), origins)
    place = {"redis": without_user(stored["redis"]), "state_dir": said["state_dir"]}  # a user alone is no Redis URL
    before = _validated({key: value for key, value in stored.items() if key != "passwords"} | place, {})
    was, now = before.identity(), spec.identity()
    for key, value in now.items():
        if value != was[key]:
            raise SpecError(
                f"job {spec.job} is about {key} {was[key]}, not {value} ({origins.get(key, key)})",
                "a job cannot be changed half-way: resume it as it was, or start a new one",
            )
    return spec


def _with_password_rules(spec: JobSpec, origins: Mapping[str, str]) -> JobSpec:
    """The spec, whose MySQL URL now knows who may get its password. SpecError if the public key cannot be read."""
    key, file = None, spec.mysql_server_public_key_path
    if file is not None:
        key = read_public_key(file, origins["mysql_server_public_key_path"])
    rules = PasswordRules(spec.mysql_enable_cleartext_plugin, spec.mysql_get_server_public_key, key)
    return spec.model_copy(update={"mysql": replace(spec.mysql, passwords=rules)})


def _default_job_name(table: str) -> str:
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", table).strip("-._")[:40] or "table"
    now_s = time.time()
    return f"{safe}-{time.strftime('%Y%m%d-%H%M%S', time.localtime(now_s))}.{int(now_s * 1000) % 1000:03d}"


def accepted_keys() -> list[str]:
    """The keys of a TOML file, as they are written there and (with `--` before them) as flags."""
    return [(field.alias or name).replace("_", "-") for name, field in JobSpec.model_fields.items()]


def _validated(said: dict[str, Any], origins: Mapping[str, str]) -> JobSpec:
    try:
        return JobSpec(**said)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        first = min(found, key=lambda one: one["type"] != "extra_forbidden")  # a typo before what it left missing
    key = str(first["loc"][0]) if first["loc"] else "ttl_jitter"  # the one rule about two keys
    origin = origins.get(key, "--" + key.replace("_", "-"))
    if first["type"] == "missing":
        form = {"mysql": f" {MYSQL_FORM} or {MYSQL_VARIABLE}", "redis": f" {REDIS_FORM} or {REDIS_VARIABLE}"}
        raise SpecError(f"{origin} is missing", f"give {origin}{form.get(key, ' ' + key.upper())}")
    if first["type"] == "extra_forbidden":
        raise SpecError(f"{origin} is not a known key", f"accepted: {', '.join(accepted_keys())}")
    message = _in_words(first["msg"])
    if key == "job" and first["type"] == "string_pattern_mismatch":
        message = f"should be a name of {JOB_NAME_WORDS}"
    hint = "shardload run --help tells what each takes"
    if key in ("mysql", "redis"):  # which may hold a password
        raise SpecError(f"{origin} {message}", hint)
    culprit = _shown(said.get(key))
    if message.startswith("should "):
        raise SpecError(f"{origin} {message}, not {culprit}", hint)
    raise SpecError(f"{origin} {culprit} {message}", hint)


def _in_words(message: str) -> str:
    """pydantic's message, or ours, as what follows a flag's name."""
    message = message.removeprefix("Value error, ").partition(", unable to")[0]
    for subject in ("Input ", "String "):
        message = message.removeprefix(subject)
    return message[0].lower() + message[1:]


def _shown(value: object) -> str:
    """A value as it was typed, or as it stands in TOML or JSON; the beginning of a long one."""
    text = repr(value) if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
