"""URLs: parsed, decoded, refused, and always shown without their passwords."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardload.config.addresses import parse_address, parse_map
from shardload.config.redisurl import CLUSTER_FORM, SENTINEL_FORM, SOCKET_FORM
from shardload.config.urls import (
    MYSQL_FORM,
    MYSQL_SOCKET_FORM,
    REDIS_FORM,
    REDIS_FORMS,
    Address,
    ServerUrl,
    SourceUrl,
    TargetUrl,
    TlsRules,
    add_password,
    parse_mysql,
    parse_redis,
    read_mysql,
)

SECRET = "hunter2"

MYSQL_TAIL = f"has text after '#', which means nothing (write '%23' for '#'); write {MYSQL_FORM}"
MYSQL_QUERY = (
    f"has something after '?' that is not socket= (write '%3F' for '?'); write {MYSQL_FORM} or {MYSQL_SOCKET_FORM}"
)
MYSQL_TWO = f"names a host and a socket; write {MYSQL_FORM} or {MYSQL_SOCKET_FORM}"
MYSQL_PATH = f"names no absolute path of a socket; write {MYSQL_SOCKET_FORM}"
MYSQL_CODE = f"cannot be understood (percent-encode special characters); write {MYSQL_FORM}"
MYSQL_NUMBER = f"has a port that is not a number from 1 to 65535; write {MYSQL_FORM}"
MYSQL_SLASH = f"has more than one '/' after the host (write '%2F' inside a name); write {MYSQL_FORM}"
REDIS_NUMBER, REDIS_SLASH = (text.replace(MYSQL_FORM, REDIS_FORM) for text in (MYSQL_NUMBER, MYSQL_SLASH))
REDIS_TAIL = f"has text after '?' or '#', which is not supported (write '%23' for '#'); write {REDIS_FORM}"
REDIS_DATABASE = f"has a database that is not a number; write {REDIS_FORM}"
REDIS_HOST = f"names no host; write {REDIS_FORM}"
SOCKET_QUERY = (
    "has something after '?' that is not db= or database= or username= or password= (write '%26' for '&'); "
    f"write {SOCKET_FORM}"
)
SENTINEL_MASTER = f"names no master; write {SENTINEL_FORM}"


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
        ("mysql://u:p@localhost/d?socket=/r/my.sock", SourceUrl("localhost", 0, "u", "p", "d", socket="/r/my.sock")),
        ("mysql://u@/d?socket=/run/my.sock", SourceUrl("localhost", 0, "u", None, "d", socket="/run/my.sock")),
        ("mysql://u@/d?socket=%2Fa%20b%2Fc%3Fd", SourceUrl("localhost", 0, "u", None, "d", socket="/a b/c?d")),
    ],
)  # fmt: skip
def test_mysql_urls(text: str, url: SourceUrl) -> None:
    """User, password and database are percent-decoded; the default port is 3306."""
    assert parse_mysql(text) == url


NODES = (Address("b", 6379), Address("::1", 7003))
CLUSTER = TargetUrl("a", 7001, "", None, "0", kind="cluster", more=NODES)
SENTINELS = TargetUrl(
    "a", 26379, "", None, "0", kind="sentinel", service="mymaster", more=(Address("b", 26380), Address("c", 26379))
)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("redis://h", TargetUrl("h", 6379, "", None, "0")),
        ("redis://h/", TargetUrl("h", 6379, "", None, "0")),
        ("redis://H:7000/3", TargetUrl("h", 7000, "", None, "3")),
        ("redis://h/03", TargetUrl("h", 6379, "", None, "3")),
        ("redis://:p%40w@h", TargetUrl("h", 6379, "", "p@w", "0")),
        ("redis://u:p@h/15", TargetUrl("h", 6379, "u", "p", "15")),
        ("redis://[::1]:6380", TargetUrl("::1", 6380, "", None, "0")),
        ("redis://[FE80::1%25eth0]", TargetUrl("fe80::1%eth0", 6379, "", None, "0")),
        ("REDIS://h", TargetUrl("h", 6379, "", None, "0")),
        ("valkey://u:p@h:1/2", TargetUrl("h", 1, "u", "p", "2")),
        ("rediss://h", TargetUrl("h", 6379, "", None, "0", tls=TlsRules())),
        ("valkeys://:a:b@h:1/2", TargetUrl("h", 1, "", "a:b", "2", tls=TlsRules())),
        ("unix:///run/redis.sock", TargetUrl("", 0, "", None, "0", path="/run/redis.sock")),
        ("unix:///run/a%20b.sock?db=3", TargetUrl("", 0, "", None, "3", path="/run/a b.sock")),
        ("unix://u@/r.sock?db=1&password=a+b%26c", TargetUrl("", 0, "u", "a+b&c", "1", path="/r.sock")),
        ("unix://u:p@/r.sock", TargetUrl("", 0, "u", "p", "0", path="/r.sock")),
        ("unix:///r.sock?username=u&password=", TargetUrl("", 0, "u", "", "0", path="/r.sock")),
        ("redis-socket://:p@/r.sock?database=2", TargetUrl("", 0, "", "p", "2", path="/r.sock")),
        ("redis+socket:///r.sock", TargetUrl("", 0, "", None, "0", path="/r.sock")),
        ("redis+cluster://a:7001,b,[::1]:7003", CLUSTER),
        ("redis-cluster://a:7001,b,[::1]:7003/", CLUSTER),
        ("valkey+cluster://u:p@a:7001,b,[::1]:7003/1", replace(CLUSTER, user="u", password="p", database="1")),
        ("rediss+cluster://a:7001,b,[::1]:7003/0", replace(CLUSTER, tls=TlsRules())),
        ("valkeys+cluster://:,@a:7001,b,[::1]:7003", replace(CLUSTER, password=",", tls=TlsRules())),
        ("redis+sentinel://a,b:26380,c/mymaster/0", SENTINELS),
        ("redis+sentinel://a,b:26380,c/mymaster", SENTINELS),
        ("redis-sentinel://a,b:26380,c?sentinelMasterId=mymaster", SENTINELS),
        ("redis-sentinel://a,b:26380,c/0?sentinelMasterId=mymaster", SENTINELS),
        ("redis-sentinel://a,b:26380,c/0#mymaster", SENTINELS),
        ("redis-sentinel://a,b:26380,c#mymaster", SENTINELS),
        ("valkey-sentinel://a,b:26380,c/1?sentinelMasterId=m&database=2",
         replace(SENTINELS, service="m", database="2")),
        ("redis+sentinel://a,b:26380,c/7/1", replace(SENTINELS, service="7", database="1")),
        ("redis+sentinel://a,b:26380,c/my%2Fmaster%3F/1", replace(SENTINELS, service="my/master?", database="1")),
        ("rediss+sentinel://a,b:26380,c/mymaster", replace(SENTINELS, tls=TlsRules())),
        ("rediss-sentinel://u:p@a,b:26380,c/0#mymaster", replace(SENTINELS, user="u", password="p", tls=TlsRules())),
        ("redis+sentinel://a,b:26380,c/mymaster/0?sentinel_user=s&sentinel_password=p%40%26",
         replace(SENTINELS, sentinel_user="s", sentinel_password="p@&")),
        ("redis+sentinel://:x@a,b:26380,c/mymaster/0?sentinel_password=p",
         replace(SENTINELS, password="x", sentinel_password="p")),
    ],
)  # fmt: skip
def test_redis_urls(text: str, url: TargetUrl) -> None:
    """Only the host is needed; defaults are port 6379 (26379 of a Sentinel), database 0, no user and no password.
    Each program's way to write the same gives the same."""
    assert parse_redis(text) == url
    assert parse_redis(url.with_password()) == url


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
        ("unix://hunter2", f"starts with unix://, Redis's form for a unix socket; write {MYSQL_SOCKET_FORM}"),
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
        ("mysql://u:p@h/d?ssl=hunter2", MYSQL_QUERY),
        ("mysql://u:p?hunter2@h/d", MYSQL_QUERY),
        ("mysql://u:p@/d?socket=/s&ssl=hunter2", MYSQL_QUERY),
        ("mysql://u:p@/d?socket=hunter2", MYSQL_PATH),
        ("mysql://u:p@/d?socket=/hunter2%00", MYSQL_PATH),
        ("mysql://u:hunter2@h/d?socket=/s", MYSQL_TWO),
        ("mysql://u:hunter2@localhost:3306/d?socket=/s", MYSQL_TWO),
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
        ("hunter2", f"is not a URL; write {REDIS_FORMS}"),
        ("mysql://u:hunter2@h/d", f"starts with mysql:// where redis:// is needed; write {REDIS_FORMS}"),
        ("redis+tls://:hunter2@h", f"starts with redis+tls:// where redis:// is needed; write {REDIS_FORMS}"),
        ("rediss-socket:///r.sock", f"starts with rediss-socket:// where redis:// is needed; write {REDIS_FORMS}"),
        ("hun+ter+2://h", f"does not start with redis://; write {REDIS_FORMS}"),
        ("sentinel://h", f"starts with sentinel:// where redis:// is needed; write {REDIS_FORMS}"),
        ("redis://:hunter2@a,b", f"names several hosts; write {CLUSTER_FORM} or {SENTINEL_FORM}"),
        ("redis://:hunter2@a,", REDIS_HOST),
        ("redis://:hunter2@a%2Fb", REDIS_HOST),
        ("redis://:hunter2@[h]", f"cannot be understood (percent-encode special characters); write {REDIS_FORM}"),
        ("redis://:hunter2@[::1", f"cannot be understood (percent-encode special characters); write {REDIS_FORM}"),
        ("redis://:hunter2@[::1%25a%2Fb]",
         f"cannot be understood (percent-encode special characters); write {REDIS_FORM}"),
        ("redis://:hunter2@[::1%25a%20b]", REDIS_HOST),
        ("redis://h:1:2", REDIS_NUMBER),
        ("redis://h/9999999999", REDIS_DATABASE),
        ("redis+cluster://:hunter2@", f"names no host; write {CLUSTER_FORM}"),
        ("redis+cluster://:hunter2@h/0/1", REDIS_SLASH.replace(REDIS_FORM, CLUSTER_FORM)),
        ("redis+cluster://:hunter2@h?db=1", REDIS_TAIL.replace(REDIS_FORM, CLUSTER_FORM)),
        ("redis+sentinel://:hunter2@h", SENTINEL_MASTER),
        ("redis+sentinel://:hunter2@h/0", SENTINEL_MASTER),
        ("redis+sentinel://h/m/0/hunter2", REDIS_SLASH.replace(REDIS_FORM, SENTINEL_FORM)),
        ("redis+sentinel://h/m/hunter2", REDIS_DATABASE.replace(REDIS_FORM, SENTINEL_FORM)),
        ("redis+sentinel://h/m?sentinel_user=hunter2",
         f"has a sentinel_user but no sentinel_password; write {SENTINEL_FORM}"),
        ("redis+sentinel://h/m?timeout=hunter2", None),
        ("redis+sentinel://h/m?sentinel_password=hunter2&sentinel_password=hunter2", None),
        ("unix://", f"names no path; write {SOCKET_FORM}"),
        ("unix:///", f"names no path; write {SOCKET_FORM}"),
        ("unix://run/hunter2", f"names a host; the path of a unix socket begins with '/'; write {SOCKET_FORM}"),
        ("unix://hunter2@/r", f"has a user but no password; write {SOCKET_FORM}, or redis://:PASSWORD@HOST"),
        ("unix:///r?password=a&hunter2", SOCKET_QUERY),
        ("unix:///r?hunter2=1", SOCKET_QUERY),
        ("unix:///r?db=hunter2", REDIS_DATABASE.replace(REDIS_FORM, SOCKET_FORM)),
        ("unix:///r#hunter2", REDIS_TAIL.replace(REDIS_FORM, SOCKET_FORM)),
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
def test_refused_redis_urls(text: str, message: str | None) -> None:
    """The same for Redis. A single word before the @ counts as a password in the wrong place, not as a user."""
    with pytest.raises(ValueError, match=r"write (redis|unix)") as caught:
        parse_redis(text)
    if message is not None:
        assert str(caught.value) == message
    assert SECRET not in "".join(traceback.format_exception(caught.value)).replace(f'parse_redis("{text}")', "")


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
        (
            SourceUrl("localhost", 0, "u", SECRET, "d", socket="/a b/@?"),
            "mysql://u@localhost/d?socket=/a%20b/%40%3F",
        ),
        (TargetUrl("h", 6379, "", SECRET, "0"), "redis://h:6379/0"),
        (TargetUrl("h", 1, "u", SECRET, "2"), "redis://u@h:1/2"),
        (TargetUrl("h", 1, "u", SECRET, "2", tls=TlsRules()), "rediss://u@h:1/2"),
        (TargetUrl("", 0, "u", SECRET, "2", path="/a b/@"), "unix://u@/a%20b/%40?db=2"),
        (replace(CLUSTER, user="u", password=SECRET), "redis+cluster://u@a:7001,b:6379,[::1]:7003/0"),
        (
            replace(SENTINELS, user="u", password=SECRET, sentinel_user="s", sentinel_password=SECRET, tls=TlsRules()),
            "rediss+sentinel://u@a:26379,b:26380,c:26379/mymaster/0?sentinel_user=s",
        ),
        (replace(SENTINELS, sentinel_password=SECRET), "redis+sentinel://a:26379,b:26380,c:26379/mymaster/0"),
    ],
)
def test_a_url_is_shown_without_its_password(url: ServerUrl, shown: str) -> None:
    """str, repr and format have no password, also inside of other objects."""
    assert str(url) == f"{url}" == shown
    assert repr(url) == f"<{shown}>"
    assert url.has_secret
    assert SECRET not in repr([url]) + repr({"url": url})


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@given(texts, st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=12), texts, st.integers(1, 65535))
@settings(deadline=None)
def test_a_written_url_is_parsed_again(user: str, password: str | None, database: str, port: int) -> None:
    """A URL that is written with its password and parsed again is the same, whatever characters it has."""
    url = SourceUrl("db.example", port, user, password, database)
    assert parse_mysql(url.with_password()) == url
    url = replace(url, host="localhost", port=0, socket="/" + user.replace("\0", ""))
    assert parse_mysql(url.with_password()) == url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("mysql:///d", SourceUrl("", 0, "", None, "d")),
        ("mysql://", SourceUrl("", 0, "", None, "")),
        ("mysql://h", SourceUrl("h", 0, "", None, "")),
        ("mysql://u@:1/d", SourceUrl("", 1, "u", None, "d")),
        ("mysql://:p@/", SourceUrl("", 0, "", "p", "")),
    ],
)
def test_a_url_that_a_file_completes(text: str, url: SourceUrl) -> None:
    """Any part may be missing, and is shown so."""
    assert read_mysql(text) == url
    assert read_mysql(url.with_password()) == url


