"""The main job over TLS and over a unix socket: every key, no password anywhere, and one line for what does not fit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.certificates import TlsRedis
from tests.harness import Result, World, by_id, wait_until

SECRET = "s3cret-of-redis"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsRedis]:
    """A Redis that asks every client for a certificate."""
    server = TlsRedis(tmp_path_factory.mktemp("tls"), "--tls-auth-clients", "yes", "--unixsocket", "redis.sock")
    server.start()
    yield server
    server.stop(kill=True)


@pytest.fixture
def secured(world: World, tls: TlsRedis) -> Iterator[World]:
    """A world with that Redis; the tests' own reader uses its plain port."""
    before, world.redis = world.redis, tls.url
    world.target().flushdb()
    world.target().acl_setuser("loader", enabled=True, passwords=[f"+{SECRET}"], keys=["*"], commands=["+@all"])
    yield world
    world.redis = before


@pytest.fixture
def small(world: World) -> str:
    """A table of a few rows."""
    world.make_table("few", "id INT PRIMARY KEY, name VARCHAR(20)")
    world.execute("INSERT INTO few VALUES (1, 'a'), (2, 'b')")
    return "few"


def with_login(tls: TlsRedis, url: str) -> str:
    """The URL with user and password."""
    return url.replace("://", f"://loader:{SECRET}@")


def test_200_000_users_over_tls(secured: World, users_200k: str, tls: TlsRedis) -> None:
    """With a client certificate, as a user with a password: every key, then verify, which needs no flag of TLS again.
    The password is in no file, no title and no output."""
    url = with_login(tls, str(tls.tls_url))
    flags = [word if word != str(tls.tls_url) else url for word in tls.flags]
    running = secured.start(
        "run", "--table", users_200k, "--key", "user:{id}", "--workers", "2", "--job", "j", "--rate", "150000",
        "--verbose", *flags, job="j",
    )  # fmt: skip
    running.wait_for_ranges(1)
    titles = b"".join(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in [running.process.pid, *running.workers()])
    users_of = [client["user"] for client in secured.target().client_list()]
    done = running.finish()
    assert done.code == 0, done.err
    assert secured.assert_exact(users_200k, by_id) == 200_000
    assert "loader" in users_of
    told = secured.run("verify", "j", SHARDLOAD_REDIS_URL=url)
    assert told.code == 0, told.err
    assert "200,000 rows compared: 0 missing, 0 different" in told.out
    log = secured.run("log", "j").out
    assert f"to rediss://loader@127.0.0.1:{tls.tls_port}/0" in log
    assert b"worker j #" in titles
    files = b"".join(file.read_bytes() for file in secured.state_dir.rglob("*") if file.is_file())
    for text in (titles.decode(), log, done.out, done.err, told.out, told.err, files.decode("utf-8", "replace")):
        assert SECRET not in text
    assert "PRIVATE KEY" not in files.decode("utf-8", "replace")


def test_a_killed_job_is_resumed_over_tls(secured: World, many_users: str, tls: TlsRedis) -> None:
    """The flags are stored, the password is not."""
    url = with_login(tls, str(tls.tls_url))
    flags = [word if word != str(tls.tls_url) else url for word in tls.flags]
    words = ["--table", many_users, "--key", "user:{id}", "--range-rows", "10000", "--rate", "60000", "--job", "j"]
    running = secured.start("run", *words, *flags, job="j")
    running.wait_for_ranges(3)
    running.process.kill()
    running.finish()
    missing = secured.run("resume", "j", SHARDLOAD_REDIS_URL="")
    assert missing.code == 2
    assert "had a password" in missing.err
    again = secured.run("resume", "j", "--rate", "off", SHARDLOAD_REDIS_URL=url)
    assert again.code == 0, again.err
    assert secured.assert_exact(many_users, by_id) == 100_000


def assert_refused(world: World, done: Result, code: int, *fragments: str) -> None:
    """One line with these words; no key, no job and no connection is left."""
    assert done.code == code, done.err
    assert done.out == ""
    assert len(done.err.splitlines()) == 1, done.err
    for fragment in fragments:
        assert fragment in done.err
    assert SECRET not in done.err
    assert not list(world.state_dir.glob("*"))
    assert world.target().dbsize() == 0
    wait_until(lambda: len(world.target().client_list()) == 1, "no connection is left")


