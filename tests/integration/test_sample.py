"""The sample of a job's rows: what it may cost is kept to, also where rows are large."""

from __future__ import annotations

from typing import Any

import pytest

from shardload import source
from shardload.config import spec
from shardload.jobs import prepare, sample
from shardload.jobs.sample import Effort, Line, Survey
from tests.harness import World

MIB = 2**20
ROWS = 24


@pytest.fixture
def large(world: World) -> World:
    """A table of small rows, and then large ones."""
    world.make_table("large", "id INT PRIMARY KEY, body LONGTEXT")
    world.execute(f"INSERT INTO large SELECT seq, REPEAT('x', IF(seq < 3, 9, {MIB})) FROM seq_1_to_{ROWS}")
    return world


def surveyed(world: World, effort: Effort) -> tuple[Survey, int]:
    """What is found, and how many connections it took."""
    wanted = spec.load({"table": "large", "mysql": world.mysql.with_password(), "state_dir": world.state_dir},
                       environ={}, needs_redis=False)  # fmt: skip
    opened = []

    def connect() -> source.Connection[Any]:
        opened.append(source.connect(world.mysql))
        return opened[-1]

    line = Line(connect(), connect)
    try:
        subject = prepare.examine(line.connection, wanted)
        ranges = prepare.plan(line.connection, wanted, subject)
        return sample.survey(line, subject, ranges, effort), len(opened)
    finally:
        line.close()
        source.abandon(opened[0])


def sizes(found: Survey) -> list[int]:
    """Of the rows of each place, in MiB."""
    return [sum(len(row[1] or b"") for row in window.rows) // MIB for window in found.windows]


@pytest.mark.parametrize("places", [1, 4])
def test_bytes_are_bounded(large: World, places: int) -> None:
    """A place is left when it has its share; the rows are counted all the same."""
    found, connections = surveyed(large, Effort(places, 10_000, 6 * MIB, read_s=600, count_s=600))
    assert 3 < sum(sizes(found)) <= 6 + places
    assert len(found.windows) == places
    assert connections > 1
    assert (found.rows, found.is_exact) == (ROWS, True)


def test_a_place_is_left_when_its_time_is_over(large: World) -> None:
    """What came at once is used: the small rows, and a large one."""
    found, connections = surveyed(large, Effort(1, 10_000, 600 * MIB, read_s=0))
    assert ([len(window.rows) for window in found.windows], connections) == ([3], 2)


def test_without_a_bound_nothing_is_left(large: World) -> None:
    """Every row is read, by one connection."""
    found, connections = surveyed(large, Effort(1, 10_000, 600 * MIB, read_s=600, count_s=600))
    assert (sum(sizes(found)), connections) == (ROWS - 2, 1)
