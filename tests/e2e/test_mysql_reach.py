"""The main job from a MySQL that is reached over TLS, by a unix socket, over IPv6, or as a defaults file says: every
key, no password anywhere, and one line for what does not fit. And a server whose settings would spoil results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from shardload.config.urls import SourceUrl
from shardload.sandbox import seed
from tests.certificates import TlsMysql
from tests.harness import Result, World, by_id

SECRET = "s3cret-of-mysql"
ROWS = 30_000
SPOILING = {
    "sql_mode": "'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT,PAD_CHAR_TO_FULL_LENGTH,NO_UNSIGNED_SUBTRACTION'",
    "sql_select_limit": "7", "sql_safe_updates": "1", "max_join_size": "3", "sql_big_selects": "0",
    "sql_auto_is_null": "1", "time_zone": "'+05:00'", "character_set_server": "latin1", "autocommit": "0",
    "tx_isolation": "'SERIALIZABLE'", "sql_quote_show_create": "0", "max_statement_time": "0.001",
    "net_write_timeout": "1", "wait_timeout": "1", "read_only": "1",
}  # fmt: skip


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsMysql]:
    """A MySQL that offers TLS, with synthetic users, and with a user who has to show a certificate."""
    server = TlsMysql(tmp_path_factory.mktemp("tls"), "--bind-address=127.0.0.1,::1")
    server.start()
    seed(server.url, "user", ROWS, 1, lambda _: None)
    World(server.url, None, Path()).execute(  # type: ignore[arg-type]  # no Redis is needed
        f"CREATE USER reader@'%' IDENTIFIED BY '{SECRET}' REQUIRE X509", "GRANT SELECT ON app.* TO reader@'%'",
        f"CREATE USER open@'%' IDENTIFIED BY '{SECRET}'", "GRANT SELECT ON app.* TO open@'%'",
    )  # fmt: skip
    yield server
    server.stop(kill=True)


@pytest.fixture
def secured(world: World, tls: TlsMysql) -> Iterator[World]:
    """A world with that MySQL."""
    before, world.mysql = world.mysql, tls.url
    yield world
    world.mysql = before


def as_user(url: SourceUrl, user: str) -> str:
    """The URL of one of the server's users, with the password."""
    return replace(url, user=user, password=SECRET).with_password()


def certificates(tls: TlsMysql, mode: str = "VERIFY_IDENTITY") -> list[str]:
    """The flags that fit."""
    return [
        "--mysql-ssl-mode", mode, "--mysql-ssl-ca", str(tls.authority.cert),
        "--mysql-ssl-cert", str(tls.client_pair.cert), "--mysql-ssl-key", str(tls.client_pair.key),
    ]  # fmt: skip


def my_cnf(tmp_path: Path, *lines: str) -> str:
    """A defaults file's path."""
    file = tmp_path / "my.cnf"
    file.write_text("\n".join(["[client]", *lines]))
    return str(file)


def assert_told_nowhere(world: World, *told: Result) -> None:
    """The password is in no file of the job, and in no output."""
    files = b"".join(file.read_bytes() for file in world.state_dir.rglob("*") if file.is_file())
    for text in (files.decode("utf-8", "replace"), *(one.out + one.err for one in told)):
        assert SECRET not in text
        assert "PRIVATE KEY" not in text


def test_over_tls(secured: World, tls: TlsMysql) -> None:
    """With a client certificate, and the server's checked: every key, then verify, which needs no flag of TLS again."""
    url = as_user(tls.url, "reader")
    done = secured.run("run", "--table", "user", "--key", "user:{id}", "--job", "j", "--workers", "2",
                       *certificates(tls), SHARDLOAD_MYSQL_URL=url)  # fmt: skip
    assert done.code == 0, done.err
    assert secured.assert_exact("user", by_id) == ROWS
    told = secured.run("verify", "j", SHARDLOAD_MYSQL_URL=url)
    assert told.code == 0, told.err
    assert f"{ROWS:,} rows compared: 0 missing, 0 different" in told.out
    assert_told_nowhere(secured, done, told)


def test_a_killed_job_goes_on_with_its_defaults_file(secured: World, tls: TlsMysql, tmp_path: Path) -> None:
    """The file says server, user, password and TLS; resume and verify need neither a URL nor a flag. A file that has
    gone is one line."""
    pair = tls.client_pair
    file = my_cnf(
        tmp_path, "user=reader", f"password='{SECRET}'", "host=127.0.0.1", f"port={tls.port}", f"ssl-cert={pair.cert}",
        f"ssl-key={pair.key}", f"ssl-ca={tls.authority.cert}", "ssl-mode=VERIFY_IDENTITY", "database=app",
    )  # fmt: skip
    words = ["--table", "user", "--key", "user:{id}", "--range-rows", "2000", "--rate", "20000", "--job", "j"]
    running = secured.start("run", *words, "--mysql-defaults-file", file, job="j", SHARDLOAD_MYSQL_URL="")
    running.wait_for_ranges(3)
    running.process.kill()
    running.finish()
    Path(file).rename(tmp_path / "away.cnf")
    gone = secured.run("resume", "j", SHARDLOAD_MYSQL_URL="")
    assert gone.code == 2
    assert f"cannot read {file}: No such file or directory" in gone.err
    (tmp_path / "away.cnf").rename(file)
    again = secured.run("resume", "j", "--rate", "off", SHARDLOAD_MYSQL_URL="")
    assert again.code == 0, again.err
    assert secured.assert_exact("user", by_id) == ROWS
    told = secured.run("verify", "j", SHARDLOAD_MYSQL_URL="")
    assert told.code == 0, told.err
    assert f"mysql://reader@127.0.0.1:{tls.port}/app" in secured.run("log", "j").out
    assert_told_nowhere(secured, gone, again, told)


