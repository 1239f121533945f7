"""Bad input and unreachable servers: one clear line, the right exit code, nothing left behind."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shardload.sandbox import RedisServer
from tests.harness import Result, World, processes_named, wait_until


def assert_refused(world: World, done: Result, code: int, *fragments: str) -> None:
    """One line on standard error with these words and no password; nothing on standard output; no job directory."""
    assert done.code == code, done.err
    assert done.out == ""
    assert len(done.err.splitlines()) == 1, done.err
    for fragment in fragments:
        assert fragment in done.err
    assert "secret" not in done.err
    assert world.mysql.password is None or world.mysql.password not in done.err
    assert not list(world.state_dir.glob("*"))


@pytest.fixture
def small(world: World) -> str:
    """A table with one row."""
    world.make_table("small", "id INT PRIMARY KEY, name VARCHAR(20)")
    world.execute("INSERT INTO small VALUES (1, 'a')")
    return "small"


@pytest.mark.parametrize(
    ("words", "code", "fragments"),
    [
        (["--mysql", "nonsense"], 2, ["--mysql is not a URL", "mysql://"]),
        (["--mysql", "mysql://u:secret@127.0.0.1:1/app"], 3, ["mysql://u@127.0.0.1:1/app", "refused"]),
        (["--mysql", "mysql://u:secret@127.0.0.1:notaport/app"], 2, ["--mysql", "port"]),
        (["--mysql", "postgres://u:secret@h/app"], 2, ["mysql:// is needed"]),
        (["--redis", "redis://127.0.0.1:1"], 3, ["redis://127.0.0.1:1/0", "refused"]),
        (["--redis", "redis+tls://:secret@h"], 2, ["redis+tls://", "rediss in place of redis"]),
        (["--redis", "redis://:secret@a,b"], 2, ["several hosts", "redis+cluster://"]),
        (["--redis", "redis+sentinel://:secret@h/0"], 2, ["names no master", "/MASTER/0"]),
        (["--redis", "unix:///r?password=secret&x"], 2, ["something after '?'", "unix:///PATH?db=0"]),
        (["--redis", "unix:///no/redis.sock?password=secret"], 3, ["unix:///no/redis.sock?db=0", "no such socket"]),
        (["--redis-insecure"], 2, ["--redis-insecure is about TLS", "rediss://"]),
        (["--redis-cert", "/c"], 2, ["--redis-cert is about TLS", "rediss://"]),
        (["--redis", "rediss://h", "--redis-cert", "/c"], 2, ["--redis-cert needs --redis-key"]),
        (["--redis", "rediss://h", "--redis-key", "/k"], 2, ["--redis-key needs --redis-cert"]),
        (["--redis", "rediss://h", "--redis-cacert", "/no.crt"], 2, ["--redis-cacert: there is no file /no.crt"]),
        (["--redis", "rediss://h", "--redis-cacertdir", "/etc"], 2, ["--redis-cacertdir", "openssl rehash /etc"]),
        (["--redis", "rediss://h", "--redis-cacert", ""], 2, ["--redis-cacert", "is empty"]),
        (["--redis-map", "a:1=b"], 2, ["--redis-map", "10.0.0.1:6379=localhost:7001"]),
        (["--table", "nobody"], 2, ["nobody", "doesn't exist", "--table"]),
        (["--columns", "id,nmae"], 2, ["'nmae'", "it has: id, name"]),
        (["--columns", "name,NAME"], 2, ["--columns", "column name twice"]),
        (["--columns", "id,ID,Id"], 2, ["--columns", "column id twice"]),
        (["--key", "user:{nmae}"], 2, ["--key", "'nmae'", "it has: id, name"]),
        (["--key", "user:{id"], 2, ["--key", "has no column name"]),
        (["--key", "constant"], 2, ["names no column"]),
        (["--workers", "0"], 2, ["--workers", "greater than or equal to 1"]),
        (["--workers", "many"], 2, ["--workers", "integer"]),
        (["--range-rows", "0"], 2, ["--range-rows"]),
        (["--ttl-jitter", "10%"], 2, ["--ttl-jitter", "needs a ttl"]),
        (["--null", "maybe"], 2, ["--null", "'omit', 'empty' or 'null'"]),
        (["--give-up-after", "soon"], 2, ["--give-up-after", "5m"]),
        (["--job", "../x"], 2, ["--job", "letters"]),
        (["--progress", "loud"], 2, ["--progress"]),
        (["--no-such-flag"], 2, ["--no-such-flag"]),
        (["/nowhere/job.toml"], 2, ["/nowhere/job.toml"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)  # fmt: skip
def test_bad_input(world: World, small: str, words: list[str], code: int, fragments: list[str]) -> None:
    """Each names its subject and the next step."""
    assert_refused(world, world.run("run", "--table", small, *words), code, *fragments)


def test_missing_urls(world: World) -> None:
    """The flag and the variable are named."""
    done = world.run("run", "--table", "x", SHARDLOAD_MYSQL_URL="")
    assert_refused(world, done, 2, "--mysql is missing", "SHARDLOAD_MYSQL_URL")


def test_wrong_mysql_password(world: World, small: str) -> None:
    """Refused by the server: exit 3."""
    url = f"mysql://{world.mysql.user}:secret@{world.mysql.host}:{world.mysql.port}/{world.mysql.database}"
    assert_refused(world, world.run("run", "--table", small, "--mysql", url), 3, "Access denied", "user and password")


def test_no_such_database(world: World, small: str) -> None:
    """A wrong name in the URL: exit 2."""
    url = world.mysql.with_password().rpartition("/")[0] + "/nosuch"
    assert_refused(world, world.run("run", "--table", small, "--mysql", url), 2, "Unknown database", "--mysql")


def test_no_right_to_read(world: World, small: str) -> None:
    """A MySQL user without SELECT on the table: exit 3, and what to grant."""
    world.execute(
        "DROP USER IF EXISTS 'blind'@'%'", "CREATE USER 'blind'@'%' IDENTIFIED BY 'secret'",
        f"CREATE TABLE IF NOT EXISTS `{world.mysql.database}`.seen (id INT PRIMARY KEY)",
        f"GRANT SELECT ON `{world.mysql.database}`.seen TO 'blind'@'%'",
    )  # fmt: skip
    world.tables.append("seen")
    url = f"mysql://blind:secret@{world.mysql.host}:{world.mysql.port}/{world.mysql.database}"
    try:
        assert_refused(world, world.run("run", "--table", small, "--mysql", url), 3, "small", "GRANT SELECT")
    finally:
        world.execute("DROP USER 'blind'@'%'")


def test_no_right_to_write(world: World, small: str) -> None:
    """A Redis user who may not HSET: exit 3, before anything begins."""
    admin = world.target()
    admin.acl_setuser("reader", enabled=True, passwords=["+secret"], keys=["*"], commands=["+@read", "+@connection"])
    try:
        url = f"redis://reader:secret@{world.redis.host}:{world.redis.port}/{world.redis.database}"
        assert_refused(world, world.run("run", "--table", small, "--redis", url), 3, "NOPERM", "ACL")
        wrong = url.replace("secret@", "secret2@")
        assert_refused(world, world.run("run", "--table", small, "--redis", wrong), 3, "user and password")
    finally:
        admin.acl_deluser("reader")


@pytest.mark.parametrize(
    ("words", "code", "fragment"),
    [
        (["--table", "seen"], 2, "seen is a view, which has no key of its own"),
        (["--table", "keyless"], 2, "--key is missing, and keyless has no unique index"),
        (["--table", "mysql.user"], 2, "put the database at the end of --mysql"),
        (["--table", "small", "--split-by", "name"], 2, "no index of table small begins with name"),
        (["--table", "small", "--where", "nmae = 1"], 2, "--where: the condition is refused: Unknown column 'nmae'"),
        (["--table", "small", "--where", "1 = 1) OR (1 = 1"], 2, "--where: the condition is refused"),
        (["--table", "small", "--where", "1, 0) OR IFNULL(1"], 2, "--where: the condition is refused"),
        (["--table", "small", "--where", ""], 2, "--where '' is empty"),
        (["--table", "small", "--time-zone", "Nowhere/City"], 2, "MySQL does not know 'Nowhere/City'"),
        (["--table", "small", "--time-zone", "10 o'clock"], 2, "should be a time zone such as +02:00"),
        (["--table", "small", "--query", "SELECT 1"], 2, "--table and --query both say which rows are read"),
        (["--query", "SELECT 1 AS id"], 2, "--key is missing"),
        (["--query", "SELECT * FROM nowhere", "--key", "{id}"], 2, "--query: the query is refused"),
        (["--query", "DROP TABLE small", "--key", "{id}"], 2, "--query: the query is refused"),
        (["--query", "SELECT id FROM small", "--key", "{id}", "--split-by", "no"], 2, "--split-by: "),
    ],
)
def test_rows_that_cannot_be_read(world: World, words: list[str], code: int, fragment: str) -> None:
    """Refused with the reason, in MySQL's words where it is MySQL that refuses, before anything starts."""
    world.make_table("small", "id INT PRIMARY KEY, name VARCHAR(20)")
    world.make_table("keyless", "id INT")
    world.execute("INSERT INTO small VALUES (1, 'x')", "CREATE OR REPLACE VIEW seen AS SELECT * FROM small")
    try:
        assert_refused(world, world.run("run", *words), code, fragment)
    finally:
        world.execute("DROP VIEW seen")


