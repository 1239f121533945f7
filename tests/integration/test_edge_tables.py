"""Tables at the edges of what MySQL allows, through the real command, compared key by key."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from typing import Any

import pytest

from shardload import __version__
from tests.harness import World

Row = dict[str, bytes | None]


def imported(world: World, table: str, *words: str) -> dict[str, Any]:
    """The summary of an import that must succeed."""
    done = world.run("run", "--table", table, "--job", "edge", "--json", *words)
    assert done.code == 0, done.err
    summary = done.summary
    assert summary["status"] == "complete"
    assert summary["ranges"] == summary["ranges_done"]
    return summary


def text(row: Row, column: str) -> str:
    """A value of a row that is not NULL."""
    value = row[column]
    assert value is not None
    return value.decode()


def test_an_empty_table(world: World) -> None:
    """Complete, with no range and no key; and so is its comparison."""
    world.make_table("edge", "id INT PRIMARY KEY, name TEXT")
    summary = imported(world, "edge")
    assert (summary["ranges"], summary["rows_read"], summary["keys_written"]) == (0, 0, 0)
    assert world.target().dbsize() == 0
    verified = world.run("verify", "edge")
    assert verified.code == 0
    assert "  0 rows compared: 0 missing" in verified.out


@pytest.mark.parametrize(
    ("type_", "ids", "ranges"),
    [
        pytest.param("INT", [5], 1, id="one row"),
        pytest.param("INT", [0], 1, id="zero"),
        pytest.param("INT", range(-50, 50), 1, id="negative keys"),
        pytest.param("TINYINT", range(-128, 128), 1, id="every tinyint"),
        pytest.param("TINYINT UNSIGNED", range(256), 1, id="every unsigned tinyint"),
        pytest.param("SMALLINT", [-32768, 32767], 1, id="smallint"),
        pytest.param("MEDIUMINT UNSIGNED", [0, 2**24 - 1], 1, id="mediumint"),
        pytest.param("BIGINT UNSIGNED", [0, 2**63 - 1, 2**63, 2**64 - 1], 1, id="unsigned ends"),
        pytest.param("BIGINT", [-(2**63), -1, 0, 2**63 - 1], 1, id="signed ends"),
        pytest.param("BIGINT", [*range(1, 1001), 9 * 10**18], 1, id="a stray key far away"),
        pytest.param("INT(6) ZEROFILL", [7, 42, 123456], 1, id="zerofill"),
    ],
)
def test_keys(world: World, type_: str, ids: Any, ranges: int) -> None:
    """Every row arrives under its own key, in no more ranges than the rows deserve."""
    world.make_table("edge", f"id {type_} PRIMARY KEY, name VARCHAR(40)")
    world.execute(f"INSERT INTO edge VALUES {', '.join(f'({n}, CONCAT({n}, CHAR(13), CHAR(10)))' for n in ids)}")
    summary = imported(world, "edge")
    assert summary["rows_read"] == len(ids)
    assert summary["ranges"] <= ranges
    assert world.assert_exact("edge", lambda row: f"edge:{text(row, 'id')}") == len(ids)


@pytest.mark.parametrize(
    ("type_", "ids"),
    [
        ("BIGINT UNSIGNED", [*range(500), *range(2**64 - 500, 2**64)]),
        ("BIGINT", [*range(-(2**63), -(2**63) + 500), *range(-5, 5), *range(2**63 - 500, 2**63)]),
        ("BIGINT", [*range(1, 1001), 9 * 10**18]),
    ],
    ids=["unsigned ends", "signed ends", "a stray key"],
)
def test_small_ranges_over_a_wide_space(world: World, type_: str, ids: list[int]) -> None:
    """Cut into ranges of some 100 rows, the ends and the emptiness between them included; nothing is lost."""
    world.make_table("edge", f"id {type_} PRIMARY KEY")
    world.execute(f"INSERT INTO edge VALUES {', '.join(f'({n})' for n in ids)}", "ANALYZE TABLE edge")
    summary = imported(world, "edge", "--range-rows", "100")
    assert 5 <= summary["ranges"] <= 60
    assert world.assert_exact("edge", lambda row: f"edge:{text(row, 'id')}") == len(ids)
    assert world.run("verify", "edge").code == 0


@pytest.mark.parametrize("kind", ["", "PARTITION BY HASH (id) PARTITIONS 3", "ENGINE=MyISAM"])
def test_small_ranges_have_the_counts_of_their_own_rows(world: World, kind: str) -> None:
    """Many small ranges, empty ones among them: each has the counts of its own rows."""
    world.make_table("edge", "id BIGINT PRIMARY KEY, name VARCHAR(40)")
    if kind:
        world.execute(f"ALTER TABLE edge {kind}")
    ids = [*range(-4000, -1000), *range(-3, 3), *range(10**6, 10**6 + 6000, 2)]
    world.execute(f"INSERT INTO edge VALUES {', '.join(f'({n}, REPEAT({n % 10}, {abs(n) % 40}))' for n in ids)}")
    world.execute("ANALYZE TABLE edge")
    summary = imported(world, "edge", "--range-rows", "10", "--workers", "2")
    assert summary["ranges"] >= 400
    assert world.assert_exact("edge", lambda row: f"edge:{text(row, 'id')}") == len(ids)
    journal = sqlite3.connect(world.state_dir / "edge" / "journal.sqlite")
    found = journal.execute("SELECT low, high, rows_read FROM range").fetchall()
    journal.close()
    counted = [(*json.loads(low), *json.loads(high), rows) for low, high, rows in found]
    assert counted == [(low, high, sum(low <= n < high for n in ids)) for low, high, _ in counted]


def test_a_key_of_several_columns(world: World) -> None:
    """Literal text, braces and columns in any order, with columns that are no field."""
    world.make_table("edge", "id INT PRIMARY KEY, tenant VARCHAR(10) NOT NULL, name VARCHAR(10)")
    world.execute("INSERT INTO edge VALUES (1, 'a', 'x'), (2, 'b:c', NULL), (3, '{t}', 'z')")
    imported(world, "edge", "--key", "{{p}}:{tenant}/{ID}", "--columns", "name,id")
    client = world.target()
    assert {key: client.hgetall(key) for key in client.scan_iter()} == {
        b"{p}:a/1": {b"name": b"x", b"id": b"1"},
        b"{p}:b:c/2": {b"id": b"2"},
        b"{p}:{t}/3": {b"name": b"z", b"id": b"3"},
    }


ODD_NAMES = [
    "two words",
    "it's",
    'quo"ted',
    "br{ac}es",
    "per%cent %s",
    "ключ",
    "größe",
    "a,b",
    "semi;colon",
    "$1\\2",
    "{",
]


def test_odd_column_names(world: World) -> None:
    """Quotes, spaces, braces, percent signs, commas, other scripts: each is a field of that name."""
    columns = ", ".join(f"`{name}` VARCHAR(20)" for name in ODD_NAMES)
    world.make_table("edge", f"id INT PRIMARY KEY, `back``quote` INT, {columns}")
    names = ", ".join(f"'value {number}'" for number in range(len(ODD_NAMES)))
    world.execute(f"INSERT INTO edge VALUES (1, 5, {names})")
    imported(world, "edge")
    assert world.assert_exact("edge", lambda row: "edge:1") == 1
    assert world.target().hget("edge:1", "back`quote") == b"5"
    assert world.target().hget("edge:1", "per%cent %s") == b"value 4"


@pytest.mark.parametrize(
    "table", ["two words", "it's", 'quo"ted', "br{ac}es", "per%cent %s", "таблица", "a.b", "{", "}}"]
)
def test_odd_table_names(world: World, table: str) -> None:
    """The default key begins with the table's name as it is, and the default job name can be made of it."""
    world.make_table(table, "id INT PRIMARY KEY, v INT")
    world.execute(f"INSERT INTO `{table}` VALUES (1, 2), (3, NULL)")
    done = world.run("run", "--table", table, "--json")
    assert done.code == 0, done.err
    assert world.assert_exact(table, lambda row: f"{table}:{text(row, 'id')}") == 2