@pytest.mark.parametrize("way", ["the URL's socket", "the file's socket", "IPv6", "required by the socket"])
def test_other_ways(secured: World, tls: TlsMysql, tmp_path: Path, way: str) -> None:
    """The whole job, and verify."""
    by_socket, by_six = tls.by_socket, replace(tls.url, host="::1")
    url, words = {
        "the URL's socket": (by_socket, []),
        "the file's socket": (None, ["--mysql-defaults-file", my_cnf(
            tmp_path, "user=open", f"password={SECRET}", f"socket={tls.socket}")]),
        "IPv6": (by_six, []),
        "required by the socket": (by_socket, ["--mysql-ssl-mode", "REQUIRED"]),
    }[way]  # fmt: skip
    typed = as_user(url, "open") if url else "mysql:///app"
    words = ["--table", "user", "--key", "user:{id}", "--job", "j", *words]
    done = secured.run("run", *words, SHARDLOAD_MYSQL_URL=typed)
    assert done.code == 0, done.err
    assert secured.assert_exact("user", by_id) == ROWS
    assert secured.run("verify", "j", SHARDLOAD_MYSQL_URL=typed).code == 0
    shown = str(replace(url or by_socket, user="open"))
    assert f"{shown} to redis" in secured.run("log", "j").out
    assert_told_nowhere(secured, done)


def misfit(case: str, tls: TlsMysql) -> tuple[str, list[str], list[str]]:
    """URL, flags, and words of the error."""
    strange = tls.stranger.issue("strange")
    reader, plain = as_user(tls.url, "reader"), as_user(tls.url, "open")
    fitting = certificates(tls)
    cases: dict[str, tuple[str, list[str], list[str]]] = {
        "unknown authority": (plain, ["--mysql-ssl-ca", str(tls.stranger.cert)], ["not trusted", "--mysql-ssl-ca"]),
        "the system's authorities": (plain, ["--mysql-ssl-mode", "VERIFY_CA"], ["not trusted", "--mysql-ssl-ca"]),
        "wrong host": (
            as_user(replace(tls.url, host="::1"), "open"), fitting[:4], ["not for this host", "VERIFY_CA"],
        ),
        "no certificate": (reader, fitting[:4], ["Access denied", "--mysql-ssl-cert"]),
        "unknown certificate": (
            reader, [*fitting[:4], "--mysql-ssl-cert", str(strange.cert), "--mysql-ssl-key", str(strange.key)],
            ["does not know who signed the client certificate", "--mysql-ssl-cert"],
        ),
        "no TLS for a user who needs it": (
            reader, ["--mysql-ssl-mode", "disabled"], ["Access denied", "--mysql-ssl-mode"],
        ),
        "no such socket": (
            as_user(replace(tls.by_socket, socket="/nowhere.sock"), "open"), [], ["no such socket", "socket="],
        ),
    }  # fmt: skip
    return cases[case]


MISFITS = [
    "unknown authority", "the system's authorities", "wrong host", "no certificate", "unknown certificate",
    "no TLS for a user who needs it", "no such socket",
]  # fmt: skip


@pytest.mark.parametrize("case", MISFITS)
def test_what_does_not_fit_is_one_line(secured: World, tls: TlsMysql, case: str) -> None:
    """Exit 3, the cause and the flag; `plan` and `doctor` say the same; no job is left."""
    url, words, fragments = misfit(case, tls)
    for command in ("run", "plan"):
        done = secured.run(command, "--table", "user", "--give-up-after", "0s", *words, SHARDLOAD_MYSQL_URL=url)
        assert_one_line(done, 3, *fragments)
    assert not list(secured.state_dir.glob("*"))
    examined = secured.run("doctor", *words, SHARDLOAD_MYSQL_URL=url)
    assert examined.code == 3
    line = next(line for line in examined.out.splitlines() if line.startswith("problem  MySQL: "))
    assert all(fragment in line for fragment in fragments)
    assert SECRET not in examined.out


