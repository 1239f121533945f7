"""Synthetic users: awkward values, and the same table for the same seed."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from shardload.errors import SourceError, SpecError
from shardload.sandbox import seed
from tests.harness import World

ROWS = 33_000  # beyond the first wide gap


def seeded(world: World, table: str, rows: int, random_seed: int) -> list[tuple[Any, ...]]:
    """Make a table of users; gives all its rows."""
    world.tables.append(table)
    world.execute(f"DROP TABLE IF EXISTS `{table}`")
    seed(world.mysql, table, rows, random_seed, lambda _: None)
    return world.execute(f"SELECT * FROM `{table}` ORDER BY id")


def test_the_same_seed_makes_the_same_users(world: World) -> None:
    """All rows are equal for the same seed; another seed makes other rows."""
    one, same, other = (seeded(world, name, 2000, number) for name, number in (("s1", 5), ("s2", 5), ("s3", 6)))
    assert one == same
    assert len(one) == len(other) == 2000
    assert sum(mine == theirs for mine, theirs in zip(one, other, strict=True)) < 20


def test_more_users_begin_with_the_same(world: World) -> None:
    """A larger table begins with the same rows."""
    assert seeded(world, "s1", 100, 1) == seeded(world, "s2", 12_000, 1)[:100]


def test_what_is_awkward_about_them(world: World) -> None:
    """Small and wide gaps, NULLs, empty strings, Unicode, control characters, long texts; unique columns are unique."""
    rows = seeded(world, "users_seen", ROWS, 1)
    ids = [int(row[0]) for row in rows]
    assert len(rows) == ROWS
    gaps = [after - before for before, after in pairwise(ids)]
    assert min(gaps) >= 1
    assert {1, 2, 3} <= set(gaps)
    assert sum(gap > 900_000 for gap in gaps) == 1
    for unique in (0, 1, 2):
        assert len({row[unique] for row in rows}) == ROWS
    for column, share in ((3, 8), (4, 8), (6, 2.3)):
        nulls = sum(row[column] is None for row in rows)
        assert 0.8 * ROWS / share < nulls < 1.2 * ROWS / share
    names, bios = {row[3] for row in rows}, {row[6] for row in rows}
    assert {b"", "山田 太郎".encode(), "Emoji 🦉🌍".encode(), b"  padded  ", b"Back\\slash"} <= names
    assert {b"", b"two\r\nlines", b"tab\tand nul \0 inside"} <= bios
    assert max(len(bio or b"") for bio in bios) == 1800


def test_progress_is_told(world: World) -> None:
    """The numbers rise up to all rows; for no rows there is none."""
    world.tables.append("told")
    world.execute("DROP TABLE IF EXISTS told")
    said: list[int] = []
    seed(world.mysql, "told", 25_000, 1, said.append)
    assert said == [10_000, 20_000, 25_000]
    assert seeded(world, "told", 0, 1) == []


def test_a_table_that_exists_is_left_alone(world: World) -> None:
    """It is refused before anything is written."""
    world.make_table("precious", "id INT PRIMARY KEY")
    world.execute("INSERT INTO precious VALUES (1)")
    with pytest.raises(SpecError, match="table precious exists already"):
        seed(world.mysql, "precious", 10, 1, lambda _: None)
    assert world.execute("SELECT * FROM precious") == [(b"1",)]


def test_the_command_makes_them(world: World) -> None:
    """`shardload seed` prints what it made and where, without the password; an existing table is exit code 2."""
    world.tables.append("made")
    world.execute("DROP TABLE IF EXISTS made")
    done = world.run("seed", "--table", "made", "--rows", "1234")
    assert done.code == 0, done.err
    assert done.out == f"1,234 users in table made on {world.mysql}\n"
    assert world.execute("SELECT COUNT(*) FROM made") == [(b"1234",)]
    again = world.run("seed", "--table", "made", "--rows", "1")
    assert again.code == 2
    assert "exists already" in again.err


def test_a_server_that_is_away(world: World) -> None:
    """An error of ours is raised."""
    url = type(world.mysql)("127.0.0.1", 1, "u", "secret", "d")
    with pytest.raises(SourceError, match="cannot connect"):
        seed(url, "t", 1, 1, lambda _: None)
