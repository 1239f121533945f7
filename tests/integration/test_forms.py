"""What a row becomes, through the real command: shapes, fields, keys, lookups, expiry, keys that are kept."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.harness import Result, World, kill


def run(world: World, *words: str, table: str = "t") -> dict[str, Any]:
    """The summary of an import that must succeed and add up."""
    done = world.run("run", "--table", table, "--job", "forms", "--json", *words)
    assert done.code == 0, done.err
    found = done.summary
    assert found["rows_read"] == sum(found[n] for n in ("keys_written", "keys_kept", "rows_skipped", "rows_failed"))
    world.run("clean", "forms", "--resumable")
    return found


def verified(world: World, *words: str) -> Result:
    """What `verify` says of an import with these flags."""
    done = world.run("run", "--table", "t", "--job", "verified", *words)
    assert done.code == 0, done.err
    return world.run("verify", "verified")


def refused(world: World, *words: str, code: int = 2) -> str:
    """The one line that an import is refused with."""
    done = world.run("run", "--table", "t", "--job", "refused", *words)
    assert done.code == code, done.err
    lines = done.err.strip().splitlines()
    assert len(lines) == 1, done.err
    assert world.target().dbsize() == 0
    return lines[0]


@pytest.fixture
def people(world: World) -> World:
    """A small table with a value of each kind."""
    world.make_table(
        "t",
        "id INT PRIMARY KEY, name VARCHAR(40), big BIGINT UNSIGNED, price DECIMAL(10,2), ratio FLOAT, exact DOUBLE, "
        "flags BIT(12), born YEAR, padded INT(6) ZEROFILL, raw VARBINARY(40), day DATETIME(3), UNIQUE (name)",
    )
    world.execute(
        r"INSERT INTO t VALUES (1, 'Ada \"A\" \\ é\n\t', 18446744073709551615, 1.50, 1.1, 0.1, b'101', 1999, 42, "
        "x'00ff', '2024-02-03 04:05:06.789')",
        "INSERT INTO t VALUES (2, '', 9007199254740992, -0.05, 16777216, 1e300, 0, 2000, 0, "
        "x'00112233445566778899aabbccddeeff', '1000-01-01')",
        "INSERT INTO t VALUES (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
    )
    return world


def test_json_documents(people: World) -> None:
    """Every kind of column has its JSON type, and nothing of a value is lost."""
    found = run(people, "--as", "json", "--key", "p:{id}")
    assert (found["keys_written"], found["encoder"]) == (3, "native, SET of JSON")
    client = people.target()
    assert client.get("p:1") == (
        b'{"id":1,"name":"Ada \\"A\\" \\\\ \xc3\xa9\\n\\t","big":18446744073709551615,"price":"1.50","ratio":1.1,'
        b'"exact":0.1,"flags":5,"born":1999,"padded":42,"raw":"AP8=","day":"2024-02-03 04:05:06.789"}'
    )
    second = json.loads(client.get("p:2") or b"")
    assert (second["ratio"], second["exact"], second["price"], second["padded"]) == (16777216, 1e300, "-0.05", 0)
    assert client.get("p:3") == b'{"id":3}'


def test_json_as_asked(people: World) -> None:
    """Decimals as numbers, large integers as texts, UUIDs, null, renamed and constant fields."""
    columns = "--columns=id,big,price,raw,born"
    run(people, "--as", "json", columns, "--json-decimal", "number", "--json-bigint", "string", "--binary", "uuid",
        "--null", "null", "--rename", "id=_id", "--field", "_class=app.User", "--key", "p:{id}")  # fmt: skip
    client = people.target()
    assert client.get("p:1") == (
        b'{"_id":1,"big":"18446744073709551615","price":1.50,"raw":"00ff","born":1999,"_class":"app.User"}'
    )
    assert client.get("p:2") == (
        b'{"_id":2,"big":9007199254740992,"price":-0.05,"raw":"00112233-4455-6677-8899-aabbccddeeff","born":2000,'
        b'"_class":"app.User"}'
    )
    assert client.get("p:3") == b'{"_id":3,"big":null,"price":null,"raw":null,"born":null,"_class":"app.User"}'


def test_strings(people: World) -> None:
    """One column's value; a row whose value is NULL is skipped, or empty."""
    found = run(people, "--as", "string", "--value", "raw", "--binary", "hex")
    assert (found["keys_written"], found["rows_skipped"]) == (2, 1)
    client = people.target()
    assert [client.get(f"t:{n}") for n in (1, 2, 3)] == [b"00ff", b"00112233445566778899aabbccddeeff", None]
    run(people, "--as", "string", "--value", "NAME", "--null", "empty")
    assert client.get("t:3") == b""
    assert client.type("t:1") == b"string"


