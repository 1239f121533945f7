"""The spec: which source wins, what is refused and with which message, and that no secret is stored."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardload.config.environment import default_state_dir, state_dir_from
from shardload.config.spec import JobSpec, accepted_keys, load, load_stored
from shardload.config.urls import MYSQL_FORM, REDIS_FORM
from shardload.config.values import parse_duration_s
from shardload.errors import SpecError

MYSQL, REDIS = "mysql://reader:hunter2@db/app", "redis://:hunter3@cache/0"
FLAGS: dict[str, Any] = {"mysql": MYSQL, "redis": REDIS, "table": "user", "job": "j", "state_dir": Path("/s")}


def spec(**flags: Any) -> JobSpec:
    """A spec from these flags and those that every job needs."""
    return load({**FLAGS, **flags}, None, {})


def refused(flags: dict[str, Any], file: Path | None = None, environ: dict[str, str] | None = None) -> SpecError:
    """The error that these flags raise."""
    with pytest.raises(SpecError) as caught:
        load(flags, file, environ or {})
    return caught.value


# ---- which source wins


@pytest.mark.parametrize(
    ("flag", "in_file", "in_environment", "host"),
    [
        ("flag", "file", "environment", "flag"),
        (None, "file", "environment", "file"),
        (None, None, "environment", "environment"),
        ("flag", None, "environment", "flag"),
        ("flag", "file", "", "flag"),
    ],
)
def test_flags_win_over_the_file_and_the_file_over_the_environment(
    tmp_path: Path, flag: str | None, in_file: str | None, in_environment: str, host: str
) -> None:
    """A flag that is None was not given; an empty variable counts as not set."""
    file = tmp_path / "job.toml"
    file.write_text(f'mysql = "mysql://u@{in_file}/d"\n' if in_file else "")
    flags = {**FLAGS, "mysql": flag and f"mysql://u@{flag}/d"}
    environ = {"SHARDLOAD_MYSQL_URL": in_environment and f"mysql://u@{in_environment}/d"}
    assert load(flags, file, environ).mysql.host == host


def test_every_variable() -> None:
    """Both URLs and the state directory may come from the environment, and nothing else."""
    environ = {
        "SHARDLOAD_MYSQL_URL": MYSQL, "SHARDLOAD_REDIS_URL": REDIS, "SHARDLOAD_STATE_DIR": "/var/state",
        "SHARDLOAD_WORKERS": "63",
    }  # fmt: skip
    found = load({"table": "t"}, None, environ)
    assert (found.mysql.host, found.redis.host, found.state_dir) == ("db", "cache", Path("/var/state"))
    assert found.workers != 63


def test_a_file_may_have_every_flag(tmp_path: Path) -> None:
    """TOML keys are the flags' names with dashes; underscores are allowed too."""
    file = tmp_path / "job.toml"
    file.write_text(
        f'mysql = "{MYSQL}"\nredis = "{REDIS}"\ntable = "user"\ncolumns = ["id", " a,b "]\nkey = "u:{{id}}"\n'
        'null = "empty"\nworkers = 3\nrange-rows = 500\ngive-up-after = "90s"\njob = "j"\nstate-dir = "/s"\n'
        'progress = "none"\njson = true\nverbose = true\n'
    )
    found = load({}, file, {})
    assert found.columns == ("id", " a,b ")
    assert (found.key, found.null, found.workers, found.range_rows) == ("u:{id}", "empty", 3, 500)
    assert (found.give_up_after, found.progress, found.json_summary, found.verbose) == (90.0, "none", True, True)
    assert found.planned_range_rows == 500
    file.write_text("range_rows = 7\n")
    assert load(FLAGS, file, {}).range_rows == 7


def test_the_defaults() -> None:
    """The settings of a job with only two URLs and a table."""
    found = spec()
    assert (found.columns, found.key, found.null, found.range_rows) == (None, None, "omit", 50_000)
    assert (found.give_up_after, found.progress, found.json_summary, found.verbose) == (300.0, "auto", False, False)
    assert 1 <= found.workers <= 8


# ---- what is refused

