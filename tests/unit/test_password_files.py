"""Passwords in files, as container engines give them: which URL gets them, and which are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shardload.config.environment import url_from_environment
from shardload.config.spec import load, load_stored
from shardload.config.urls import PasswordRules, parse_redis
from shardload.errors import SpecError

AWKWARD = "p@ss:w/rd %?#é"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Both URLs without a password, and a password file for each that ends with a line end."""
    found = {"SHARDLOAD_MYSQL_URL": "mysql://reader@db/app", "SHARDLOAD_REDIS_URL": "redis://cache/3"}
    for name in ("mysql", "redis"):
        file = tmp_path / name
        file.write_text(f"{AWKWARD}{name}\n", encoding="utf-8")
        found[f"SHARDLOAD_{name.upper()}_PASSWORD_FILE"] = str(file)
    return found


def refused(environ: dict[str, str]) -> SpecError:
    """The error that this environment raises."""
    with pytest.raises(SpecError) as caught:
        load({"table": "t"}, None, environ)
    assert AWKWARD not in str(caught.value)
    return caught.value


def test_the_urls_get_the_passwords(environ: dict[str, str]) -> None:
    """The password is the file's content without the line end; the rest of the URL does not change."""
    found = load({"table": "t"}, None, environ)
    assert (found.mysql.user, found.mysql.password, found.mysql.database) == ("reader", f"{AWKWARD}mysql", "app")
    assert (found.redis.user, found.redis.password, found.redis.database) == ("", f"{AWKWARD}redis", "3")


def test_a_user_of_redis(environ: dict[str, str]) -> None:
    """A Redis URL with a user alone is valid if a password file is given."""
    found = load({"table": "t"}, None, environ | {"SHARDLOAD_REDIS_URL": "redis://worker@cache:7000"})
    assert (found.redis.user, found.redis.password, found.redis.port) == ("worker", f"{AWKWARD}redis", 7000)


def test_resume_reads_them_again(environ: dict[str, str]) -> None:
    """The password is not stored; on resume it is read from the file again."""
    spec = load({"table": "t", "job": "j", "state_dir": Path("/s")}, None, environ)
    stored: dict[str, Any] = spec.stored()
    assert AWKWARD not in str(stored)
    assert load_stored(stored, {"state_dir": Path("/s")}, environ) == spec


def test_the_password_of_sentinels_is_one(environ: dict[str, str]) -> None:
    """It is not stored; resume needs the URL again, as the same user of the Sentinels or as another one."""
    url = "redis+sentinel://a,b/m/0?sentinel_user={}&sentinel_password=hunter2"
    mysql = {name: value for name, value in environ.items() if "MYSQL" in name}
    spec = load({"table": "t", "job": "j", "state_dir": Path("/s"), "redis": url.format("s")}, None, mysql)
    stored: dict[str, Any] = spec.stored()
    assert stored["redis"] == "redis+sentinel://a:26379,b:26379/m/0?sentinel_user=s"
    assert "hunter2" not in str(stored)
    with pytest.raises(SpecError, match="had a password"):
        load_stored(stored, {"state_dir": Path("/s")}, mysql)
    for user in ("s", "other"):
        again = {**mysql, "SHARDLOAD_REDIS_URL": url.format(user)}
        assert load_stored(stored, {"state_dir": Path("/s")}, again).redis.sentinel_user == user


def test_a_url_from_elsewhere_does_not_get_it(environ: dict[str, str]) -> None:
    """A file's password belongs to the URL of the environment; a server that a flag names does not get it."""
    found = load({"table": "t", "mysql": "mysql://other@elsewhere/app"}, None, environ)
    assert (found.mysql.host, found.mysql.password) == ("elsewhere", None)


def test_no_url_no_password(environ: dict[str, str]) -> None:
    """A password file without a URL does nothing, and an empty variable is not set."""
    del environ["SHARDLOAD_MYSQL_URL"]
    assert url_from_environment("mysql", environ) is None
    assert url_from_environment("redis", environ | {"SHARDLOAD_REDIS_PASSWORD_FILE": ""}) == "redis://cache/3"