hosts = st.from_regex(r"[a-z0-9][a-z0-9.-]{0,8}", fullmatch=True) | st.ip_addresses(v=6).map(str)
addresses = st.builds(Address, hosts, st.integers(1, 65535))
secrets = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@st.composite
def redis_urls(draw: st.DrawFn) -> TargetUrl:
    """Any URL of Redis that the parser can give."""
    user, password = draw(st.tuples(texts, texts) | st.tuples(st.just(""), secrets))
    kind: Any = draw(st.sampled_from(["standalone", "sentinel", "cluster", "socket"]))
    first, database = draw(addresses), str(draw(st.integers(0, 999)))
    if kind == "socket":
        path = "/" + draw(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
        return TargetUrl("", 0, user, password, database, path=path)
    url = TargetUrl(first.host, first.port, user, password, database, tls=draw(st.sampled_from([None, TlsRules()])))
    if kind == "standalone":
        return url
    url = replace(url, kind=kind, more=tuple(draw(st.lists(addresses, max_size=3))))
    if kind == "cluster":
        return url
    user, password = draw(st.tuples(texts, texts) | st.tuples(st.just(""), secrets))
    return replace(url, service=draw(texts), sentinel_user=user, sentinel_password=password)


@given(redis_urls())
@settings(deadline=None)
def test_a_written_redis_url_is_parsed_again(url: TargetUrl) -> None:
    """With its passwords it is the same again, whatever characters it has; without them, another with that text."""
    assert parse_redis(url.with_password()) == url
    if not url.user and not url.sentinel_user:
        assert str(parse_redis(str(url))) == str(url)


@pytest.mark.parametrize("text", [
    "redis://h", "redis://h:1/2", "rediss://u@h", "unix:///r.sock?db=1", "unix://u@/r.sock",
    "redis+cluster://a,b:1", "redis+sentinel://u@a,b/m/0", "redis-sentinel://a,b?sentinelMasterId=m",
    "redis-sentinel://a,b/0#m",
])  # fmt: skip
def test_a_password_is_added_to_any_form(text: str) -> None:
    """That of a password file, with any characters; the rest does not change. One that is there already is refused."""
    with_one = add_password(text, "p@s/s:w?#%&=")
    url = parse_redis(with_one)
    assert url.password == "p@s/s:w?#%&="
    assert url.user == ("u" if "u@" in text else "")
    assert replace(url, user="", password=None) == parse_redis(text.replace("u@", ""))
    with pytest.raises(ValueError, match="has a password already"):
        add_password(with_one, "p")


def test_a_password_in_the_query_is_one() -> None:
    """A unix socket's URL may have it there; the Sentinels' own is another one."""
    with pytest.raises(ValueError, match="has a password already"):
        add_password("unix:///r.sock?db=0&password=x", "p")
    assert parse_redis(add_password("redis+sentinel://h/m?sentinel_password=x", "p")).password == "p"


def test_one_server_of_several() -> None:
    """A node has the URL's user, password, database and TLS; a Sentinel has its own user. Addresses are mapped."""
    rules = TlsRules(sni="x")
    outside = ((Address("10.0.0.1", 6379), Address("localhost", 7001)),)
    url = replace(
        SENTINELS,
        user="u",
        password="p",
        database="3",
        sentinel_user="s",
        sentinel_password="q",
        tls=rules,
        map=outside,
    )
    node = TargetUrl("n", 1, "u", "p", "3", tls=rules, map=outside)
    assert url.at(Address("n", 1)) == node
    assert url.at(Address("10.0.0.1", 6379)) == replace(node, host="localhost", port=7001)
    assert url.sentinel_at(url.addresses[1]) == TargetUrl("b", 26380, "s", "q", "0", tls=rules, map=outside)
    socket = TargetUrl("", 0, "u", "p", "1", path="/r.sock")
    assert socket.at(socket.addresses[0]) == socket
    assert socket.at(Address("n", 1)) == TargetUrl("n", 1, "u", "p", "1")


@pytest.mark.parametrize(
    ("text", "address"),
    [("h:1", Address("h", 1)), (" [::1]:65535", Address("::1", 65535)), ("10.0.0.1:6379", Address("10.0.0.1", 6379))],
)
def test_addresses(text: str, address: Address) -> None:
    """Host and port, as they are written again."""
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize("text", ["", "h", "h:", ":1", "h:0", "h:65536", "::1", "[::1]", "h:1:2", "[x]:1"])
def test_refused_addresses(text: str) -> None:
    """The form is in the message."""
    with pytest.raises(ValueError, match="write HOST:PORT"):
        parse_address(text)


def test_a_map_of_addresses() -> None:
    """Pairs; what is asked first is the address that a server names."""
    inside, outside = Address("10.0.0.1", 6379), Address("localhost", 7001)
    assert parse_map("10.0.0.1:6379=localhost:7001") == ((inside, outside),)
    assert parse_map("10.0.0.1:6379=localhost:7001, [::1]:1=[::2]:2") == (
        (inside, outside),
        (Address("::1", 1), Address("::2", 2)),
    )
    assert parse_map(" ") == ()


@pytest.mark.parametrize(
    "text", ["a:1", "a:1=", "a:1=b", "=a:1", "a=b:1", "a:1=b:1,", "a:1=b:1=c:1", "a:1=b:1,a:1=c:1"]
)
def test_refused_maps(text: str) -> None:
    """One that says nothing, or two things about one address."""
    with pytest.raises(ValueError, match=r"should be addresses such as|names an address twice"):
        parse_map(text)