NO_TTL = "needs a ttl: it spreads the times at which keys expire"
NAME_RULE = "should be a name of at most 64 letters, digits, '.', '_' and '-', the first a letter or a digit"


@pytest.mark.parametrize(
    ("flags", "message", "hint"),
    [
        ({"mysql": None}, "--mysql is missing", f"give --mysql {MYSQL_FORM} or SHARDLOAD_MYSQL_URL"),
        ({"redis": None}, "--redis is missing", f"give --redis {REDIS_FORM} or SHARDLOAD_REDIS_URL"),
        ({"table": None}, "--table is missing", "give --table TABLE, or --query SELECT"),
        ({"workers": "0"}, "--workers should be greater than or equal to 1, not '0'", None),
        ({"workers": "65"}, "--workers should be less than or equal to 64, not '65'", None),
        ({"workers": "2.5"}, None, None),
        ({"range_rows": "0"}, "--range-rows should be greater than or equal to 1, not '0'", None),
        ({"range_rows": "1000000001"}, None, None),
        ({"null": "maybe"}, "--null should be 'omit', 'empty' or 'null', not 'maybe'", None),
        ({"progress": "loud"}, "--progress should be 'auto', 'bar', 'plain' or 'none', not 'loud'", None),
        ({"give_up_after": "soon"}, "--give-up-after should be a duration such as 30s, 5m or 1h, not 'soon'", None),
        ({"give_up_after": "-1s"}, "--give-up-after should be a duration such as 30s, 5m or 1h, not '-1s'", None),
        ({"columns": "a,,b"}, "--columns should be column names, separated by commas, not 'a,,b'", None),
        ({"columns": ""}, "--columns should be column names, separated by commas, not ''", None),
        ({"columns": "a, b,a"}, "--columns 'a, b,a' names a column twice", None),
        ({"ttl_jitter": "10%"}, f"--ttl-jitter '10%' {NO_TTL}", None),
        ({"ttl_jitter": "150%"}, "--ttl-jitter should be less than or equal to 1, not '150%'", None),
        ({"state_dir": ""}, "--state-dir '' is empty", None),
        ({"state_dir": "a\0b"}, "--state-dir 'a\\x00b' contains a NUL character", None),
        ({"columns": {"a": 1}}, "--columns should be a valid tuple, not {\"a\": 1}", None),
        ({"job": "../x"}, f"--job {NAME_RULE}, not '../x'", None),
        ({"job": ".hidden"}, f"--job {NAME_RULE}, not '.hidden'", None),
        ({"job": "a\n"}, f"--job {NAME_RULE}, not 'a\\n'", None),
        ({"job": "x" * 65}, None, None),
        ({"table": ""}, None, None),
        ({"table": "x" * 99}, f"--table should have at most 64 characters, not '{'x' * 79}...", None),
        ({"key": ""}, None, None),
    ],
)  # fmt: skip
def test_refusals_name_the_flag(flags: dict[str, Any], message: str | None, hint: str | None) -> None:
    """The message has the flag, what its value should be, and what it was."""
    error = refused({**FLAGS, **flags})
    name = "--" + next(iter(flags)).replace("_", "-")
    assert error.message.startswith(name + " ")
    if message is not None:
        assert error.message == message
    assert error.hint == (hint if hint is not None else "see: shardload run --help")
    assert error.exit_code == 2


def test_an_unknown_key_names_the_file_and_what_is_accepted(tmp_path: Path) -> None:
    """A mistyped key is reported before the key that it leaves missing."""
    file = tmp_path / "job.toml"
    file.write_text('tabel = "user"\n')
    error = refused({}, file)
    assert error.message == f"{file}: tabel is not a known key"
    assert error.hint == f"accepted: {', '.join(accepted_keys())}"
    assert {"mysql", "redis", "table", "range-rows", "give-up-after", "state-dir", "json"} <= set(accepted_keys())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"table = user\n", "is not valid TOML"),
        (b'table = "\xff"\n', "is not UTF-8 text"),
        (b"[job]\ntable = 'user'\n", "sections such as [job] are not allowed"),
        (b"table = 'a'\ntable = 'b'\n", "Cannot overwrite a value"),
        (b"a = " + b"[" * 100_000, "is nested too deeply"),
        (b"workers = " + b"9" * 5000, "is not valid TOML: Exceeds the limit"),
        (b"#" * 2**21, "is longer than 1,048,576 bytes"),
        (None, "cannot read"),
    ],
)
def test_an_unreadable_file(tmp_path: Path, content: bytes | None, message: str) -> None:
    """The message names the file and what is wrong with it."""
    file = tmp_path / "job.toml"
    if content is not None:
        file.write_bytes(content)
    error = refused({}, file)
    assert message in error.message
    assert str(file) in error.message
    assert error.hint


