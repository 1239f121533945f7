"""A server, an init script or a proxy that cuts results short with a clean end; and tables that lose rows meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from shardload.config.urls import SourceUrl
from tests.harness import World, wait_until
from tests.troubled_mysql import Trouble, troubled

ROWS = 3000
JOB = "short"


def by_id(row: dict[str, bytes | None]) -> str:
    """The key template `short:{id}`."""
    value = row["id"]
    assert value is not None
    return f"short:{value.decode()}"


@pytest.fixture
def table(world: World) -> str:
    """Every second key is there, so that the keys do not show how many rows there should be."""
    world.make_table("short", "id INT PRIMARY KEY, n INT")
    world.execute(f"INSERT INTO short SELECT 2 * seq, seq FROM seq_1_to_{ROWS}", "ANALYZE TABLE short")
    return "short"


SETTINGS = (
    "sql_select_limit = 1000",
    "max_join_size = 10",
    "system_versioning_asof = '2001-01-01 00:00:00'",
    "init_connect = 'SET sql_select_limit = 100, sql_big_selects = 0, max_join_size = 10'",
)


@pytest.fixture(params=SETTINGS, ids=lambda setting: setting.split(" ")[0])
def ordinary(world: World, table: str, request: pytest.FixtureRequest) -> Iterator[SourceUrl]:
    """An ordinary user of a server with a global setting that cuts or refuses results."""
    name = request.param.split(" ")[0]
    before = "''" if name == "init_connect" else "DEFAULT"
    world.execute(
        f"ALTER TABLE {table} ADD SYSTEM VERSIONING",
        "CREATE OR REPLACE USER ordinary IDENTIFIED BY 'secret'",
        f"GRANT SELECT ON `{world.mysql.database}`.* TO ordinary",
        f"SET GLOBAL {request.param}",
    )
    yield SourceUrl(world.mysql.host, world.mysql.port, "ordinary", "secret", world.mysql.database)
    world.execute(f"SET GLOBAL {name} = {before}", "DROP USER ordinary")


def test_a_setting_that_cuts_results_cuts_none_of_ours(world: World, table: str, ordinary: SourceUrl) -> None:
    """Every row is loaded, and compared."""
    url = ordinary.with_password()
    done = world.run("run", "--table", table, "--job", JOB, "--json", SHARDLOAD_MYSQL_URL=url)
    assert (done.code, done.summary["rows_read"]) == (0, ROWS), done.err
    assert f"{ROWS:,} rows compared: 0 missing" in world.run("verify", JOB, SHARDLOAD_MYSQL_URL=url).out
    assert world.target().dbsize() == ROWS


@pytest.mark.parametrize("range_rows", ["50000", "600"])
def test_a_proxy_that_cuts_results_is_found_out(world: World, table: str, range_rows: str) -> None:
    """What MySQL counts decides: such a range is not done. It is halved until results come whole; every row is there.
    A comparison through such a proxy halves them, too."""
    with troubled(world.mysql, Trouble(most_rows=500)) as url:
        proxied = url.with_password()
        done = world.run("run", "--table", table, "--job", JOB, "--range-rows", range_rows, "--workers", "2", "--json",
                         SHARDLOAD_MYSQL_URL=proxied)  # fmt: skip
        assert (done.code, done.summary["rows_read"]) == (0, ROWS), done.err
        assert "MySQL sent 500 rows" in done.err
        assert world.assert_exact(table, by_id) == ROWS
        compared = world.run("verify", JOB, "--mysql", proxied)
        assert (compared.code, f"{ROWS:,} rows compared: 0 missing" in compared.out) == (0, True)
        assert "MySQL sent 500 rows" in compared.err


def test_rows_that_come_in_meanwhile_are_no_sign_of_a_cut(world: World, table: str) -> None:
    """MySQL counts more rows than it has sent, for one comes in before each count. So the range is read once more, in a
    snapshot, and nobody is blamed."""

    def insert(key: int) -> Callable[[], object]:
        return lambda: world.execute(f"INSERT INTO {table} VALUES ({key}, {key})")

    with troubled(world.mysql, Trouble(meanwhile=[insert(7), insert(5), insert(3)])) as url:
        done = world.run("run", "--table", table, "--job", JOB, "--json", SHARDLOAD_MYSQL_URL=url.with_password())
    assert (done.code, done.summary["rows_read"]) == (0, ROWS + 1), done.err
    assert "MySQL sent" not in (world.state_dir / JOB / "log").read_text()
    assert world.target().dbsize() == ROWS + 1


@pytest.mark.parametrize(("refused_key", "failed"), [(3, 0), (5, 1)])
def test_a_key_without_a_row_is_no_failed_row(world: World, refused_key: int, failed: int) -> None:
    """MySQL refuses to read what lies around a key: its range is halved until the key is alone. Where it has a row,
    that row failed; where it has none, nothing did."""
    world.make_table("damaged", "id INT PRIMARY KEY, n INT")
    world.execute("INSERT INTO damaged VALUES (1, 1), (2, 2), (5, 5), (6, 6)")
    with troubled(world.mysql, Trouble(refused_key=refused_key)) as url:
        done = world.run("run", "--table", "damaged", "--job", JOB, "--json", "--workers", "1",
                         SHARDLOAD_MYSQL_URL=url.with_password())  # fmt: skip
    assert done.code == (1 if failed else 0), done.err
    assert (done.summary["rows_read"], done.summary["rows_failed"]) == (4, failed)
    assert world.target().dbsize() == 4 - failed


@pytest.mark.parametrize("loss", ["TRUNCATE short", "RENAME TABLE short TO lost, empty TO short"])
def test_a_table_that_loses_its_rows_meanwhile_is_not_complete(world: World, table: str, loss: str) -> None:
    """The job ends, and says with numbers what it missed; resumed, it says so again."""
    world.make_table("empty", "id INT PRIMARY KEY, n INT")
    world.tables.append("lost")
    words = ("--table", table, "--range-rows", "100", "--workers", "1", "--rate", "1000")
    daemon = world.launch("run", *words, job=JOB)
    daemon.wait_for("some ranges", lambda seen: seen["ranges_done"] >= 3)
    world.execute(loss)
    seen = daemon.end()
    assert seen["state"] == "incomplete"
    assert 300 <= seen["rows_read"] < ROWS
    assert seen["rows_lost"] > ROWS // 3
    assert "rows were planned, 0 are left" in world.run("failures", JOB).out
    again = world.run("resume", JOB, "--rate", "off")
    assert again.code == 1
    assert "the table has lost about" in again.err
    assert f"shardload failures {JOB}" in again.err


def test_a_few_deleted_rows_are_no_loss(world: World, table: str) -> None:
    """Live traffic deletes rows; a job that meets fewer than it planned is complete all the same."""
    daemon = world.launch("run", "--table", table, "--range-rows", "300", "--workers", "1", "--rate", "2000", job=JOB)
    world.execute(f"DELETE FROM {table} WHERE id > {2 * ROWS - 60}")
    seen = daemon.end()
    assert seen["state"] == "complete", daemon.log()
    wait_until(lambda: world.assert_exact(table, by_id) == ROWS - 30, "the rows that are left")