def test_hashes_with_other_names_and_constants(people: World) -> None:
    """Renamed fields, constants, a prefix, and columns whose values MySQL would cut or write raw."""
    run(people, "--columns", "ratio,flags", "--rename", "ratio=r", "--field", "kind=person", "--key-prefix", "app1:")
    client = people.target()
    assert client.hgetall("app1:t:1") == {b"r": b"1.1", b"flags": b"5", b"kind": b"person"}
    assert client.hgetall("app1:t:2") == {b"r": b"16777216", b"flags": b"0", b"kind": b"person"}
    assert client.hgetall("app1:t:3") == {b"kind": b"person"}


def test_every_float_is_exact(world: World) -> None:
    """A FLOAT is written with as many digits as it needs, so that it is the same FLOAT again; in both encoders."""
    world.make_table("t", "id INT PRIMARY KEY, f FLOAT")
    world.execute(
        "INSERT INTO t VALUES (1, 1.1), (2, 3e38), (3, 1e-45), (4, 16777217), (5, -0.000012345678), (6, 123456789)"
    )
    for encoder in ("native", "reference"):
        run(world, "--as", "string", "--value", "f", "--encoder", encoder)
        texts: list[Any] = [world.target().get(f"t:{n}") for n in range(1, 7)]
        assert texts == [b"1.1", b"3e38", b"1.4013e-45", b"16777216", b"-1.2345678e-5", b"123456790"]
        with world.sql() as cursor:
            for number, text in enumerate(texts, 1):
                cursor.execute(f"UPDATE t SET f = {(text or b'').decode()} WHERE id = {number}")
                assert cursor.rowcount == 0


def test_odd_names(world: World) -> None:
    """Columns named with commas, spaces and braces can be chosen, and used in keys, lookups and pairs."""
    world.make_table("t", "id INT PRIMARY KEY, `a,b` INT, ` lead` INT, `a}b` INT, `x=y` INT, `tick``s` INT")
    world.execute("INSERT INTO t VALUES (1, 2, 3, 4, 5, 6)")
    run(world, "--columns", "`a,b`, ` lead` ,`tick``s`,`x=y`", "--key", "{`a}b`}:{id}:{`tick``s`|hex}",
        "--rename", "`x=y`=z=1", "--lookup", "l:{`x=y`}={`a,b`}")  # fmt: skip
    assert world.target().hgetall("4:1:36") == {b"a,b": b"2", b" lead": b"3", b"tick`s": b"6", b"z=1": b"5"}
    assert world.target().get("l:5") == b"2"


def test_filters(world: World) -> None:
    """Each does what its name says, and MySQL knows what is upper case."""
    world.make_table("t", "id INT PRIMARY KEY, s VARCHAR(9) CHARACTER SET utf8mb4, b BINARY(16)")
    world.execute("INSERT INTO t VALUES (1, 'ÄbC', x'00112233445566778899aabbccddeeff')")
    run(world, "--key", "{s|lower}:{s|upper}:{s|hex}:{b|base64}:{b|uuid}:{id|crc16}:{id}")
    key = "äbc:ÄBC:c3846243:ABEiM0RVZneImaq7zN3u/w==:00112233-4455-6677-8899-aabbccddeeff:9842:1"
    assert world.target().keys() == [key.encode()]
    assert world.target().hget(key, "s") == "ÄbC".encode()


@pytest.mark.parametrize("shape", ["hash", "json"])
def test_lookups(people: World, shape: str) -> None:
    """Small keys beside the rows' own, with the same TTL; a NULL leaves one out; they are counted apart."""
    found = run(people, "--as", shape, "--ttl", "1h", "--lookup", "by:name:{name}={id}", "--lookup",
                "by:day:{day}={name|lower}")  # fmt: skip
    assert (found["keys_written"], found["lookups_written"]) == (3, 4)
    client = people.target()
    assert client.get('by:name:Ada "A" \\ é\n\t') == b"1"
    assert client.get("by:name:") == b"2"
    assert client.get("by:day:1000-01-01 00:00:00.000") == b""
    assert {client.pttl(key) > 3_500_000 for key in client.scan_iter()} == {True}
    assert client.dbsize() == 7