def test_a_wrong_value_names_the_file(tmp_path: Path) -> None:
    """The message names the file and its key, not the flag."""
    file = tmp_path / "job.toml"
    file.write_text("range-rows = 0\n")
    error = refused(FLAGS, file)
    assert error.message == f"{file}: range-rows should be greater than or equal to 1, not 0"


@pytest.mark.parametrize("key", ["workers", "range-rows", "rate"])
def test_true_is_not_one(tmp_path: Path, key: str) -> None:
    """TOML has booleans, which pydantic takes for 0 and 1; they are refused for numbers."""
    file = tmp_path / "job.toml"
    file.write_text(f"{key} = true\n")
    error = refused(FLAGS, file)
    assert error.message == f"{file}: {key} should be a valid integer, not true"
    assert error.hint == "see: shardload run --help"


@pytest.mark.parametrize(
    ("origin", "flags", "environ"),
    [
        ("--mysql", {"mysql": "mysql://u:hunter2@h"}, {}),
        ("--redis", {"redis": "rediss+tls://:hunter2@h"}, {}),
        ("SHARDLOAD_MYSQL_URL", {"mysql": None}, {"SHARDLOAD_MYSQL_URL": "hunter2"}),
        ("SHARDLOAD_REDIS_URL", {"redis": None}, {"SHARDLOAD_REDIS_URL": "redis://:hunter2@h:x"}),
    ],
)
def test_a_refused_url_is_not_repeated(origin: str, flags: dict[str, Any], environ: dict[str, str]) -> None:
    """The message names the flag or variable and contains no password."""
    error = refused({**FLAGS, **flags}, None, environ)
    assert error.message.startswith(origin)
    assert "hunter2" not in f"{error} {error!r}"
    assert error.__cause__ is None


# ---- single values


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("90", 90.0), (90, 90.0), (1.5, 1.5), ("90s", 90.0), ("5m", 300.0), ("1.5h", 5400.0), ("7d", 604800.0),
        ("500ms", 0.5), (" 2 m ", 120.0), ("0", 0.0),
    ],
)  # fmt: skip
def test_durations(value: object, seconds: float) -> None:
    """A number is seconds; units are ms, s, m, h and d."""
    assert parse_duration_s(value) == seconds


@pytest.mark.parametrize("value", ["", "s", "1 week", "1h30m", "-5", "1e3", ".5", "5S", True, None, [5]])
def test_bad_durations(value: object) -> None:
    """Other values are refused with an example."""
    with pytest.raises(ValueError, match="should be a duration such as 30s, 5m or 1h"):
        parse_duration_s(value)


@pytest.mark.parametrize(
    ("value", "columns"),
    [("id", ("id",)), ("id,name", ("id", "name")), (" id , name ", ("id", "name")), (["a,b", "c"], ("a,b", "c"))],
)
def test_columns(value: object, columns: tuple[str, ...]) -> None:
    """Columns are names separated by commas, or a list of names with any characters."""
    assert spec(columns=value).columns == columns


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64))
@settings(deadline=None, max_examples=60)
def test_every_table_gives_a_good_job_name(table: str) -> None:
    """The default name consists of the table's name and the time, and is always valid."""
    flags = {key: value for key, value in FLAGS.items() if key != "job"}
    name = load({**flags, "table": table}, None, {}).job
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,40}-\d{8}-\d{6}\.\d{3}", name)