@pytest.mark.parametrize("case", ["wrong", "none", "unknown authority", "no TLS", "wrong host"])
def test_what_does_not_fit_is_one_line(secured: World, small: str, tls: TlsRedis, case: str) -> None:
    """Exit 3, the cause and the flag; `doctor` says the same."""
    flags, plain = tls.flags, f"redis://127.0.0.1:{tls.tls_port}/0"
    strange = tls.stranger.issue("strange")
    wrong = [*flags[:4], "--redis-cert", str(strange.cert), "--redis-key", str(strange.key)]
    words, fragments = {
        "wrong": (wrong, ["does not know who signed the client certificate", "--redis-cert"]),
        "none": (flags[:4], ["asks for a client certificate", "--redis-cert FILE --redis-key FILE"]),
        "unknown authority": ([*flags, "--redis-cacert", str(tls.stranger.cert)], ["not trusted", "--redis-cacert"]),
        "no TLS": (["--redis", plain], ["expects TLS", "rediss://"]),
        "wrong host": ([*flags, "--redis-sni", "x.example"], ["not for this host", "--redis-sni"]),
    }[case]
    assert_refused(secured, secured.run("run", "--table", small, *words), 3, *fragments)
    examined = secured.run("doctor", *words)
    assert examined.code == 3
    line = next(line for line in examined.out.splitlines() if line.startswith("problem  Redis: "))
    assert all(fragment in line for fragment in fragments)


def test_doctor_and_plan_over_tls(secured: World, small: str, tls: TlsRedis) -> None:
    """They take the same flags."""
    examined = secured.run("doctor", *tls.flags, "--table", small)
    assert examined.code == 0, examined.out
    assert "RESTORE and DEL work on a scratch key" in examined.out
    assert secured.run("plan", "--table", small, *tls.flags).code == 0
    wrong = secured.run("doctor", *tls.flags, "--redis-map", "x")
    assert "--redis-map should be addresses" in wrong.out


@pytest.mark.parametrize("encoding", ["restore", "commands"])
def test_a_unix_socket(secured: World, users_200k: str, tls: TlsRedis, encoding: str) -> None:
    """The whole job, as a user with a password in the query, into another database."""
    path = tls.directory / "redis.sock"
    url = f"unix://{path}?db=3&username=loader&password={SECRET}"
    words = ["--table", users_200k, "--key", "user:{id}", "--encoding", encoding, "--job", "j", "--json"]
    done = secured.run("run", *words, SHARDLOAD_REDIS_URL=url)
    assert done.code == 0, done.err
    assert done.summary["keys_written"] == 200_000
    secured.redis = type(tls.url)(tls.url.host, tls.url.port, "", None, "3")
    assert secured.assert_exact(users_200k, by_id) == 200_000
    told = secured.run("verify", "j", SHARDLOAD_REDIS_URL=url)
    assert told.code == 0, told.err
    assert f"unix://loader@{path}?db=3" in secured.run("log", "j").out
    secured.target().flushdb()
    files = b"".join(file.read_bytes() for file in secured.state_dir.rglob("*") if file.is_file())
    assert SECRET.encode() not in files


def test_a_typed_password_is_hidden_at_once(secured: World, small: str, tls: TlsRedis) -> None:
    """Also one in the query of a unix socket's URL: the command line in /proc loses it before anything slow."""
    secured.execute("INSERT INTO few SELECT 10 + id, name FROM few")
    url = f"unix://{tls.directory / 'redis.sock'}?username=loader&password={SECRET}"
    running = secured.start("run", "--table", small, "--rate", "1", "--range-rows", "1", "--redis", url, job="j")
    title = Path(f"/proc/{running.process.pid}/cmdline")
    wait_until(lambda: SECRET.encode() not in title.read_bytes(), "the password is hidden")
    running.signal(15)
    running.finish()
    assert os.environ.get("SHARDLOAD_REDIS_URL") is None
