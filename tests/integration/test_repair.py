"""A repair against real servers, while an application writes: what is newer stays, what nobody changes is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import redis

from shardload.config import spec
from shardload.encoding import Batch, Form
from shardload.jobs import prepare, targets
from shardload.model.differences import Difference, Fault
from shardload.model.keys import KeyRange
from shardload.sandbox import RedisCluster
from shardload.target import Ages
from shardload.worker.reader import Reader
from shardload.worker.repair import Repair
from shardload.worker.second_look import Found, SecondLook
from shardload.worker.settings import WorkerSettings
from shardload.worker.writer import Writer
from tests.harness import World

ALL = KeyRange()


@pytest.fixture(scope="module")
def three_masters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """A cluster of three masters."""
    with RedisCluster(tmp_path_factory.mktemp("cluster") / "cluster") as cluster:
        yield cluster


class App:
    """Changes a row, then its key, each time when a repair has read that row and not written or compared it yet."""

    def __init__(self, world: World, client: Any, *, is_hash: bool) -> None:
        self._world, self._client, self._is_hash = world, client, is_hash
        self.value = 0

    def change(self, number: int) -> None:
        """Change them."""
        self.value += 1
        self._world.execute(f"UPDATE hot SET v = 'app{self.value}' WHERE id = {number}")
        if self._is_hash:
            self._client.hset(f"h:{number}", mapping={"id": number, "v": f"app{self.value}"})
        else:
            self._client.set(f"h:{number}", f'{{"id":{number},"v":"app{self.value}"}}')

    def there(self, number: int) -> Any:
        """What the key holds."""
        if self._is_hash:
            return self._client.hget(f"h:{number}", "v").decode()
        return self._client.get(f"h:{number}").decode().partition('"v":"')[2].rstrip('"}')


def repaired(
    world: World,
    flags: dict[str, Any],
    wrong: list[int],
    after_read: Callable[[KeyRange, Form], None],
    keys: KeyRange = ALL,
) -> Found:
    """Repair these keys; `after_read` is called each time that rows were read, in this form, before what follows."""
    with _world_of(world, flags, after_read) as (settings, reader, writer, look):
        repair = Repair(settings, writer, look, keyed_rows=reader.keyed_rows, on_wait=lambda: None)
        found = Found([Difference(b"h:%d" % number, Fault.DIFFERENT) for number in wrong])
        repair.repair(keys, found, Ages())
    return found


@contextmanager
def _world_of(
    world: World, flags: dict[str, Any], after_read: Callable[[KeyRange, Form], None]
) -> Iterator[tuple[WorkerSettings, Reader, Writer, SecondLook]]:
    """What a worker has, with both connections, and a second look of which `after_read` hears."""
    wanted = spec.load(
        {"mysql": world.mysql.with_password(), "redis": world.redis.with_password(), "state_dir": world.state_dir,
         "table": "hot", "key": "h:{id}", "job": "v", "repair": True, **flags}, None, kind="verify",
    )  # fmt: skip
    job = prepare.begin(wanted)
    settings = WorkerSettings(
        job.directory, wanted.mysql, wanted.redis, job.subject.selection, 1000, job.subject.layout, job.form,
        native=targets.uses_native(wanted), known_nodes=job.target.addresses,
    )  # fmt: skip
    reader, writer = Reader(settings), Writer(settings, 0)
    reader.connect()
    writer.connect()

    def read(keys: KeyRange, form: Form) -> Iterator[Batch]:
        reader.encode_as(form)
        reader.route(writer.routes)
        reader.ask(keys)
        reader.begin()
        batches = [reader.batch(None)]
        while not batches[-1].ended:
            batches.append(reader.batch(None))
        after_read(keys, form)
        yield from batches

    try:
        yield settings, reader, writer, SecondLook(writer, settings.form, read=read, on_wait=lambda: None)
    finally:
        reader.close()
        writer.close()
        job.journal.close()


@pytest.fixture
def rows(world: World) -> World:
    """Nine rows."""
    world.make_table("hot", "id INT PRIMARY KEY, v VARCHAR(40)")
    world.execute(
        f"INSERT INTO hot VALUES {', '.join(f'({number}, {chr(39)}row{chr(39)})' for number in range(1, 10))}"
    )
    return world


def check(world: World, client: Any, form: str) -> None:
    """Rows 2 to 4 and 7 differ. The application writes 3 once and 7 all the time; 2 and 4 are repaired."""
    app = App(world, client, is_hash=form != "json")
    flags = {"as": "json"} if form == "json" else {"encoding": "commands" if form == "commands" else "auto"}
    hot: list[int] = []

    def after_read(keys: KeyRange, form: Form) -> None:
        if not form.reads and not hot and keys.low in ((2,), (3,)) and keys.high != (3,):
            hot.append(app.value)
            app.change(3)
        app.change(7)

    found = repaired(world, flags, [2, 3, 4, 7], after_read)
    assert {one.key for one in found.differences} == {b"h:2", b"h:4"}
    assert all(one.is_repaired for one in found.differences)
    assert (found.changing, found.rows_gone, found.expired) == (1, 0, 0)
    assert (app.there(2), app.there(4)) == ("row", "row")
    assert app.there(3).startswith("app")
    assert app.there(7) == f"app{app.value}"


@pytest.mark.parametrize("form", ["restore", "commands", "json"])
def test_what_is_newer_stays(rows: World, form: str) -> None:
    """On one server: neighbours are written together at first, then each for itself."""
    rows.target().flushall()
    check(rows, rows.target(), form)


@pytest.mark.parametrize("form", ["restore", "commands", "json"])
def test_what_is_newer_stays_in_a_cluster(rows: World, three_masters: RedisCluster, form: str) -> None:
    """Each key at its node."""
    rows.redis, before = three_masters.url, rows.redis
    first = three_masters.url.addresses[0]
    client: Any = redis.RedisCluster(first.host, first.port)
    try:
        client.flushall()
        check(rows, client, form)
    finally:
        rows.redis = before
        client.close()


def test_a_row_that_changes_from_look_to_look(rows: World) -> None:
    """Nobody can say that its key differs; one beside it does."""
    client = rows.target()
    client.flushall()
    app = App(rows, client, is_hash=True)
    with _world_of(rows, {}, lambda *_: app.change(7)) as (_, _, _, look):
        found = look.look(ALL, [b"h:2", b"h:7"], Ages())
    assert [(one.key, one.fault) for one in found.differences] == [(b"h:2", Fault.MISSING)]
    assert (found.changing, found.not_right) == (1, 2)


def test_a_row_that_is_gone(rows: World) -> None:
    """It is no difference any more, and nothing is written; a key beside it is."""
    rows.target().flushall()
    found = repaired(rows, {}, [2, 99], lambda *_: None)
    assert [one.key for one in found.differences] == [b"h:2"]
    assert found.rows_gone == 1
    assert rows.target().dbsize() == 1


@pytest.mark.parametrize(
    ("index", "split_by", "keys", "wrong"),
    [
        ("UNIQUE (a, b)", ["a", "b"], ALL, [1, 2, 3]),
        ("UNIQUE (a, b)", ["a", "b"], KeyRange(nulls=True), [4, 5, 6]),
        ("KEY (a)", ["a"], ALL, [1, 2, 3, 6]),
        ("KEY (a)", ["a"], KeyRange(nulls=True), [4, 5]),
    ],
)
def test_rows_that_are_told_apart_otherwise(
    world: World, index: str, split_by: list[str], keys: KeyRange, wrong: list[int]
) -> None:
    """By several columns, of which some are NULL; by an index in which two may be equal."""
    world.make_table("odd", f"id INT PRIMARY KEY, a VARCHAR(10), b INT, {index}")
    world.execute(
        "INSERT INTO odd VALUES (1, 'x', 1), (2, 'X', 2), (3, 'y', 1), (4, NULL, 5), (5, NULL, 5), (6, 'z', NULL)"
    )
    world.target().flushall()
    flags = {"table": "odd", "split_by": split_by}
    found = repaired(world, flags, [*wrong, 7], lambda *_: None, keys)
    assert [one.key for one in found.differences if one.is_repaired] == [b"h:%d" % number for number in wrong]
    assert found.rows_gone == 1
    assert world.target().dbsize() == len(wrong)


def test_without_the_right_to_watch(rows: World) -> None:
    """It is written as it is read."""
    client: Any = rows.target()
    client.flushall()
    client.execute_command("ACL", "SETUSER", "blind", "on", ">x", "~*", "+@all", "-watch")
    rows.redis, before = replace(rows.redis, user="blind", password="x"), rows.redis
    try:
        found = repaired(rows, {}, [2, 5], lambda *_: None)
    finally:
        rows.redis = before
        client.acl_deluser("blind")
    assert [one.is_repaired for one in found.differences] == [True, True]
