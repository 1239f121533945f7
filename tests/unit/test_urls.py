"""URLs: parsed, decoded, refused, and always shown without their passwords."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardload.config.urls import MYSQL_FORM, REDIS_FORM, ServerUrl, SourceUrl, TargetUrl, parse_mysql, parse_redis

SECRET = "hunter2"

MYSQL_TAIL = f"has text after '?' or '#', which is not supported (write '%23' for '#'); write {MYSQL_FORM}"
MYSQL_CODE = f"cannot be understood (percent-encode special characters); write {MYSQL_FORM}"
MYSQL_NUMBER = f"has a port that is not a number from 1 to 65535; write {MYSQL_FORM}"
MYSQL_SLASH = f"has more than one '/' after the host (write '%2F' inside a name); write {MYSQL_FORM}"
REDIS_TAIL, REDIS_NUMBER, REDIS_SLASH = (
    text.replace(MYSQL_FORM, REDIS_FORM) for text in (MYSQL_TAIL, MYSQL_NUMBER, MYSQL_SLASH)
)
REDIS_DATABASE = f"has a database that is not a number; write {REDIS_FORM}"
TLS = "asks for TLS (rediss://), which is not supported yet; use redis:// inside a trusted network"


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("mysql://u:p@h/d", SourceUrl("h", 3306, "u", "p", "d")),
        ("mysql://u@h/d", SourceUrl("h", 3306, "u", None, "d")),
        ("mysql://u:@h/d", SourceUrl("h", 3306, "u", "", "d")),
        ("mysql://u:p@h:3307/d/", SourceUrl("h", 3307, "u", "p", "d")),
        ("  mysql://u:p@h/d\n", SourceUrl("h", 3306, "u", "p", "d")),
        ("mysql://us%40er:p%3Aw%2F%23%25@db-1.io:1/my%2Fdb", SourceUrl("db-1.io", 1, "us@er", "p:w/#%", "my/db")),
        ("mysql://%C3%BC:%E2%82%AC@h/d%20b", SourceUrl("h", 3306, "ü", "€", "d b")),
        ("mysql://u:p@[::1]/d", SourceUrl("::1", 3306, "u", "p", "d")),
        ("mysql://u:p@[2001:db8::2]:3310/d", SourceUrl("2001:db8::2", 3310, "u", "p", "d")),
        ("mysql://u:a:b@h/d", SourceUrl("h", 3306, "u", "a:b", "d")),
        ("mysql://u:p@h:65535/d", SourceUrl("h", 65535, "u", "p", "d")),
    ],
)  # fmt: skip
def test_mysql_urls(text: str, url: SourceUrl) -> None:
    """User, password and database are percent-decoded; the default port is 3306."""
    assert parse_mysql(text) == url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("redis://h", TargetUrl("h", 6379, "", None, "0")),
        ("redis://h/", TargetUrl("h", 6379, "", None, "0")),
        ("redis://h:7000/3", TargetUrl("h", 7000, "", None, "3")),
        ("redis://h/03", TargetUrl("h", 6379, "", None, "3")),
        ("redis://:p%40w@h", TargetUrl("h", 6379, "", "p@w", "0")),
        ("redis://u:p@h/15", TargetUrl("h", 6379, "u", "p", "15")),
        ("redis://[::1]:6380", TargetUrl("::1", 6380, "", None, "0")),
    ],
)
def test_redis_urls(text: str, url: TargetUrl) -> None:
    """Only the host is needed; defaults are port 6379, database 0, no user and no password."""
    assert parse_redis(text) == url


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hunter2", f"is not a URL; write {MYSQL_FORM}"),
        ("", f"is not a URL; write {MYSQL_FORM}"),
        ("postgres://u:hunter2@h/d", f"starts with postgres:// where mysql:// is needed; write {MYSQL_FORM}"),
        ("redis://u:hunter2@h/0", f"starts with redis:// where mysql:// is needed; write {MYSQL_FORM}"),
        ("jdbc:mysql://h/d?password=hunter2", f"starts with jdbc:mysql://, another program's form; write {MYSQL_FORM}"),
        ("mysql+pymysql://u:hunter2@h/d", f"starts with mysql+pymysql://, another program's form; write {MYSQL_FORM}"),
        ("mariadb://u:hunter2@h/d", f"starts with mariadb://, another program's form; write {MYSQL_FORM}"),
        ("jdbc:oracle://u:hunter2@h/d", f"starts with jdbc:oracle:// where mysql:// is needed; write {MYSQL_FORM}"),
        ("pgsql+x://u:hunter2@h/d", f"starts with pgsql+x:// where mysql:// is needed; write {MYSQL_FORM}"),
        ("u:hunter2@h://d", f"does not start with mysql://; write {MYSQL_FORM}"),
        ("unix://hunter2", f"asks for a unix socket (unix://), which is not supported yet; write {MYSQL_FORM}"),
        ("mysql://u:hunter2@h", f"names no database; write {MYSQL_FORM}"),
        ("mysql://u:hunter2@h/", f"names no database; write {MYSQL_FORM}"),
        ("mysql://h/d", f"names no user; write {MYSQL_FORM}"),
        ("mysql://:hunter2@h/d", f"names no user; write {MYSQL_FORM}"),
        ("mysql://u:hunter2@/d", f"names no host; write {MYSQL_FORM}"),
        ("mysql://u:hunter2@a b/d", f"names no host; write {MYSQL_FORM}"),
        ("mysql://u:hunter2@h/d/e", MYSQL_SLASH),
        ("mysql://u:hunter2@h:0/d", MYSQL_NUMBER),
        ("mysql://u:hunter2@h:65536/d", MYSQL_NUMBER),
        ("mysql://u@h:hunter2/d", MYSQL_NUMBER),
        ("mysql://u:hunter2/d@h/d", None),
        ("mysql://u:hun#hunter2@h/d", MYSQL_TAIL),
        ("mysql://u:p@h/d?ssl=hunter2", MYSQL_TAIL),
        ("mysql://u:hunter2@[::1/d", MYSQL_CODE),
        ("mysql://u:hunter2%FF@h/d", MYSQL_CODE),
        ("mysql://u:p@h/%FFhunter2", MYSQL_CODE),
    ],
)  # fmt: skip
def test_refused_mysql_urls(text: str, message: str | None) -> None:
    """The message says what is wrong and how to write a URL; it repeats only the scheme."""
    with pytest.raises(ValueError, match="write mysql://") as caught:
        parse_mysql(text)
    if message is not None:
        assert str(caught.value) == message
    assert SECRET not in "".join(traceback.format_exception(caught.value)).replace(f'parse_mysql("{text}")', "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hunter2", f"is not a URL; write {REDIS_FORM}"),
        ("mysql://u:hunter2@h/d", f"starts with mysql:// where redis:// is needed; write {REDIS_FORM}"),
        ("rediss://:hunter2@h", TLS),
        ("unix:///run/hunter2", f"asks for a unix socket (unix://), which is not supported yet; write {REDIS_FORM}"),
        ("valkey://:hunter2@h", f"starts with valkey://, another program's form; write {REDIS_FORM}"),
        ("redis-sentinel://h", f"starts with redis-sentinel:// where redis:// is needed; write {REDIS_FORM}"),
        ("redis://:hunter2@h/one", REDIS_DATABASE),
        ("redis://:hunter2@h/-1", REDIS_DATABASE),
        ("redis://:hunter2@h/\N{ARABIC-INDIC DIGIT ONE}", REDIS_DATABASE),
        ("redis://hunter2@h", f"has a user but no password; write {REDIS_FORM}, or redis://:PASSWORD@HOST"),
        ("redis://", f"names no host; write {REDIS_FORM}"),
        ("redis://:hunter2@", f"names no host; write {REDIS_FORM}"),
        ("redis://:hunter2@h:-1", REDIS_NUMBER),
        ("redis://h/0/1", REDIS_SLASH),
        ("redis://h/0?db=1", REDIS_TAIL),
    ],
)  # fmt: skip
def test_refused_redis_urls(text: str, message: str) -> None:
    """The same for Redis. A single word before the @ counts as a password in the wrong place, not as a user."""
    with pytest.raises(ValueError, match="redis://") as caught:
        parse_redis(text)
    assert str(caught.value) == message
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("parse", [parse_mysql, parse_redis])
@given(before=st.text("mysql:/@?#[]%.h0 \n\té"), after=st.text("mysql:/@?#[]%.h0 \n\té"))
@settings(deadline=None, max_examples=150)
def test_no_message_contains_a_password(parse: Callable[[str], ServerUrl], before: str, after: str) -> None:
    """However a URL is mistyped around its password, no message contains the password."""
    scheme = "mysql" if parse is parse_mysql else "redis"
    shown = ""
    try:
        url = parse(f"{scheme}://{before}{SECRET}{after}")
    except ValueError as error:
        shown = str(error)
    else:
        if SECRET not in url.host + url.user + url.database:
            shown = f"{url} {url!r}"
    assert SECRET not in shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (SourceUrl("h", 3306, "u", SECRET, "d"), "mysql://u@h:3306/d"),
        (SourceUrl("::1", 3310, "ü@", SECRET, "a/b"), "mysql://%C3%BC%40@[::1]:3310/a%2Fb"),
        (TargetUrl("h", 6379, "", SECRET, "0"), "redis://h:6379/0"),
        (TargetUrl("h", 1, "u", SECRET, "2"), "redis://u@h:1/2"),
    ],
)
def test_a_url_is_shown_without_its_password(url: ServerUrl, shown: str) -> None:
    """str, repr and format have no password, also inside of other objects."""
    assert str(url) == f"{url}" == shown
    assert repr(url) == f"<{shown}>"
    assert SECRET not in repr([url]) + repr({"url": url})


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@given(texts, st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=12), texts, st.integers(1, 65535))
@settings(deadline=None)
def test_a_written_url_is_parsed_again(user: str, password: str | None, database: str, port: int) -> None:
    """A URL that is written with its password and parsed again is the same, whatever characters it has."""
    url = SourceUrl("db.example", port, user, password, database)
    assert parse_mysql(url.with_password()) == url
