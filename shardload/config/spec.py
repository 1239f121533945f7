"""JobSpec: all settings of a job, taken from flags, a TOML file and the environment, and validated once.

A flag wins over the file, the file over the environment (`environment.py`). No server is asked here: the source checks
that the table and its columns exist.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from shardload.config import environment, rowset
from shardload.config.checks import INTERNAL, CheckSpec
from shardload.config.environment import DEFAULT_WORKERS, MYSQL_VARIABLE, PASSWORD_FILES, REDIS_VARIABLE, VARIABLES
from shardload.config.fleet import FleetSpec
from shardload.config.forms import IDENTITY, FormSpec
from shardload.config.guards import GuardSpec, without_lag
from shardload.config.mysqlreach import NO_MYSQL, MysqlReach, with_mysql_reach
from shardload.config.reach import with_reach
from shardload.config.rowset import QUERY_NAME, RowSet, check_rowset
from shardload.config.tomlfile import read_toml
from shardload.config.urls import MYSQL_FORM, REDIS_FORM, TargetUrl
from shardload.config.values import AbsolutePath, AddressMap, Duration, Integer, Rate, Target
from shardload.errors import SpecError
from shardload.model.jobname import JOB_NAME, JOB_NAME_WORDS
from shardload.model.limits import (
    DEFAULT_GIVE_UP_AFTER_S,
    DEFAULT_HUNG_AFTER_S,
    DEFAULT_RANGE_ROWS,
    MOST_WORKERS,
    range_rows_under,
)

NO_REDIS = TargetUrl(
    host="none", port=0, user="", password=None, database="0"
)  # a placeholder, where no Redis is needed
SUBJECT = (*rowset.IDENTITY, *IDENTITY)
"""The settings that say which rows become which keys."""
_MOST_SHOWN = 80  # characters of a wrong value
_SPELLED = {"shape": "as"}  # names that Python does not allow for a field


class JobSpec(RowSet, FormSpec, CheckSpec, GuardSpec, FleetSpec, MysqlReach):
    """All settings of one job. Frozen; unknown keys are refused. Durations are in seconds, rates in rows a second."""

    redis: Target
    redis_cacert: AbsolutePath | None = None
    redis_cacertdir: AbsolutePath | None = None
    redis_cert: AbsolutePath | None = None
    redis_key: AbsolutePath | None = None
    redis_sni: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    redis_insecure: bool = False
    redis_map: AddressMap = ()
    encoder: Literal["auto", "native", "reference"] = "auto"
    workers: Annotated[Integer, Field(ge=1, le=MOST_WORKERS)] = DEFAULT_WORKERS
    range_rows: Annotated[Integer, Field(ge=1, le=10**9)] = DEFAULT_RANGE_ROWS
    rate: Rate = None
    hung_after: Annotated[Duration, Field(ge=1, le=10**9)] = DEFAULT_HUNG_AFTER_S
    give_up_after: Annotated[Duration, Field(ge=0, le=10**9)] = DEFAULT_GIVE_UP_AFTER_S
    force: bool = False
    job: Annotated[str, Field(pattern=JOB_NAME)]
    state_dir: AbsolutePath
    progress: Literal["auto", "bar", "plain", "none"] = "auto"
    json_summary: Annotated[bool, Field(alias="json")] = False
    log_format: Literal["text", "json"] = "text"
    verbose: bool = False

    @property
    def planned_range_rows(self) -> int:
        """Rows to plan for each range: the value that was given; if none was and there is a rate, fewer."""
        if "range_rows" in self.model_fields_set or self.rate is None:
            return self.range_rows
        return range_rows_under(self.rate, self.workers)

    def stored(self) -> dict[str, Any]:
        """The content of `spec.json`: settings without secrets, and `passwords`, which tells which URL had one."""
        kept = self.model_dump(
            mode="json", by_alias=True, exclude={"state_dir", "progress", "json_summary", "verbose", "force"}
        )
        kept["passwords"] = {name: getattr(self, name).has_secret for name in ("mysql", "redis")}
        return kept

    def identity(self) -> dict[str, Any]:
        """What may not change when a job is resumed: both servers, and what is written. JSON types only."""
        servers = {"mysql": without_user(str(self.mysql)), "redis": without_user(self.redis.identity)}
        return servers | self.model_dump(mode="json", by_alias=True, include=set(SUBJECT))


def without_user(url: str) -> str:
    """The URL without its users: a job may be resumed as another user of the same server."""
    return re.sub(r"\?sentinel_user=[^&]*$", "", re.sub(r"//[^@/]*@", "//", url))


def load(
    flags: Mapping[str, Any],
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    kind: str = "load",
    needs_redis: bool = True,
) -> JobSpec:
    """Make the spec of a new job of this kind (`CheckSpec.kind`). A flag that is None was not given. SpecError names
    the wrong flag, key or variable.

    With `needs_redis` false the Redis URL may be missing; `redis` is then a placeholder.
    """
    environ = environment.current() if environ is None else environ
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for key, variable in VARIABLES.items():
        value = environment.url_from_environment(key, environ) if key in PASSWORD_FILES else environ.get(variable)
        if value:
            values[key], origins[key] = value, variable
    for key, value in without_lag(read_toml(file) if file else {}, flags).items():
        values[key], origins[key] = value, f"{file}: {key.replace('_', '-')}"
    for key, value in flags.items():
        if value is not None:
            values[key], origins[key] = value, "--" + key.replace("_", "-")
    values.setdefault("state_dir", environment.default_state_dir(environ))
    if values.get("mysql_defaults_file"):
        values.setdefault("mysql", NO_MYSQL)
    if not needs_redis:
        values.setdefault("redis", NO_REDIS)
    if "job" not in values and isinstance(values.get("table", QUERY_NAME), str):
        values["job"] = _default_job_name(values.get("table", QUERY_NAME))
    if any(name in values for name in INTERNAL):
        name = next(name for name in INTERNAL if name in values)
        raise _unknown_key(origins[name])
    spec = _validated({**values, "kind": kind}, origins)
    check_rowset(values, origins)
    return _with_files(spec, origins)


def passwords_to_repeat(spec: JobSpec) -> list[str]:
    """Names of the URLs that a resume needs again: they have passwords, which are not stored or in the environment."""
    return [
        name
        for name in ("mysql", "redis")
        if getattr(spec, name).has_secret and environment.url_from_environment(name) is None
    ]


def load_stored(
    stored: Mapping[str, Any], flags: Mapping[str, Any], environ: Mapping[str, str] | None = None
) -> JobSpec:
    """Make the spec of an existing job from `spec.json`, with passwords given again.

    SpecError if a password is missing, or if a flag changes the job's identity.
    """
    environ = environment.current() if environ is None else environ
    values = without_lag({key: value for key, value in stored.items() if key != "passwords"}, flags)
    origins = {key: f"spec.json: {key}" for key in values}
    needed = stored.get("passwords", {})
    for key in ("mysql", "redis"):
        if flags.get(key) is None and needed.get(key) and flags.get(f"{key}_defaults_file") is None:
            again = environment.url_from_environment(key, environ)
            if not again:
                raise SpecError(
                    f"the job's {key} URL {values.get(key)} had a password, and passwords are not stored",
                    f"give the URL again: --{key} URL, or {VARIABLES[key]}",
                )
            values[key], origins[key] = again, VARIABLES[key]
    for key, value in flags.items():
        if value is not None:
            values[key], origins[key] = value, "--" + key.replace("_", "-")
    spec = _with_files(_validated(values, origins), origins)
    servers = {"redis": without_user(stored["redis"])}  # the parser refuses a user without a password
    kept = {key: value for key, value in stored.items() if key != "passwords"}
    before = _validated(kept | servers | {"state_dir": values["state_dir"]}, {})
    was, now = before.identity(), spec.identity()
    for key, value in now.items():
        if value != was[key]:
            raise SpecError(
                f"job {spec.job} was started with {key} {was[key]}, not {value} ({origins.get(key, key)})",
                "resume it without this change, or start a new job",
            )
    return spec


def _with_files(spec: JobSpec, origins: Mapping[str, str]) -> JobSpec:
    """The spec whose URLs say all about how they are reached. SpecError if a key or a certificate cannot be read."""
    mysql = with_mysql_reach(spec.mysql, dict(spec), origins)
    redis = spec.redis if spec.redis == NO_REDIS else with_reach(spec.redis, dict(spec), origins)
    return spec.model_copy(update={"mysql": mysql, "redis": redis})


def _default_job_name(table: str) -> str:
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", table).strip("-._")[:40] or "table"
    now_s = time.time()
    return f"{safe}-{time.strftime('%Y%m%d-%H%M%S', time.localtime(now_s))}.{int(now_s * 1000) % 1000:03d}"


def accepted_keys() -> list[str]:
    """All keys of a TOML file, spelled as there; with `--` before them they are the flags."""
    names = [field.alias or name for name, field in JobSpec.model_fields.items() if name not in INTERNAL]
    return [name.replace("_", "-") for name in names]


def _validated(values: dict[str, Any], origins: Mapping[str, str]) -> JobSpec:
    try:
        return JobSpec(**values)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=True)
        first = min(found, key=lambda one: one["type"] != "extra_forbidden")  # a mistyped key may leave another missing
    key = str(first["loc"][0]) if first["loc"] else first["ctx"]["error"].key  # BrokenRule: about two keys
    key = _SPELLED.get(key, key)
    origin = origins.get(key, "--" + key.replace("_", "-"))
    if first["type"] == "missing":
        form = {"mysql": f" {MYSQL_FORM} or {MYSQL_VARIABLE}", "redis": f" {REDIS_FORM} or {REDIS_VARIABLE}"}
        raise SpecError(f"{origin} is missing", f"give {origin}{form.get(key, ' ' + key.upper())}")
    if first["type"] == "extra_forbidden":
        raise _unknown_key(origin)
    message = _rephrased(first["msg"])
    if key == "job" and first["type"] == "string_pattern_mismatch":
        message = f"should be a name of {JOB_NAME_WORDS}"
    hint = "see: shardload run --help"
    if key in ("mysql", "redis", "replica", "mysql_read"):  # the value may contain a password
        raise SpecError(f"{origin} {message}", hint)
    culprit = _shown(values.get(key))
    if message.startswith("should "):
        raise SpecError(f"{origin} {message}, not {culprit}", hint)
    raise SpecError(f"{origin} {culprit} {message}", hint)


def _unknown_key(origin: str) -> SpecError:
    return SpecError(f"{origin} is not a known key", f"accepted: {', '.join(accepted_keys())}")


def _rephrased(message: str) -> str:
    """A message of pydantic or of a validator, as the words that follow a flag's name."""
    message = message.removeprefix("Value error, ").partition(", unable to")[0]
    for subject in ("Input ", "String "):
        message = message.removeprefix(subject)
    return message[0].lower() + message[1:]


def _shown(value: object) -> str:
    """A value as it was typed, or as it is written in TOML or JSON; of a long one only the beginning."""
    text = repr(value) if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