@pytest.mark.parametrize("column", ["the id", "it's", "per%cent", "ключ"])
def test_odd_key_columns(world: World, column: str) -> None:
    """Also when they are the primary key, in ranges of their own."""
    world.make_table("edge", f"`{column}` INT PRIMARY KEY")
    world.execute("INSERT INTO edge VALUES " + ", ".join(f"({n})" for n in range(100)))
    imported(world, "edge", "--range-rows", "10")
    assert world.assert_exact("edge", lambda row: f"edge:{text(row, column)}") == 100


@pytest.mark.parametrize("column", ["i{d", "i}d", "{id}"])
def test_a_key_column_with_a_brace(world: World, column: str) -> None:
    """The default key needs no template that a person could write."""
    world.make_table("edge", f"`{column}` INT PRIMARY KEY")
    world.execute("INSERT INTO edge VALUES (1)")
    imported(world, "edge")
    assert world.assert_exact("edge", lambda row: "edge:1") == 1


def test_a_table_in_latin1(world: World) -> None:
    """Its text arrives as UTF-8."""
    world.make_table("edge", "id INT PRIMARY KEY, name VARCHAR(20) CHARACTER SET latin1")
    world.execute("INSERT INTO edge VALUES (1, 'Groß'), (2, 'Ÿ€')")
    imported(world, "edge")
    assert world.target().hget("edge:1", "name") == "Groß".encode()
    assert world.target().hget("edge:2", "name") == "Ÿ€".encode()
    assert world.assert_exact("edge", lambda row: f"edge:{text(row, 'id')}") == 2


