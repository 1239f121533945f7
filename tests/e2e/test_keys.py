"""Tables with every kind of key: 100,000 rows, evenly spread and skewed, killed once, compared key by key."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import pytest

from tests.harness import World, kill

ROWS = 100_000
RANGE_ROWS = 4000
DIGITS = f"({' UNION '.join(f'SELECT {digit} AS i' for digit in range(10))})"
PLACES = {place: 10**at for at, place in enumerate("abcde")}
NUMBERS = (
    f"(SELECT {' + '.join(f'{place}.i * {weight}' for place, weight in PLACES.items())} AS n "
    f"FROM {', '.join(f'{DIGITS} {place}' for place in PLACES)}) numbers"
)
HASH = "SHA2(n, 256)"
UUID = f"CONCAT_WS('-', LEFT({HASH}, 8), SUBSTR({HASH}, 9, 4), '4abc', '8def', SUBSTR({HASH}, 13, 12))"
SKEWED = "IF(n % 100, {}, {})"  # nearly all rows are close together, a few are elsewhere

# The columns of the key beside `v INT`, the key, and the values: evenly spread, and skewed.
KINDS = {
    "varchar": ("k VARCHAR(80) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci", "k", [
        HASH, SKEWED.format("CONCAT('a long common beginning/', LPAD(n, 7, '0'))", "CONCAT(CHAR(97 + n / 5000), n)"),
    ]),
    "char36": ("k CHAR(36)", "k", [UUID, f"IF(n % 100, CONCAT('00000000-0000', SUBSTR({UUID}, 14)), {UUID})"]),
    "latin1": ("k VARCHAR(30) CHARACTER SET latin1 COLLATE latin1_bin", "k", [
        "CONCAT(_latin1 x'e9', n, _latin1 x'ff')", SKEWED.format("CONCAT('ÿé', n)", "n"),
    ]),
    "gbk": ("k VARCHAR(30) CHARACTER SET gbk", "k", [
        "CONCAT(CONVERT(CONVERT(UNHEX(LPAD(HEX(0x4e00 + n % 5000), 4, '0')) USING ucs2) USING utf8mb4), n)",
        SKEWED.format("CONCAT('中文', n)", "CONCAT('a', n)"),
    ]),
    "ucs2": ("k VARCHAR(30) CHARACTER SET ucs2", "k", ["CONCAT('ключ', n)", SKEWED.format("CONCAT('z', n)", "n")]),
    "binary16": ("k BINARY(16)", "k", [
        f"UNHEX(LEFT({HASH}, 32))", f"UNHEX(LEFT(CONCAT(IF(n % 100, '00000000', 'ff'), {HASH}), 32))",
    ]),
    "varbinary": ("k VARBINARY(60)", "k", [
        f"UNHEX({HASH})", SKEWED.format("CONCAT(x'00ff', n)", f"UNHEX({HASH})"),
    ]),
    "decimal": ("k DECIMAL(30,8)", "k", ["n * 1.23456789 - 5000", SKEWED.format("n * 0.000001", "n * 1000000000000")]),
    "date": ("k DATE", "k", [
        "'1000-01-01' + INTERVAL n DAY",
        SKEWED.format("'1500-01-01' + INTERVAL n DAY", "'3000-01-01' + INTERVAL n DAY"),
    ]),
    "datetime": ("k DATETIME(6)", "k", [
        "'2020-01-01' + INTERVAL n * 7654321 MICROSECOND",
        SKEWED.format("'2020-01-01' + INTERVAL n MICROSECOND", "'1000-01-01' + INTERVAL n DAY"),
    ]),
    "timestamp": ("k TIMESTAMP(3) NOT NULL DEFAULT '2000-01-01'", "k", [
        "FROM_UNIXTIME(1000000000 + n * 3.21)",
        SKEWED.format("FROM_UNIXTIME(1000000000 + n / 1000)", "FROM_UNIXTIME(1 + n)"),
    ]),
    "time": ("k TIME(6)", "k", [
        "SEC_TO_TIME((n - 50000.0) * 30)", SKEWED.format("SEC_TO_TIME(n / 1000)", "SEC_TO_TIME(-1e6 - n)"),
    ]),
    "double": ("k DOUBLE", "k", ["n / 7 - 100", SKEWED.format("n / 1e9", "n * 1e200")]),
    "two integers": ("t INT, k BIGINT UNSIGNED", "t, k", [
        "n % 50, n", "IF(n % 100, 3, n % 7), IF(n % 3, 18446744073709551615 - n, n)",
    ]),
    "text and integer": ("t VARCHAR(9) COLLATE utf8mb4_general_ci, k INT", "t, k", [
        "CONCAT('t', n % 20), n", "IF(n % 100, 'tenant', CONCAT('t', n % 7)), n",
    ]),
    "five columns": ("e ENUM('z','m','a'), d DATE, b BINARY(2), t VARCHAR(9), k INT", "e, d, b, t, k", [
        "1 + n % 3, '2020-01-01' + INTERVAL n % 5 DAY, CONCAT('b', n % 2), CONCAT('t', n % 3), n",
        "IF(n % 100, 2, 3), '2020-01-01', 'bb', IF(n % 50, 't', n), n",
    ]),
    "unique index with NULLs": ("k VARCHAR(64) NULL", "", [
        f"IF(n % 10, {HASH}, NULL)", SKEWED.format("NULL", HASH),
    ]),
}  # fmt: skip


def fill(world: World, table: str, columns: str, values: str, key: str, more: str = "") -> None:
    """A table with `ROWS` rows; `v` tells one from another."""
    index = f"PRIMARY KEY ({key})" if key else "UNIQUE (k)"
    world.make_table(table, f"{columns}, v INT NOT NULL, {index}")
    world.execute("SET time_zone = '+00:00'", f"INSERT INTO `{table}` SELECT {values}, n FROM {NUMBERS}")
    world.execute(f"ANALYZE TABLE `{table}`", *([more] if more else []))


def ranges_of(world: World, job: str) -> Sequence[int]:
    """The rows of each range that was done."""
    journal = sqlite3.connect(world.state_dir / job / "journal.sqlite")
    found = journal.execute("SELECT rows_read FROM range WHERE state = 'done'").fetchall()
    journal.close()
    return [rows for (rows,) in found]


@pytest.mark.parametrize("spread", ["even", "skewed"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_key(world: World, kind: str, spread: str) -> None:
    """Killed in the middle and resumed: every row is there once. No range is far too large if its rows differ."""
    columns, key, values = KINDS[kind]
    fill(world, "keyed", columns, values[spread == "skewed"], key)
    words = ("--table", "keyed", "--key", "keyed:{v}", "--range-rows", str(RANGE_ROWS), "--rate", "20000")
    running = world.start("run", *words, "--job", "keys", job="keys")
    running.wait_for_ranges(2)
    kill(running.process.pid)
    running.finish()
    done = world.run("resume", "keys", "--rate", "off", "--json")
    assert done.code == 0, done.err
    assert done.summary["rows_read"] == done.summary["keys_written"] == ROWS
    assert world.assert_exact("keyed", lambda row: f"keyed:{(row['v'] or b'').decode()}") == ROWS
    rows = ranges_of(world, "keys")
    nulls = {"even": ROWS // 10, "skewed": ROWS * 99 // 100}[spread] if "NULL" in kind else 0
    assert nulls == 0 or nulls in rows
    assert max((count for count in rows if count != nulls), default=0) <= 4 * RANGE_ROWS


# Texts that are one and the same to some collations, beside others: as keys of many rows they are at ranges' bounds.
ALIKE = ["a", "A", "á", "a ", "A  ", "b", "B", "ß", "ss", "", " ", "æ", "ae", "z", "Ä", "ａ"]
COLLATIONS = {
    "utf8mb4_general_ci": "utf8mb4", "utf8mb4_unicode_ci": "utf8mb4", "utf8mb4_bin": "utf8mb4",
    "no padding": "utf8mb4", "newest": "utf8mb4", "latin1_swedish_ci": "latin1", "utf16_unicode_ci": "utf16",
}  # fmt: skip


def collation(world: World, wanted: str) -> str:
    """The server's own name of it."""
    there = {row[0].decode() for row in world.execute("SHOW COLLATION")}
    names = {"no padding": ["utf8mb4_unicode_nopad_ci", "utf8mb4_0900_as_cs"], "newest": ["utf8mb4_0900_ai_ci"]}
    found = [name for name in names.get(wanted, [wanted]) if name in there]
    return found[0] if found else "uca1400_ai_ci"