def test_a_job_whose_certificates_no_longer_fit(secured: World, tls: TlsMysql) -> None:
    """Resume and verify say it in one line, and both go on with the right flag."""
    url = as_user(tls.url, "reader")
    words = ["--table", "user", "--key", "user:{id}", "--range-rows", "1000", "--rate", "5000", "--job", "j"]
    running = secured.start("run", *words, *certificates(tls), job="j", SHARDLOAD_MYSQL_URL=url)
    running.wait_for_ranges(1)
    running.process.kill()
    running.finish()
    wrong = ["--mysql-ssl-ca", str(tls.stranger.cert)]
    for command in ("resume", "verify"):
        assert_one_line(secured.run(command, "j", *wrong, SHARDLOAD_MYSQL_URL=url), 3, "not trusted", "--mysql-ssl-ca")
    done = secured.run("resume", "j", "--rate", "off", SHARDLOAD_MYSQL_URL=url)
    assert done.code == 0, done.err
    assert secured.assert_exact("user", by_id) == ROWS


def test_a_server_without_tls(world: World, few_users: str) -> None:
    """Is refused where TLS is required, and no password is sent to it."""
    for mode in ("REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY"):
        done = world.run("run", "--table", few_users, "--mysql-ssl-mode", mode)
        assert_one_line(done, 3, f"MySQL offers no TLS, and the ssl-mode is {mode}", "--mysql-ssl-mode")
    assert not list(world.state_dir.glob("*"))


def assert_one_line(done: Result, code: int, *fragments: str) -> None:
    """One line on standard error, with these words and without the password."""
    assert done.code == code, done.err
    assert len(done.err.splitlines()) == 1, done.err
    for fragment in fragments:
        assert fragment in done.err, done.err
    assert SECRET not in done.err


def test_doctor_tells_of_tls(secured: World, tls: TlsMysql) -> None:
    """Whether there is any, and what of the certificate was checked."""
    for words, told in (
        ([], ", its certificate is not checked"),
        (certificates(tls)[2:], ", its certificate is checked, but not its host"),
        (certificates(tls), ", its certificate is checked"),
        (["--mysql-ssl-mode", "disabled"], "MariaDB-0"),
    ):
        done = secured.run("doctor", "--table", "user", *words)
        assert done.code == 0, done.out
        line = next(line for line in done.out.splitlines() if line.startswith("ok       MySQL: "))
        assert told in line
        assert ("TLSv1" in line) == ("certificate" in told)
        assert line.endswith(told) or told == "MariaDB-0"


def test_doctor_and_plan_with_a_defaults_file(secured: World, tls: TlsMysql, tmp_path: Path) -> None:
    """Without a URL: the file says it all. A wrong password is said to be the file's."""
    lines = ["user=open", "host=127.0.0.1", f"port={tls.port}", "database=app"]
    file = my_cnf(tmp_path, *lines, f"password={SECRET}")
    for command in ("doctor", "plan"):
        done = secured.run(command, "--table", "user", "--mysql-defaults-file", file, SHARDLOAD_MYSQL_URL="")
        assert done.code == 0, done.out + done.err
        assert f"mysql://open@127.0.0.1:{tls.port}/app" in done.out
        assert SECRET not in done.out
    my_cnf(tmp_path, *lines, "password=wrong")
    done = secured.run("plan", "--table", "user", "--mysql-defaults-file", file, SHARDLOAD_MYSQL_URL="")
    assert_one_line(done, 3, "Access denied", "check user and password in --mysql-defaults-file")


def test_settings_that_would_spoil_results(secured: World) -> None:
    """A read-only server whose global settings cut, refuse or change what a client sees by default: every key is exact,
    and verify agrees."""
    secured.make_table(
        'odd"\\name', "id INT PRIMARY KEY, fixed CHAR(20), text VARCHAR(40) CHARACTER SET latin1, at TIMESTAMP NULL"
    )
    rows = ", ".join(f"({number}, 'f{number}', 'back\\\\\\\\slash \\\\'{number}\\\\' ä', '2020-06-01 00:00:00')"
                     for number in range(1, 5001))  # fmt: skip
    rows = rows.replace("\\\\", "\\")
    secured.execute(
        f'INSERT INTO `odd"\\name` VALUES {rows}', "INSERT INTO `odd\"\\name` VALUES (9999, '', NULL, NULL)"
    )
    before = dict(zip(SPOILING, secured.execute("SELECT " + ", ".join(f"@@GLOBAL.{name}" for name in SPOILING))[0],
                      strict=True))  # fmt: skip
    with secured.sql() as cursor:
        for name, value in SPOILING.items():
            cursor.execute(f"SET GLOBAL {name} = {value}")
        try:
            done = secured.run(
                "run", "--table", 'odd"\\name', "--key", "user:{id}", "--job", "j", "--range-rows", "700", "--json"
            )
            told = secured.run("verify", "j")
        finally:
            for name, was in before.items():
                value = was.decode()
                cursor.execute(f"SET GLOBAL {name} = " + (value if value.replace(".", "").isdigit() else f"'{value}'"))
    assert done.code == 0, done.err
    assert done.summary["ranges_retried"] == 0
    assert secured.assert_exact('odd"\\name', by_id) == 5001
    assert told.code == 0, told.err
