"""One table that holds every type of the server, through the real command: each value is what the reference says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from tests.harness import World
from tests.reference_table import MARIADB, MYSQL, REFERENCE, Type


def types_of(world: World) -> list[Type]:
    """Those that the server has."""
    major, minor = re.findall(r"\d+", world.execute("SELECT VERSION()")[0][0].decode())[:2]
    make = MARIADB if world.is_mariadb else MYSQL
    return [one for one in REFERENCE if one.make in ("", make) and one.since <= (int(major), int(minor))]


@pytest.mark.parametrize("encoder", ["native", "reference"])
def test_every_type(world: World, encoder: str) -> None:
    """Minimum, maximum, zero, NULL and odd values of each type. A row has the values of one place in each list."""
    types = types_of(world)
    rows = max(len(one.values) for one in types)
    world.make_table("types", "id INT PRIMARY KEY, " + ", ".join(f"c{at} {one.name}" for at, one in enumerate(types)))
    world.execute("SET sql_mode = ''", *(insert(types, row) for row in range(rows)))
    done = world.run("run", "--table", "types", "--job", "t", "--encoder", encoder, "--json")
    assert done.code == 0, done.err
    assert done.summary["keys_written"] == rows
    client = world.target()
    found = {row: client.hgetall(f"types:{row}") for row in range(rows)}
    wrong = []
    for at, one in enumerate(types):
        for row, (sql, value) in enumerate(one.values):
            arrived = found[row].pop(f"c{at}".encode(), None)
            if arrived != value:
                wrong.append(f"{one.name} {sql} became {arrived!r}, not {value!r}")
    assert wrong == [], "\n".join(wrong)
    assert found == {row: {b"id": str(row).encode()} for row in range(rows)}, "a NULL became a field"
    told = world.run("verify", "t")
    assert told.code == 0, told.out + told.err


def insert(types: list[Type], row: int) -> str:
    """The statement for the row that has each type's value of this place; columns without one are NULL."""
    held = [(f"c{at}", one.values[row][0]) for at, one in enumerate(types) if row < len(one.values)]
    names, values = zip(*held, strict=True)
    return f"INSERT INTO types (id, {', '.join(names)}) VALUES ({row}, {', '.join(values)})"


# ---- time zones

MOMENTS = [datetime(2024, 1, 1, 12), datetime(2024, 7, 1, 22, 30), datetime(2024, 10, 27, 0, 30),
           datetime(2024, 10, 27, 1, 30), datetime(2024, 3, 31, 1, 0)]  # fmt: skip


@pytest.fixture
def berlin(world: World) -> Iterator[None]:
    """The zone Europe/Berlin, which a server knows only if somebody told it. It goes on knowing it until it ends."""
    if world.execute("SELECT CONVERT_TZ('2024-01-01', '+00:00', 'Europe/Berlin')")[0][0] is not None:
        yield
        return
    changes = [datetime(2023, 10, 29, 1), datetime(2024, 3, 31, 1), datetime(2024, 10, 27, 1), datetime(2025, 3, 30, 1)]
    seconds = [int(change.replace(tzinfo=timezone.utc).timestamp()) for change in changes]
    world.execute(
        "INSERT INTO mysql.time_zone (Time_zone_id, Use_leap_seconds) VALUES (4711, 'N')",
        "INSERT INTO mysql.time_zone_name (Name, Time_zone_id) VALUES ('Europe/Berlin', 4711)",
        "INSERT INTO mysql.time_zone_transition_type VALUES (4711, 0, 3600, 0, 'CET'), (4711, 1, 7200, 1, 'CEST')",
        "INSERT INTO mysql.time_zone_transition VALUES "
        + ", ".join(f"(4711, {second}, {at % 2})" for at, second in enumerate(seconds)),
    )
    yield
    tables = ("time_zone", "time_zone_name", "time_zone_transition_type", "time_zone_transition")
    world.execute(*(f"DELETE FROM mysql.{table} WHERE Time_zone_id = 4711" for table in tables))


@pytest.mark.parametrize(
    ("zone", "offset"),
    [
        (None, timedelta()),
        ("+00:00", timedelta()),
        ("+02:00", timedelta(hours=2)),
        ("-03:30", timedelta(hours=-3.5)),
        ("Europe/Berlin", None),
    ],
)
@pytest.mark.usefixtures("berlin")
def test_time_zones(world: World, zone: str | None, offset: timedelta | None) -> None:
    """A TIMESTAMP is a moment, which each zone writes in its own way; a DATETIME is what was written."""
    world.make_table("zones", "id INT PRIMARY KEY, moment TIMESTAMP(3) NULL, written DATETIME")
    values = ", ".join(f"({at}, '{moment}', '{moment}')" for at, moment in enumerate(MOMENTS))
    world.execute(f"INSERT INTO zones VALUES {values}")
    words = ["--time-zone", zone] if zone else []
    done = world.run("run", "--table", "zones", "--job", "z", *words)
    assert done.code == 0, done.err
    for at, moment in enumerate(MOMENTS):
        aware = moment.replace(tzinfo=timezone.utc)
        there = aware.astimezone(ZoneInfo("Europe/Berlin") if offset is None else timezone(offset))
        assert world.target().hgetall(f"zones:{at}") == {
            b"id": str(at).encode(),
            b"moment": there.strftime("%Y-%m-%d %H:%M:%S.000").encode(),
            b"written": str(moment).encode(),
        }
    told = world.run("verify", "z")
    assert told.code == 0, told.out + told.err