@pytest.mark.parametrize("index", ["PRIMARY KEY (k, v)", "PRIMARY KEY (v), KEY k (k)"], ids=["primary", "split-by"])
@pytest.mark.parametrize("wanted", COLLATIONS)
def test_texts_that_a_collation_takes_for_one(world: World, wanted: str, index: str) -> None:
    """Lose and double nothing, whether they are the first column of the key, or the column to split by."""
    charset, name = COLLATIONS[wanted], collation(world, wanted)
    texts = [
        text for text in ALIKE if charset != "latin1" or text.encode("latin-1", "ignore").decode("latin-1") == text
    ]
    world.make_table("alike", f"k VARCHAR(9) CHARACTER SET {charset} COLLATE {name}, v INT NOT NULL, {index}")
    cases = " ".join(f"WHEN {at} THEN '{text}'" for at, text in enumerate(texts))
    world.execute(f"INSERT INTO alike SELECT CASE n % {len(texts)} {cases} END, n FROM {NUMBERS} WHERE n < 20000",
                  "ANALYZE TABLE alike")  # fmt: skip
    more = ("--split-by", "k") if "KEY k" in index else ()
    done = world.run("run", "--table", "alike", "--key", "alike:{v}", "--range-rows", "300", "--json", *more)
    assert done.code == 0, done.err
    assert done.summary["rows_read"] == 20_000
    assert done.summary["ranges"] > 5
    assert world.assert_exact("alike", lambda row: f"alike:{(row['v'] or b'').decode()}") == 20_000