@pytest.mark.parametrize(
    ("words", "type_"),
    [([], b"hash"), (["--as", "json"], b"string"), (["--as", "string", "--value", "name"], b"string")],
)
def test_keys_are_kept(world: World, words: list[str], type_: bytes) -> None:
    """A key that exists keeps value, type and TTL, whatever it is; the rest is written. All are counted exactly."""
    world.make_table("t", "id INT PRIMARY KEY, name VARCHAR(200) NOT NULL")
    world.execute("INSERT INTO t SELECT seq, REPEAT('x', 199) FROM seq_1_to_20000")
    client = world.target()
    old = [n for n in range(1, 20001) if n % 7 == 0 or 5000 < n < 6000]
    with client.pipeline(transaction=False) as pipe:
        for number in old:
            pipe.lpush(f"t:{number}", "old")
            pipe.set(f"look:{number}", "old")
        pipe.execute()
    client.expire("t:7", 1000)
    found = run(world, *words, "--on-conflict", "keep", "--range-rows", "1000", "--workers", "2", "--ttl", "1d",
                "--lookup", "look:{id}={id}")  # fmt: skip
    assert (found["keys_kept"], found["keys_written"]) == (len(old), 20000 - len(old))
    assert found["lookups_written"] == 20000 - len(old)
    assert (client.lrange("t:7", 0, -1), client.ttl("t:7") <= 1000, client.ttl("t:14")) == ([b"old"], True, -1)
    assert (client.type("t:1"), client.ttl("t:1") > 80_000) == (type_, True)
    assert (client.get("look:7"), client.get("look:1")) == (b"old", b"1")
    again = verified(world, *words, "--on-conflict", "keep", "--lookup", "look:{id}={id}")
    assert again.code == 0
    assert "0 rows that make no key, 40,000 kept as they were" in again.out  # new ones expire, old ones are others


@pytest.mark.parametrize("words", [[], ["--encoding", "commands"], ["--as", "json"]])
@pytest.mark.parametrize("type_", ["DATETIME(3)", "TIMESTAMP(3) NULL", "DATE", "BIGINT", "INT UNSIGNED"])
def test_a_column_says_when_a_key_expires(world: World, type_: str, words: list[str]) -> None:
    """As an absolute time; rows past it are skipped, NULL has the TTL, and lookups expire with their row."""
    world.make_table("t", f"id INT PRIMARY KEY, till {type_}")
    soon_s = int(time.time()) + 86_400 * 3
    value = f"FROM_UNIXTIME({soon_s})"
    if "INT" in type_:
        value = f"{soon_s}" if "UNSIGNED" in type_ else f"{soon_s}000"
    past = "'2001-02-03'" if "INT" not in type_ else "12345"
    world.execute("SET time_zone = '+00:00'", f"INSERT INTO t VALUES (1, {value}), (2, NULL), (3, {past})")
    client = world.target()
    for ttl in ([], ["--ttl", "1h"]):
        found = run(world, *words, "--ttl-column", "till", "--lookup", "l:{id}={id}", *ttl)
        assert (found["keys_written"], found["rows_skipped"], found["lookups_written"]) == (2, 1, 2)
        due_ms = soon_s // 86_400 * 86_400_000 if type_ == "DATE" else soon_s * 1000
        assert client.pexpiretime("t:1") == client.pexpiretime("l:1") == due_ms
        left = (client.ttl("t:2"), client.ttl("l:2"))
        assert left == (-1, -1) if not ttl else 3500 < min(left) <= max(left) <= 3600
        assert client.exists("t:3", "l:3") == 0
    again = verified(world, *words, "--ttl-column", "till", "--lookup", "l:{id}={id}")
    assert (
        "3 rows compared: 0 missing, 0 different, 0 of another type, 0 with another expiry, 1 rows that make no key"
        in again.out
    )