@pytest.mark.parametrize(("table", "start"), [("user", "user-"), ("my table/2", "my-table-2-"), ("§§", "table-")])
def test_the_default_job_name_tells_the_table(table: str, start: str) -> None:
    """A character that a directory's name may not have becomes a dash."""
    flags = {key: value for key, value in FLAGS.items() if key != "job"}
    assert load({**flags, "table": table}, None, {}).job.startswith(start)


@pytest.mark.parametrize(
    ("environ", "directory"),
    [
        ({"XDG_STATE_HOME": "/x"}, Path("/x/shardload")),
        ({"XDG_STATE_HOME": "relative"}, Path("~/.local/state/shardload").expanduser()),
        ({}, Path("~/.local/state/shardload").expanduser()),
    ],
)
def test_the_default_state_directory(environ: dict[str, str], directory: Path) -> None:
    """The XDG rule, which ignores relative paths."""
    assert default_state_dir(environ) == directory
    assert state_dir_from(None, environ) == directory
    assert state_dir_from(None, {**environ, "SHARDLOAD_STATE_DIR": "/v"}) == Path("/v")
    assert state_dir_from(Path("/f"), {**environ, "SHARDLOAD_STATE_DIR": "/v"}) == Path("/f")


# ---- storing and resuming


def test_no_password_is_stored() -> None:
    """The stored JSON tells which URL had a password; neither it nor repr contains one."""
    stored = json.dumps(spec(columns="id,name").stored())
    assert "hunter" not in stored
    kept = {
        "mysql": "mysql://reader@db:3306/app", "redis": "redis://cache:6379/0", "table": "user",
        "columns": ["id", "name"], "key": None, "null": "omit", "workers": spec().workers, "range_rows": 50000,
        "give_up_after": 300.0, "job": "j", "passwords": {"mysql": True, "redis": True},
    }  # fmt: skip
    assert {name: json.loads(stored).get(name) for name in kept} == kept
    assert not {"state_dir", "progress", "json", "json_summary", "verbose"} & json.loads(stored).keys()
    assert "hunter" not in repr(spec()) + str(spec())


def stored() -> dict[str, Any]:
    """A stored spec, as it is read from its file."""
    found: dict[str, Any] = json.loads(json.dumps(spec(columns="id,name", range_rows="9").stored()))
    return found


AGAIN: dict[str, Any] = {"mysql": MYSQL, "redis": REDIS, "state_dir": Path("/s")}


def test_a_stored_spec_comes_back_whole() -> None:
    """A stored spec with its passwords given again equals the original."""
    assert load_stored(stored(), AGAIN, {}) == spec(columns="id,name", range_rows="9")
    environ = {"SHARDLOAD_MYSQL_URL": MYSQL, "SHARDLOAD_REDIS_URL": REDIS}
    assert load_stored(stored(), {"state_dir": Path("/s")}, environ) == spec(columns="id,name", range_rows="9")


def test_a_job_with_a_redis_user_can_be_resumed() -> None:
    """A stored Redis URL has a user without a password, which the URL parser refuses; the job can be resumed."""
    url = "redis://app:hunter3@cache/0"
    kept = json.loads(json.dumps(spec(redis=url).stored()))
    assert kept["redis"] == "redis://app@cache:6379/0"
    assert load_stored(kept, {**AGAIN, "redis": url}, {}) == spec(redis=url)
    assert load_stored(kept, {**AGAIN, "redis": "redis://other:hunter4@cache"}, {}).redis.user == "other"


@pytest.mark.parametrize("name", ["mysql", "redis"])
def test_a_missing_password_is_asked_for(name: str) -> None:
    """The error shows the URL without its password, and both ways to give it again."""
    with pytest.raises(SpecError) as caught:
        load_stored(stored(), {**AGAIN, name: None}, {})
    shown = {"mysql": "mysql://reader@db:3306/app", "redis": "redis://cache:6379/0"}[name]
    assert caught.value.message == f"the job's {name} URL {shown} had a password, and passwords are not stored"
    assert caught.value.hint == f"give the URL again: --{name} URL, or SHARDLOAD_{name.upper()}_URL"