def test_a_taken_name(world: World, small: str) -> None:
    """A second job of the same name is sent to resume."""
    assert world.run("run", "--table", small, "--job", "twice").code == 0
    second = world.run("run", "--table", small, "--job", "twice")
    assert second.code == 2
    assert "shardload resume twice" in second.err


def test_resume_asks_for_what_is_not_stored(world: World, small: str) -> None:
    """A password is not stored; a changed spec or table is refused; an unknown job is named."""
    assert world.run("run", "--table", small, "--job", "r").code == 0
    assert world.mysql.password
    for file in (world.state_dir / "r").iterdir():
        assert world.mysql.password.encode() not in file.read_bytes()
    asked = world.run("resume", "r", SHARDLOAD_MYSQL_URL="")
    assert asked.code == 2
    assert "passwords are not stored" in asked.err
    other = world.run("resume", "r", "--redis", f"redis://{world.redis.host}:{world.redis.port}/5")
    assert other.code == 2
    assert "was started with redis" in other.err
    unknown = world.run("resume", "q")
    assert unknown.code == 2
    assert "the jobs there: r" in unknown.err
    world.execute("ALTER TABLE small ADD COLUMN more INT")
    changed = world.run("resume", "r")
    assert changed.code == 2
    assert "its table has changed" in changed.err