@pytest.mark.parametrize("never", [2**63 - 1, 2**64 - 1, 253402300799001])
def test_a_date_that_never_comes(world: World, never: int) -> None:
    """Who writes the largest number means "never": the key expires at the end of the year 9999, and is not skipped."""
    world.make_table("t", "id INT PRIMARY KEY, till BIGINT UNSIGNED")
    world.execute(f"INSERT INTO t VALUES (1, {never})")
    found = run(world, "--ttl-column", "till")
    assert (found["keys_written"], found["rows_skipped"]) == (1, 0)
    assert world.target().pexpiretime("t:1") == 253402300799000


@pytest.mark.parametrize("words", [[], ["--as", "json"]])
def test_a_thousand_columns(world: World, words: list[str]) -> None:
    """Nearly as many as MySQL allows."""
    names = [f"c{number}" for number in range(1000)]
    world.make_table("t", "id INT PRIMARY KEY, " + ", ".join(f"{name} TINYINT" for name in names))
    world.execute(f"INSERT INTO t VALUES (1, {', '.join(str(n % 100) for n in range(1000))}), (2{', NULL' * 1000})")
    run(world, *words)
    if words:
        wanted = {"id": 1} | {name: number % 100 for number, name in enumerate(names)}
        assert json.loads(world.target().get("t:1") or b"") == wanted
        assert world.target().get("t:2") == b'{"id":2}'
    else:
        assert world.assert_exact("t", lambda row: f"t:{(row['id'] or b'').decode()}") == 2


@pytest.mark.parametrize("words", [[], ["--as", "json"], ["--as", "string", "--value", "body"]])
def test_a_row_of_several_packets(world: World, words: list[str]) -> None:
    """Of more than 16 MiB, with signs that JSON escapes."""
    world.make_table("t", "id INT PRIMARY KEY, body LONGTEXT")
    value = '"ü' * (6 << 20)
    world.execute("INSERT INTO t VALUES (1, REPEAT('\"ü', 6 << 20)), (2, 'x')")
    run(world, *words)
    client = world.target()
    if not words:
        assert client.hget("t:1", "body") == value.encode()
    elif "json" in words:
        assert json.loads(client.get("t:1") or b"") == {"id": 1, "body": value}
    else:
        assert client.get("t:1") == value.encode()


def test_a_document_that_is_too_long_is_set_aside(world: World) -> None:
    """90 MiB of control characters become 540 MiB; the other rows are loaded."""
    world.make_table("t", "id INT PRIMARY KEY, body LONGTEXT")
    world.execute("INSERT INTO t VALUES (1, 'a'), (2, REPEAT(x'01', 90 << 20)), (3, 'b')")
    done = world.run("run", "--table", "t", "--job", "long", "--json", "--as", "json", "--workers", "1")
    assert done.code == 1, done.err
    assert (done.summary["keys_written"], done.summary["rows_failed"]) == (2, 1)
    told = world.run("failures", "long").out
    assert "id=2" in told
    assert "it would become a value of 566,231,058 bytes; Redis takes 512 MB" in told


@pytest.mark.parametrize("words", [[], ["--as", "json"]])
def test_a_killed_job_that_keeps_keys(world: World, words: list[str]) -> None:
    """A range that is begun again finds its own keys: they count as kept; every row has its key, and old ones stay."""
    world.make_table("t", "id INT PRIMARY KEY, name VARCHAR(200) NOT NULL")
    world.execute("INSERT INTO t SELECT seq, REPEAT('x', 99) FROM seq_1_to_50000")
    world.target().set("t:77", "old")
    flags = ("--on-conflict", "keep", "--range-rows", "2000", "--rate", "20000", "--lookup", "l:{id}={id}")
    running = world.start("run", "--table", "t", "--job", "kept", *flags, *words, job="kept")
    running.wait_for_ranges(3)
    kill(running.process.pid, *running.workers())
    running.finish()
    done = world.run("resume", "kept", "--rate", "off", "--json")
    assert done.code == 0, done.err
    assert done.summary["keys_written"] + done.summary["keys_kept"] == done.summary["rows_read"] == 50_000
    assert done.summary["keys_kept"] >= 1
    assert world.target().dbsize() == 100_000
    assert world.target().get("t:77") == b"old"
    verified = world.run("verify", "kept")
    assert verified.code == 0
    assert "1 kept as they were" in verified.out