SHAPES = {
    "no key at all": ("k INT, v INT NOT NULL", "", ()),
    "split by a column that is not unique": ("k INT NULL, v INT NOT NULL, KEY (k)", "", ("--split-by", "k")),
    "split by two": ("k INT NULL, w INT AS (v % 5) STORED, v INT NOT NULL, KEY (w, k)", "", ("--split-by", "w,k")),
    "hash partitions": ("k INT, v INT NOT NULL, PRIMARY KEY (v, k)", "PARTITION BY HASH (v) PARTITIONS 3", ()),
    "range partitions": (
        "k INT, v INT NOT NULL, PRIMARY KEY (k, v)",
        "PARTITION BY RANGE (k) (PARTITION a VALUES LESS THAN (500), PARTITION b VALUES LESS THAN MAXVALUE)", (),
    ),
    "MyISAM": ("k INT, v INT NOT NULL, PRIMARY KEY (k, v)", "ENGINE=MyISAM", ()),
    "an index that is not used": (
        "x INT AS (v) STORED, k INT, v INT NOT NULL, UNIQUE u (x) IGNORED, UNIQUE w (v, k)", "", (),
    ),
    "names": ("`sel``ect` INT AS (v) VIRTUAL, k INT, v INT NOT NULL, PRIMARY KEY (k, v)", "", ()),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_of_table(world: World, shape: str) -> None:
    """Each is split as well as it can be, and every row is read once."""
    columns, options, words = SHAPES[shape]
    ((version,),) = world.execute("SELECT VERSION()")
    if b"MariaDB" not in version:
        columns = columns.replace("IGNORED", "INVISIBLE")
    world.make_table("shaped", columns)
    if options:
        world.execute(f"ALTER TABLE shaped {options}")
    world.execute(
        f"INSERT INTO shaped (k, v) SELECT n % 1000, n FROM {NUMBERS} WHERE n < 30000", "ANALYZE TABLE shaped"
    )
    if "k INT NULL" in columns:
        world.execute("UPDATE shaped SET k = NULL WHERE v % 7 = 0")
    done = world.run("run", "--table", "shaped", "--key", "s:{v}", "--range-rows", "1000", "--json", *words)
    assert done.code == 0, done.err
    assert done.summary["rows_read"] == 30_000
    assert (done.summary["ranges"] == 1) == (shape == "no key at all")
    assert ("is read in one piece" in done.err) == (shape == "no key at all")
    assert world.assert_exact("shaped", lambda row: f"s:{(row['v'] or b'').decode()}") == 30_000


def test_an_invisible_primary_key_is_used(world: World) -> None:
    """It is no field, unless it is chosen."""
    hidden = "id INT AUTO_INCREMENT INVISIBLE PRIMARY KEY"
    world.make_table("hidden", f"{hidden}, name VARCHAR(9)")
    world.execute("INSERT INTO hidden (name) VALUES ('a'), ('b')")
    assert world.run("run", "--table", "hidden").code == 0
    assert world.target().hgetall("hidden:2") == {b"name": b"b"}
    assert world.run("run", "--table", "hidden", "--columns", "id,name", "--key", "h:{id}").code == 0
    assert world.target().hgetall("h:2") == {b"id": b"2", b"name": b"b"}


def test_rows_are_chosen(world: World) -> None:
    """--where holds in every range, whatever is in it; counts are of the chosen rows, and nothing seems lost."""
    world.make_table("chosen", "id INT PRIMARY KEY, k INT, v INT NOT NULL")
    world.execute(f"INSERT INTO chosen SELECT n, n % 10, n FROM {NUMBERS} WHERE n < 20000", "ANALYZE TABLE chosen")
    where = "k = 3 OR k = 4 -- a remark"
    done = world.run("run", "--table", "chosen", "--where", where, "--range-rows", "500", "--job", "w", "--json")
    assert done.code == 0, done.err
    assert (done.summary["rows_read"], done.summary["rows_lost"]) == (4000, 0)
    assert done.summary["ranges"] > 10
    assert world.target().dbsize() == 4000
    assert world.run("verify", "w").code == 0
    refused = world.run("resume", "w", "--where", "k = 5")
    assert refused.code == 2


def test_rows_with_nulls_are_chosen_too(world: World) -> None:
    """The range of NULLs has the condition as well, for each column that may be NULL."""
    world.make_table("chosen", "x INT, y INT, v INT NOT NULL, UNIQUE (x, y)")
    world.execute(
        f"INSERT INTO chosen SELECT NULLIF(n % 3, 0), NULLIF(n, n DIV 5 * 5), n FROM {NUMBERS} WHERE n < 1000"
    )
    done = world.run("run", "--table", "chosen", "--key", "c:{v}", "--where", "v % 2 = 1", "--json")
    assert done.code == 0, done.err
    keys = {f"c:{n}".encode() for n in range(1000) if n % 2}
    assert done.summary["rows_read"] == 500
    assert set(world.target().scan_iter(count=1000)) == keys


@pytest.mark.usefixtures("own_redis")
def test_a_row_that_fails_is_found_among_those_that_are_chosen(world: World) -> None:
    """Halves have as many of the chosen rows, and the row that is named is one of them."""
    world.make_table("failing", "k VARCHAR(64) PRIMARY KEY, v INT NOT NULL, body LONGTEXT")
    values = "CONCAT('u', LPAD(n, 6, '0')), n, IF(n = 1501, REPEAT('x', 3000000), n)"
    world.execute(f"INSERT INTO failing SELECT {values} FROM {NUMBERS} WHERE n < 2000")
    world.target().config_set("proto-max-bulk-len", "1mb")
    words = ("--where", "v % 500 = 1", "--job", "f", "--json")
    done = world.run("run", "--table", "failing", "--key", "f:{v}", *words)
    assert (done.code, done.summary["rows_failed"], done.summary["keys_written"]) == (1, 1, 3)
    assert done.summary["ranges"] <= 4
    assert world.run("failures", "f").out.startswith("k=u001501\t")


@pytest.mark.parametrize("split", [("--split-by", "id"), ("--split-by", "city,id"), ()], ids=["id", "two", "one piece"])
def test_a_query_in_place_of_a_table(world: World, split: tuple[str, ...]) -> None:
    """A join with an expression; NULLs of an outer join too."""
    world.make_table("person", "id INT PRIMARY KEY, city_id INT, KEY (city_id)")
    world.make_table("city", "id INT PRIMARY KEY, name VARCHAR(20) CHARACTER SET latin1")
    world.execute(
        f"INSERT INTO person SELECT n, n % 7 FROM {NUMBERS} WHERE n < 5000",
        "INSERT INTO city VALUES (0, 'Ålesund'), (1, 'a'), (2, 'A'), (3, 'b'), (4, NULL)",
        "ANALYZE TABLE person, city",
    )
    query = "SELECT p.id, c.name AS city, p.id * 2 AS twice FROM person p LEFT JOIN city c ON c.id = p.city_id;"
    done = world.run("run", "--query", query, "--key", "p:{id}", "--range-rows", "300", "--job", "q", "--json", *split)
    assert done.code == 0, done.err
    assert done.summary["rows_read"] == done.summary["keys_written"] == 5000
    assert (done.summary["ranges"] == 1) == (not split)
    client = world.target()
    assert client.hgetall("p:7") == {b"id": b"7", b"city": "Ålesund".encode(), b"twice": b"14"}
    assert client.hgetall("p:6") == {b"id": b"6", b"twice": b"12"}
    assert client.dbsize() == 5000
    assert world.run("verify", "q").code == 0


def test_a_view_that_is_split(world: World) -> None:
    """By a column that a person names."""
    world.make_table("person", "id INT PRIMARY KEY, name VARCHAR(20)")
    world.execute(f"INSERT INTO person SELECT n, n FROM {NUMBERS} WHERE n < 5000",
                  "CREATE OR REPLACE VIEW people AS SELECT id, UPPER(name) AS name FROM person")  # fmt: skip
    try:
        words = ("--table", "people", "--split-by", "id", "--key", "p:{id}", "--range-rows", "300", "--json")
        done = world.run("run", *words)
        assert done.code == 0, done.err
        assert done.summary["rows_read"] == 5000
        assert done.summary["ranges"] > 5
    finally:
        world.execute("DROP VIEW people")


@pytest.mark.parametrize(
    ("zone", "expected"),
    [("", "2024-10-27 00:30:00"), ("+05:30", "2024-10-27 06:00:00"), ("UTC", "2024-10-27 00:30:00")],
)
def test_a_time_zone(world: World, zone: str, expected: str) -> None:
    """TIMESTAMPs are written in it, also in the key; other types, zero dates and NULL are not changed."""
    world.make_table("zoned", "ts TIMESTAMP NULL, z TIMESTAMP NULL, d DATETIME, id INT PRIMARY KEY")
    row = "'2024-10-27 00:30:00', '0000-00-00', '2024-10-27 00:30:00', 1"
    world.execute("SET sql_mode = ''", f"INSERT INTO zoned VALUES ({row})")
    words = ("--time-zone", zone) if zone else ()
    assert world.run("run", "--table", "zoned", "--key", "{id}:{ts}", *words).code == 0
    assert world.target().hgetall(f"1:{expected}") == {
        b"ts": expected.encode(), b"z": b"0000-00-00 00:00:00", b"d": b"2024-10-27 00:30:00", b"id": b"1",
    }  # fmt: skip


@pytest.mark.usefixtures("own_redis")
@pytest.mark.parametrize("key", ["k", "d, k"])
def test_a_row_that_fails_is_found_under_any_key(world: World, key: str) -> None:
    """Redis refuses one value, and closes the connection: its range is cut in halves until the row is alone, which is
    named by its key; all others are loaded."""
    world.make_table("failing", f"k VARCHAR(64), d DATE, v INT NOT NULL, body LONGTEXT, PRIMARY KEY ({key})")
    world.execute(f"INSERT INTO failing SELECT {HASH}, '2020-01-01', n, IF(n = 77, REPEAT('x', 3000000), n) FROM "
                  f"{NUMBERS} WHERE n < 300")  # fmt: skip
    client = world.target()
    client.config_set("proto-max-bulk-len", "1mb")
    done = world.run("run", "--table", "failing", "--key", "f:{v}", "--job", "f", "--json")
    assert done.code == 1, done.err
    assert (done.summary["rows_failed"], done.summary["keys_written"]) == (1, 299)
    (row,) = world.execute(f"SELECT {HASH} FROM {NUMBERS} WHERE n = 77")
    named = {"k": f"k={row[0].decode()}", "d, k": f"d=2020-01-01, k={row[0].decode()}"}[key]
    assert world.run("failures", "f").out.startswith(f"{named}\t")