def test_a_file_that_cannot_be_read(environ: dict[str, str], tmp_path: Path) -> None:
    """The error names the file, the cause and the variable."""
    error = refused(environ | {"SHARDLOAD_MYSQL_PASSWORD_FILE": "/nowhere/secret"})
    assert error.message == "cannot read /nowhere/secret: No such file or directory"
    assert error.hint == "SHARDLOAD_MYSQL_PASSWORD_FILE must name a text file"
    (tmp_path / "latin").write_bytes(b"p\xe4ss")
    error = refused(environ | {"SHARDLOAD_REDIS_PASSWORD_FILE": str(tmp_path / "latin")})
    assert error.message == f"cannot read {tmp_path}/latin: not UTF-8 text"


def test_two_passwords(environ: dict[str, str]) -> None:
    """A password in the URL and one in the file are refused; neither is shown."""
    error = refused(environ | {"SHARDLOAD_REDIS_URL": "redis://:hunter2@cache"})
    assert error.message == "SHARDLOAD_REDIS_URL has a password already, but a password file is named too"
    assert error.hint == "remove it from the URL, or unset SHARDLOAD_REDIS_PASSWORD_FILE"


def test_the_sentinels_own_password(environ: dict[str, str], tmp_path: Path) -> None:
    """From a file of its own, beside that of the servers; two of them, or none to give it to, are refused."""
    (tmp_path / "own").write_text("s&p#?\n")
    environ["SHARDLOAD_REDIS_SENTINEL_PASSWORD_FILE"] = str(tmp_path / "own")
    url = "redis+sentinel://a,b/m/0"
    for more, user in (("", ""), ("?sentinel_user=s", "s")):
        text = url_from_environment("redis", environ | {"SHARDLOAD_REDIS_URL": url + more})
        assert text is not None
        found = parse_redis(text)
        assert (found.sentinel_user, found.sentinel_password) == (user, "s&p#?")
        assert found.password is not None
    lettuce = url_from_environment("redis", {**environ, "SHARDLOAD_REDIS_URL": "redis-sentinel://a/0#m"})
    assert lettuce is not None
    assert (parse_redis(lettuce).service, parse_redis(lettuce).sentinel_password) == ("m", "s&p#?")
    error = refused(environ | {"SHARDLOAD_REDIS_URL": f"{url}?sentinel_password=x"})
    assert "has a sentinel_password already" in error.message
    assert "unset SHARDLOAD_REDIS_SENTINEL_PASSWORD_FILE" in error.hint
    assert "names no Sentinels" in refused(environ).message


def test_a_wrong_url_is_refused(environ: dict[str, str]) -> None:
    """The message is the URL parser's, and contains no password."""
    assert "is not a URL" in refused(environ | {"SHARDLOAD_REDIS_URL": "cache"}).message


KEY = b"-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n"


def test_how_the_password_may_be_sent_without_tls(environ: dict[str, str], tmp_path: Path) -> None:
    """By default the password is not sent. Flags and TOML keys change that, and a resumed job keeps them."""
    assert load({"table": "t"}, None, environ).mysql.passwords == PasswordRules()
    (tmp_path / "key.pem").write_bytes(KEY)
    file = tmp_path / "job.toml"
    file.write_text(f"mysql-server-public-key-path = '{tmp_path}/key.pem'\nmysql-get-server-public-key = true\n")
    found = load({"table": "t", "mysql_enable_cleartext_plugin": True}, file, environ)
    assert found.mysql.passwords == PasswordRules(cleartext=True, any_public_key=True, public_key=KEY)
    assert load_stored(found.stored(), {"state_dir": found.state_dir}, environ).mysql.passwords == found.mysql.passwords


@pytest.mark.parametrize(
    ("content", "message"), [(None, "there is no file"), (b"-----BEGIN CERTIFICATE-----", "is not a public key")]
)
def test_a_file_without_a_public_key(
    environ: dict[str, str], tmp_path: Path, content: bytes | None, message: str
) -> None:
    """The error names the flag, the file and what is expected; MySQL is not asked before."""
    file = tmp_path / "key.pem"
    if content:
        file.write_bytes(content)
    with pytest.raises(SpecError, match=message) as caught:
        load({"table": "t", "mysql_server_public_key_path": str(file)}, None, environ)
    assert caught.value.message.startswith("--mysql-server-public-key-path: ")
    assert "public_key.pem" in caught.value.hint