def test_no_command_shows_a_password_for_long(world: World, small: str, own_redis: RedisServer) -> None:
    """What was typed stands in the process table until the command has hidden it, which is the first thing it does."""
    assert world.run("run", "--table", small, "--job", "j").code == 0
    os.kill(own_redis.pid, signal.SIGSTOP)
    try:
        for words in (["verify", "j"], ["run", "--table", small, "--daemon"], ["doctor"]):
            running = world.start(*words, "--mysql", world.mysql.with_password())
            shown = Path(f"/proc/{running.process.pid}/cmdline")
            wait_until(lambda: b"***@" in shown.read_bytes(), "a title without the password")  # noqa: B023
            assert world.mysql.password
            assert world.mysql.password.encode() not in shown.read_bytes()
            running.process.kill()
            running.finish()
    finally:
        os.kill(own_redis.pid, signal.SIGCONT)


@pytest.mark.parametrize("words", [["run"], ["resume", "j"], ["status", "j"]])
def test_a_url_in_the_wrong_place_is_not_repeated(world: World, words: list[str]) -> None:
    """It was meant for --mysql: the error names it without its password."""
    done = world.run(*words, "mysql://u:secret@h/app")
    assert done.code == 2
    assert len(done.err.splitlines()) == 1
    assert ":***@h/app" in done.err
    assert "secret" not in done.err