@pytest.mark.parametrize("kib", [16 * 1024, 17 * 1024])
def test_rows_over_16_mebibytes(world: World, kib: int) -> None:
    """Through the whole way, with small rows around them."""
    world.make_table("edge", "id INT PRIMARY KEY, body LONGBLOB")
    world.execute(f"INSERT INTO edge VALUES (1, 'a'), (2, REPEAT(x'fe0d0aff', {kib * 256})), (3, 'c'), (4, NULL)")
    imported(world, "edge", "--workers", "1")
    client = world.target()
    assert client.hstrlen("edge:2", "body") == kib * 1024
    assert client.hget("edge:2", "body") == b"\xfe\r\n\xff" * (kib * 256)
    assert world.assert_exact("edge", lambda row: f"edge:{text(row, 'id')}") == 4


def test_a_wide_table(world: World) -> None:
    """600 columns, more than a compact hash holds."""
    names = [f"c{number}" for number in range(600)]
    world.make_table("edge", "id INT PRIMARY KEY, " + ", ".join(f"{name} TINYINT" for name in names))
    world.execute(f"INSERT INTO edge VALUES (1, {', '.join(str(n % 100) for n in range(600))}), (2{', NULL' * 600})")
    imported(world, "edge")
    assert world.target().hlen("edge:1") == 601
    assert world.assert_exact("edge", lambda row: f"edge:{text(row, 'id')}") == 2


def test_generated_columns(world: World) -> None:
    """A generated column is a column."""
    world.make_table("edge", "id INT PRIMARY KEY, a INT, twice INT AS (a * 2) STORED, thrice INT AS (a * 3) VIRTUAL")
    world.execute("INSERT INTO edge (id, a) VALUES (1, 7)")
    imported(world, "edge")
    assert world.target().hgetall("edge:1") == {b"id": b"1", b"a": b"7", b"twice": b"14", b"thrice": b"21"}


def test_the_module_is_the_command() -> None:
    """`python -m shardload` is `shardload`."""
    done = subprocess.run(
        [sys.executable, "-m", "shardload", "--version"], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"shardload, version {__version__}\n", "")