def test_verify_finds_what_differs(people: World) -> None:
    """In documents and lookups, too."""
    words = ["--as", "json", "--lookup", "by:{name}={id}"]
    assert verified(people, *words).code == 0
    client = people.target()
    client.set("t:1", "{}")
    client.delete("by:")
    client.delete("t:3")
    client.lpush("t:3", "x")
    done = people.run("verify", "verified")
    assert done.code == 4
    first, *others = done.out.splitlines()[:3]
    assert first.startswith("t:1: different in 'big', ")
    assert sorted(others) == ["by:: missing", "t:3: is not a string"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--as", "json", "--binary", "raw"], "--binary raw: column raw is varbinary(40), and JSON is text"),
        (["--as", "string"], "--as 'string' needs --value COLUMN"),
        (["--value", "id"], "--value 'id' needs --as string"),
        (["--as", "string", "--value", "nix"], "--value: table t has no column 'nix'"),
        (["--as", "string", "--value", "id", "--field", "a=b"], "does not go with --as string"),
        (["--null", "null"], "--null 'null' needs --as json"),
        (["--json-decimal", "number"], "--json-decimal 'number' needs --as json"),
        (["--as", "json", "--encoding", "restore"], "--encoding 'restore' needs --as hash"),
        (["--as", "xml"], "--as should be 'hash', 'json', 'string' or 'redisjson', not 'xml'"),
        (["--on-conflict", "keep", "--encoding", "commands"], "--on-conflict 'keep' does not go with --encoding"),
        (["--lookup", "user={id}"], "--lookup 'user': it names no column"),
        (["--lookup", "{id}"], "--lookup '{id}' has no '=' between key and value"),
        (["--lookup", "{nix}=1"], "--lookup: table t has no column 'nix'"),
        (["--key", "{id|md5}"], "the filter 'md5'; there are: lower, upper, hex, base64, uuid, crc16"),
        (["--rename", "nix=a"], "--rename: table t has no column 'nix'"),
        (["--rename", "id=name"], "two fields would have the name 'name'"),
        (["--field", "name=x"], "--field: two fields would have the name 'name'"),
        (["--columns", "id", "--rename", "name=a"], "--rename: column name becomes no field"),
        (["--rename", "nonsense"], "--rename should be NAME=TEXT"),
        (["--ttl-column", "name"], "--ttl-column: column name is varchar(40), which is no time"),
        (["--as", "redisjson", "--on-conflict", "keep", "--ttl", "1h"], "does not go with --as redisjson and a TTL"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(people: World, words: list[str], line: str) -> None:
    """In one line that names the flag and the next step, before anything is written."""
    assert line in refused(people, *words)


def test_without_the_json_module(people: World) -> None:
    """A Redis that has no JSON module is refused at the start, with the way out."""
    line = refused(people, "--as", "redisjson", code=3)
    assert "--as redisjson: JSON.SET was refused: ERR unknown command" in line
    assert "use --as json" in line


def test_keeping_hashes_needs_restore(people: World) -> None:
    """Where Redis does not accept RESTORE, hashes cannot be kept."""
    people.target().acl_setuser(
        "norestore", enabled=True, passwords=["+secret"], keys=["*"], commands=["+@all", "-restore"]
    )
    try:
        url = f"redis://norestore:secret@{people.redis.host}:{people.redis.port}/0"
        line = refused(people, "--on-conflict", "keep", "--redis", url, code=3)
    finally:
        people.target().acl_deluser("norestore")
    assert "--on-conflict keep: a hash is written by RESTORE alone" in line


def test_a_file_says_the_same(people: World) -> None:
    """Lists in a TOML file, and a resume that reads them from the job's own."""
    file = people.state_dir / "job.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        'table = "t"\nas = "json"\ncolumns = ["id", "name"]\nrename = ["id=_id"]\nfield = "kind=a"\n'
        'lookup = ["l:{id}={name}"]\nbinary = "hex"\non-conflict = "keep"\nttl-column = "day"\njob = "file"\n'
    )
    done = people.run("run", str(file))
    assert done.code == 0, done.err
    assert people.target().get("t:3") == b'{"_id":3,"kind":"a"}'
    assert people.run("resume", "file").code == 0
    other = people.run("resume", "file", "--json")
    assert other.summary["keys_written"] == 1