def test_a_url_without_a_password_is_not_asked_for() -> None:
    """Such a URL can be resumed from what is stored."""
    open_spec = load({**FLAGS, "redis": "redis://cache"}, None, {})
    assert load_stored(open_spec.stored(), {"mysql": MYSQL, "state_dir": Path("/s")}, {}) == open_spec


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            {"mysql": "mysql://reader:hunter2@other/app"},
            "job j was started with mysql mysql://db:3306/app, not mysql://other:3306/app (--mysql)",
        ),
        (
            {"redis": "redis://:x@cache/1"},
            "job j was started with redis redis://cache:6379/0, not redis://cache:6379/1 (--redis)",
        ),
        ({"table": "other"}, "job j was started with table user, not other (--table)"),
        ({"key": "u:{id}"}, "job j was started with key None, not u:{id} (--key)"),
        ({"columns": "id"}, "job j was started with columns ['id', 'name'], not ['id'] (--columns)"),
        ({"null": "empty"}, "job j was started with null omit, not empty (--null)"),
    ],
)  # fmt: skip
def test_a_job_cannot_be_changed_half_way(flags: dict[str, Any], message: str) -> None:
    """Servers, table and what is written may not change, or a job would write two different kinds of keys."""
    with pytest.raises(SpecError) as caught:
        load_stored(stored(), {**AGAIN, **flags}, {})
    assert caught.value.message == message
    assert caught.value.hint == "resume it without this change, or start a new job"


@pytest.mark.parametrize(
    "flags",
    [
        {"workers": "5"}, {"give_up_after": "1s"}, {"progress": "none"}, {"verbose": True}, {"json": True},
        {"mysql": "mysql://admin:other@db:3306/app"},
    ],
)  # fmt: skip
def test_how_a_job_runs_may_change(flags: dict[str, Any]) -> None:
    """A resumed job may have another user, number of workers or time-out."""
    assert load_stored(stored(), {**AGAIN, **flags}, {}).table == "user"


LAG = {"replica": ("mysql://v:hunter5@r1",), "max_lag_millis": "900"}


@pytest.mark.parametrize("flags", [{"max_lag_millis": "off"}, {"replica": ("off",)}])
def test_the_guard_of_a_lag_is_taken_off(tmp_path: Path, flags: dict[str, Any]) -> None:
    """By either of its flags, from a stored job and from a file. With another replica it stays."""
    kept = json.loads(json.dumps(spec(**LAG).stored()))
    off = load_stored(kept, {**AGAIN, **flags}, {})
    assert (off.replica, off.max_lag_millis) == ((), None)
    file = tmp_path / "job.toml"
    file.write_text('replica = "r1"\nmax-lag-millis = 900\n')
    off = load({**FLAGS, **flags}, file, {})
    assert (off.replica, off.max_lag_millis) == ((), None)
    other = load_stored(kept, {**AGAIN, "replica": ("r2",)}, {})
    assert ([url.host for url in other.replica], other.max_lag_millis) == (["r2"], 900)


@pytest.mark.parametrize("wrong", [{}, {"max_lag_millis": "off"}, {"replica": ("mysql://v:hunter5@r1:x",)}])
def test_a_replica_that_is_refused_is_not_repeated(wrong: dict[str, Any]) -> None:
    """Its URL may have a password."""
    assert "hunter5" not in str(refused({**FLAGS, "replica": LAG["replica"], **wrong}))


def test_a_file_that_pauses_is_taken_off() -> None:
    """One of the name "off" is meant by a path."""
    kept = json.loads(json.dumps(spec(pause_while_exists="/tmp/hold").stored()))
    assert load_stored(kept, AGAIN, {}).pause_while_exists == Path("/tmp/hold")
    assert load_stored(kept, {**AGAIN, "pause_while_exists": "off"}, {}).pause_while_exists is None
    assert spec(pause_while_exists="./off").pause_while_exists == Path("off").absolute()


def test_a_rate_makes_ranges_smaller_unless_their_size_is_given() -> None:
    """With a rate ranges are smaller, unless their size was given."""
    assert load({**FLAGS, "rate": "1000", "workers": "4"}, None, {}).planned_range_rows == 10_000
    assert load({**FLAGS, "rate": "1000", "range_rows": "50000"}, None, {}).planned_range_rows == 50_000
    assert load(FLAGS, None, {}).planned_range_rows == 50_000