def test_titles_show_no_secret(world: World, users: str) -> None:
    """`ps` shows roles and the job's name, not the URL that was typed."""
    from tests.harness import processes_named, wait_until

    words = ("run", "--table", users, "--job", "t", "--mysql", world.mysql.with_password(), "--rate", "5000")
    running = world.start(*words, job="t")
    wait_until(lambda: processes_named("shardload: coordinator t"), "a title")
    wait_until(lambda: len(running.workers()) == 2, "two titles")
    assert world.mysql.password
    assert not processes_named(world.mysql.password)
    assert world.run("rate", "t", "off").code == 0
    assert running.finish().code == 0


@pytest.mark.parametrize("more", [(), ("--daemon",)])
def test_too_few_descriptors(world: World, small: str, more: tuple[str, ...]) -> None:
    """Wherever it meets the limit: one line that says so, no traceback, nothing left, and a start or none."""
    codes = []
    for most in (*range(6, 16), 30):
        limited = ["bash", "-c", f'ulimit -n {most}; exec "$@"', "bash", sys.executable, "-m", "shardload", "run"]
        words = ["--table", small, "--key", "u:{id}", "--job", f"few{most}", "--progress", "none", *more]
        ended = subprocess.run([*limited, *words], env=world.environment(), capture_output=True, text=True, check=False)
        codes.append(ended.returncode)
        assert ended.returncode in (0, 3), ended
        for word in ("Traceback", "a fault of shardload"):
            assert word not in ended.stderr, ended
        assert ended.returncode == 0 or ended.stderr.startswith("shardload: "), ended
    assert codes[0] == 3
    assert codes[-1] == 0
    wait_until(lambda: not processes_named("shardload: "), "the last has ended")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full"])
@pytest.mark.parametrize("more", [(), ("--daemon",)])
def test_streams_that_are_closed_or_full(world: World, small: str, closed: str, more: tuple[str, ...]) -> None:
    """No reason for a job to fail: it is loaded, and the exit code says so."""
    words = ["run", "--table", small, "--key", "u:{id}", "--job", "quiet", "--progress", "plain", *more]
    command = ["bash", "-c", f'exec "$@" {closed}', "bash", sys.executable, "-m", "shardload", *words]
    ended = subprocess.run(command, env=world.environment(), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended
    assert "Traceback" not in ended.stderr
    wait_until(lambda: not processes_named("shardload: "), "it has ended")
    assert world.run("status", "quiet", "--json").summary["state"] == "complete"
    if closed == ">/dev/full":
        assert "cannot write to <stdout>: No space left on device" in ended.stderr


def test_passwords_of_all_kinds_of_letters(world: World, small: str) -> None:
    """MySQL's with letters beyond Latin-1, Redis's of a user of its own; and a job of theirs can be gone on with."""
    password = "pż é:@/%🦉"
    user = "'letters'@'%'"
    world.execute(f"CREATE USER {user} IDENTIFIED BY '{password}'", f"GRANT SELECT ON *.* TO {user}")
    world.target().acl_setuser("letters", enabled=True, passwords=[f"+{password}"], commands=["+@all"], keys=["*"])
    urls = {
        "SHARDLOAD_MYSQL_URL": dataclasses.replace(world.mysql, user="letters", password=password).with_password(),
        "SHARDLOAD_REDIS_URL": dataclasses.replace(world.redis, user="letters", password=password).with_password(),
    }
    try:
        for words in (("run", "--table", small, "--key", "u:{id}", "--job", "l"), ("verify", "l"), ("resume", "l")):
            done = world.run(*words, **urls)
            assert done.code == 0, done.err
    finally:
        world.execute(f"DROP USER {user}")
        world.target().acl_deluser("letters")


@pytest.mark.parametrize(
    ("words", "code", "fragment"),
    [
        (("--state-dir", ""), 2, "is empty"),
        (("--state-dir", "/dev/null"), 2, "/dev/null"),
        (("--state-dir", "/proc/shardload"), 2, "cannot make the job directory"),
        (("--job", "-x"), 2, "the first a letter or a digit"),
    ],
)
def test_places_and_names(world: World, small: str, words: tuple[str, ...], code: int, fragment: str) -> None:
    """Said before anything is begun."""
    done = world.run("run", "--table", small, *words)
    assert (done.code, fragment in done.err) == (code, True), done.err
    assert len(done.err.splitlines()) == 1
