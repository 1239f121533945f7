"""The journal: settled ranges stay settled, and the totals add up."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from shardload.errors import JournalError
from shardload.jobdir.journal import Journal
from shardload.model.counts import Counts, SetAside, Totals
from shardload.model.keys import KeyRange, KeyValue, PlannedRange, RangeRecord, integer_range
from shardload.model.nodes import NodeFacts
from shardload.model.tasks import Report
from shardload.ranges.lineage import Checkpoint

PLAN = [
    PlannedRange(integer_range(0, 100), 90),
    PlannedRange(integer_range(100, 200), 80),
    PlannedRange(integer_range(200, 2**64), 70),
]
FACTS = {"identity": {"table": "user", "columns": None}, "table": {"columns": [["id", "bigint unsigned"]]}}


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """A new journal of three ranges."""
    return Journal.create(tmp_path / "journal.sqlite", FACTS, PLAN)


def other(journal: Journal) -> Journal:
    """The same file, as another process sees it."""
    return Journal(journal.path)


def test_a_new_journal_holds_the_plan_and_the_facts(journal: Journal) -> None:
    """Every range is pending, with its estimate; the facts are those that were stored."""
    assert journal.todo() == [
        RangeRecord(1, integer_range(0, 100), 90, 0),
        RangeRecord(2, integer_range(100, 200), 80, 0),
        RangeRecord(3, integer_range(200, 2**64), 70, 0),
    ]
    assert journal.fact("identity") == FACTS["identity"]
    assert journal.fact("table") == FACTS["table"]
    assert journal.totals() == Totals(Counts(), 3, 0, 0, 0, 240, 0, 0.0)
    assert list(journal.failures()) == []
    assert [path.name for path in journal.path.parent.iterdir() if path.suffix == ".new"] == []


@pytest.mark.parametrize(
    "keys",
    [
        integer_range(2**64 - 1, 2**64),
        integer_range(-(2**63), 2**64),
        KeyRange(),
        KeyRange(None, (b"\0'\xff",)),
        KeyRange(("1.50", 3), None),
        KeyRange(nulls=True),
    ],
)
def test_every_kind_of_key(tmp_path: Path, keys: KeyRange) -> None:
    """Integers may exceed 2**63 - 1, where SQLite's own end; an end may be open."""
    journal = Journal.create(tmp_path / "j", {}, [PlannedRange(keys, 1)])
    assert [record.keys for record in journal.todo()] == [keys]


def test_ranges_come_in_the_order_of_the_plan(tmp_path: Path) -> None:
    """Which is that of their keys: nobody here could compare those. Parts of parts come where their whole was."""
    keys: list[KeyValue] = [b"b", b"a", b"C", b"c", "1", 1]
    plan = [PlannedRange(KeyRange((low,), (high,)), 1) for low, high in pairwise(keys)]
    journal = Journal.create(tmp_path / "j", {}, plan)
    assert [record.keys for record in journal.todo()] == [planned.keys for planned in plan]
    _, part = journal.replace(2, [PlannedRange(KeyRange((b"a",), (n,)), 1) for n in range(2)])
    journal.replace(part.range_id, [PlannedRange(KeyRange((n,), (n + 1,)), 1) for n in range(20)])
    assert [record.range_id for record in journal.todo()] == [1, 6, *range(8, 28), 3, 4, 5]
    assert other(journal).record(27).keys == integer_range(19, 20)
    with pytest.raises(JournalError, match="range 99 is missing"):
        journal.record(99)


def test_an_empty_plan(tmp_path: Path) -> None:
    """The journal of an empty table has nothing pending and nothing done, and raises no error."""
    journal = Journal.create(tmp_path / "j", {}, [])
    assert journal.todo() == []
    assert journal.totals() == Totals(Counts(), 0, 0, 0, 0, 0, 0, 0.0)


def test_finish_settles_a_range(journal: Journal) -> None:
    """Its counts are in the totals, it is no longer pending, and another reader sees that at once."""
    told = [SetAside("id=5", "too long"), SetAside("id=6", "NULL\nin the key")]
    journal.finish(2, Counts(10, 7, 1, 2, 100, 200), 2**60 - 1, 1, Report(told))
    seen = other(journal)
    assert [record.range_id for record in seen.todo()] == [1, 3]
    assert seen.totals() == Totals(Counts(10, 7, 1, 2, 100, 200), 3, 1, 0, 0, 240, 80, 0.0)
    assert list(seen.failures()) == told


def test_a_finished_range_waits_for_the_next_commit(journal: Journal) -> None:
    """A kill before the commit leaves the range pending; every other call commits it."""
    for finished, commit in enumerate(
        [journal.commit, lambda: journal.note_attempt(3, 1), journal.totals, journal.todo, journal.close]
    ):
        journal.finish(1, Counts(finished + 1, finished + 1), 1, 1)
        assert not journal.is_committed
        assert other(journal).totals().counts.rows_read == finished
        commit()
        assert journal.is_committed
        assert other(journal).totals().counts.rows_read == finished + 1
    journal.commit()  # nothing waits: nothing is done


def test_what_cannot_be_committed_is_to_do(journal: Journal) -> None:
    """The error is raised once. After that the journal shows what the file has, and can be read."""
    journal.finish(1, Counts(1, 1), 1, 1)
    with sqlite3.connect(journal.path) as db:
        db.execute("CREATE TRIGGER full BEFORE UPDATE ON range BEGIN SELECT RAISE(ABORT, 'no room'); END")
    db.close()
    with pytest.raises(JournalError, match="no room"):
        journal.commit()
    assert journal.is_committed
    assert [record.range_id for record in journal.todo()] == [1, 2, 3]
    journal.close()


def test_finish_again_replaces(journal: Journal) -> None:
    """A range that was loaded twice counts once, with its last counts."""
    journal.finish(1, Counts(5, 4, 0, 1, 1, 1), 1, 1, Report([SetAside("id=1", "first")]))
    journal.finish(1, Counts(6, 5, 0, 1, 2, 2), 2, 2, Report([SetAside("id=2", "second")]))
    assert journal.totals().counts == Counts(6, 5, 0, 1, 2, 2)
    assert list(journal.failures()) == [SetAside("id=2", "second")]
    assert journal.totals().ranges_retried == 1


def test_totals_add_up_over_all_ranges(journal: Journal) -> None:
    """Each field is the sum over the ranges."""
    parts = [Counts(1, 1, 0, 0, 10, 20), Counts(30, 28, 1, 1, 40, 50), Counts(500, 500, 0, 0, 600, 2**40)]
    for number, counts in enumerate(parts, 1):
        journal.finish(number, counts, 1, 1)
    totals = journal.totals()
    assert totals.counts == parts[0] + parts[1] + parts[2]
    assert (totals.ranges_done, totals.estimated_rows_done) == (3, 240)
    assert totals.counts.adds_up()


def test_totals_can_be_kept_without_asking(journal: Journal) -> None:
    """`Totals.with_done` gives the same as reading the file again."""
    before, record = journal.totals(), journal.todo()[0]
    counts = Counts(9, 9, 0, 0, 90, 99)
    journal.finish(record.range_id, counts, 1, 1)
    assert before.with_done(record.estimated_rows, counts) == journal.totals()


def test_attempts_are_noted(journal: Journal) -> None:
    """After a failed attempt the range stays pending; with a second attempt it counts as retried."""
    journal.note_attempt(1, 1)
    assert journal.totals().ranges_retried == 0
    journal.note_attempt(1, 2)
    assert other(journal).todo()[0].attempts == 2
    assert journal.totals().ranges_retried == 1


def test_parts_take_a_ranges_place(journal: Journal) -> None:
    """The range no longer counts itself."""
    parts = [PlannedRange(integer_range(0, 50), 45), PlannedRange(integer_range(50, 100), 44)]
    records = journal.replace(1, parts)
    assert [(one.keys, one.estimated_rows, one.attempts) for one in records] == [
        (part.keys, part.estimated_rows, 0) for part in parts
    ]
    assert other(journal).todo() == [*records, *journal.todo()[2:]]
    totals = journal.totals()
    assert (totals.ranges, totals.ranges_done, totals.estimated_rows) == (4, 0, 239)


def test_set_aside_is_one_failed_row(journal: Journal) -> None:
    """What could not be loaded, and not cut, is counted as read and failed, listed, and no longer pending."""
    journal.set_aside(3, 4, SetAside("id=200", "WRONGTYPE"))
    totals = journal.totals()
    assert totals.counts == Counts(rows_read=1, rows_failed=1)
    assert (totals.ranges_set_aside, totals.ranges_done, totals.ranges_retried) == (1, 0, 1)
    assert list(journal.failures()) == [SetAside("id=200", "WRONGTYPE")]
    assert [record.range_id for record in journal.todo()] == [1, 2]
    journal.set_aside(1, 4, SetAside("17 rows", "WRONGTYPE"), 17)
    assert journal.totals().counts == Counts(rows_read=18, rows_failed=18)


def test_reopen_failures(journal: Journal) -> None:
    """Ranges with failed rows are pending again, without counts and failures; their attempts stay."""
    journal.finish(1, Counts(5, 5, 0, 0, 1, 1), 1, 1)
    journal.finish(2, Counts(5, 4, 0, 1, 1, 1), 1, 3, Report([SetAside("id=100", "x")]))
    journal.set_aside(3, 4, SetAside("id=200", "y"))
    assert journal.reopen_failures() == 2
    assert [(record.range_id, record.attempts) for record in journal.todo()] == [(2, 3), (3, 4)]
    assert journal.totals().counts == Counts(5, 5, 0, 0, 1, 1)
    assert list(journal.failures()) == []
    assert journal.reopen_failures() == 0


@pytest.mark.parametrize(
    ("epoch", "counts", "now", "known", "before_look", "reopened"),
    [
        (7, Counts(5, 5), 7, 7, 0, 0),
        (7, Counts(5, 5), 8, 7, 0, 1),
        (7, Counts(5, 5), 8, 7, 3, 1),  # settled after look 3 was begun
        (7, Counts(5, 5), 8, 7, 4, 0),
        (7, Counts(5, 5), 8, 7, None, 0),
        (7, Counts(5, 5), 8, 6, None, 1),  # another server
        (0, Counts(5, 5), 8, 7, 0, 0),  # a Redis that does not tell its epoch
        (7, Counts(5, 0, 5), 8, 7, 0, 0),  # no key was written: none can be gone
        (2**60 - 1, Counts(5, 5), 2**60 - 2, 1, None, 1),
    ],
)
def test_adopt_what_another_epoch_of_redis_confirmed(
    journal: Journal, epoch: int, counts: Counts, now: int, known: int, before_look: int | None, reopened: int
) -> None:
    """Its keys may be lost: the range is pending again, and its counts are removed; or it belongs to the new epoch."""
    journal.finish(2, counts, epoch, 1, look=3)
    assert journal.adopt_epoch(now, known, before_look) == reopened
    assert len(journal.todo()) == 2 + reopened
    assert journal.totals().counts == (Counts() if reopened else counts)
    assert journal.adopt_epoch(now, known, 0) == 0


def test_checkpoints(journal: Journal) -> None:
    """They come back as they were noted, the oldest first; some are dropped."""
    nodes = (NodeFacts("h:1", "r", "d", 2**60, "e", 5, True, 2, ((0, 5), (7, 9))), NodeFacts("h:2"))
    noted = [Checkpoint(number, 2**55 + number, nodes) for number in (3, 1, 2)]
    for checkpoint in noted:
        journal.note_checkpoint(checkpoint, [])
    assert journal.checkpoints() == sorted(noted, key=lambda one: one.number)
    journal.note_checkpoint(Checkpoint(4, 1, ()), [1, 3])
    assert [one.number for one in journal.checkpoints()] == [2, 4]


def test_runs_and_their_time(journal: Journal) -> None:
    """The seconds of all runs add up; the last value recorded for a run counts."""
    first = journal.begin_run("2030-01-01T00:00:00+0000")
    journal.end_run(first, 1.5)
    journal.end_run(first, 2.5)
    second = other(journal).begin_run("2030-01-02T00:00:00+0000")
    assert second != first
    journal.end_run(second, 10.0)
    assert journal.totals().seconds == 12.5


def test_it_opens_again_after_close(journal: Journal) -> None:
    """`close` is called before a fork; the next call opens the file again."""
    journal.finish(1, Counts(1, 1), 1, 1)
    journal.close()
    journal.close()
    assert journal.totals().counts.rows_read == 1


def test_a_reader_while_a_transaction_is_open(journal: Journal) -> None:
    """It sees the last committed state at once, and does not block the writer."""
    journal.finish(1, Counts(1, 1), 1, 1)
    journal.commit()
    writer = sqlite3.connect(journal.path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("UPDATE range SET state = 'done', rows_read = 1000")
    assert other(journal).totals().counts.rows_read == 1
    writer.execute("COMMIT")
    writer.close()
    assert other(journal).totals().counts.rows_read == 3000


def test_failures_may_be_read_while_more_are_written(journal: Journal) -> None:
    """Listing the failures does not block the run."""
    journal.finish(1, Counts(2, 0, 0, 2), 1, 1, Report([SetAside("id=1", "x"), SetAside("id=2", "x")]))
    reading = other(journal).failures()
    assert next(reading).key == "id=1"
    journal.set_aside(3, 1, SetAside("id=200", "y"))
    assert [failure.key for failure in reading][:1] == ["id=2"]
    assert len(list(journal.failures())) == 3


@pytest.mark.parametrize("version", [1, 99])
def test_a_foreign_version_is_refused(journal: Journal, version: int) -> None:
    """The error names the version found and the version needed."""
    journal.close()
    with sqlite3.connect(journal.path) as db:
        db.execute(f"PRAGMA user_version = {version}")
    db.close()
    with pytest.raises(JournalError) as caught:
        other(journal).totals()
    assert caught.value.message == f"the journal {journal.path} has version {version}, not 5"
    assert caught.value.hint == "resume it with the version of shardload that started it, or start a new job"


@pytest.mark.parametrize("content", [b"not a database, but long enough to be taken for one" * 100, b"x"])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """The error is JournalError and names the file."""
    path = tmp_path / "journal.sqlite"
    path.write_bytes(content)
    with pytest.raises(JournalError, match=r"journal\.sqlite"):
        Journal(path).totals()


def overwritten(content: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Damage the bytes of the file."""

    def overwrite(path: Path) -> None:
        path.write_bytes(content(path.read_bytes()))

    return overwrite


def changed(*statements: str) -> Callable[[Path], None]:
    """Damage the contents by SQL statements that SQLite accepts."""

    def change(path: Path) -> None:
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA ignore_check_constraints = 1")
            for statement in statements:
                db.execute(statement)
        db.close()

    return change


def foreign(path: Path) -> None:
    """Put the database of another program in its place."""
    path.unlink()
    changed("CREATE TABLE bookmark (url TEXT)")(path)


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "truncated": (overwritten(lambda content: content[:5000]), "failed: "),
    "zeros": (overwritten(lambda content: b"\0" * len(content)), "failed: file is not a database"),
    "zeros in the middle": (overwritten(lambda content: content[:4096] + b"\0" * (len(content) - 4096)), "failed: "),
    "empty": (overwritten(lambda _: b""), "is not a shardload journal"),
    "foreign": (foreign, "is not a shardload journal"),
    "no table": (changed("DROP TABLE job", "DROP TABLE range"), "no such table"),
    "a column gone": (changed("ALTER TABLE failure DROP COLUMN reason"), "no such column"),
    "text for a count": (changed("UPDATE range SET rows_read = 'many'"), "0.0 is not a number"),
    "text for a bound": (changed("UPDATE range SET low = 'a' WHERE id = 2"), "impossible bounds"),
    "a bound for a number": (changed("UPDATE range SET low = x'31' WHERE id = 2"), "impossible bounds"),
    "bounds the wrong way round": (changed("UPDATE range SET low = '[900]' WHERE id = 2"), "impossible bounds"),
    "a bound that is no list": (changed("UPDATE range SET high = '7' WHERE id = 3"), "impossible bounds"),
    "a bound of no known type": (changed("UPDATE range SET high = '[1.5]' WHERE id = 3"), "impossible bounds"),
    "text for attempts": (changed("UPDATE range SET attempts = 'x'"), "'x' is not a number"),
    "seconds without end": (changed("INSERT INTO run VALUES (1, '', 9e999)"), "of a run is not a number"),
    "a fact that is no JSON": (changed("UPDATE job SET value = '{'"), "damaged: Expecting"),
    "a fact of another kind": (changed("UPDATE job SET value = '[1]'"), "not a JSON object"),
    "a deep fact": (changed(f"UPDATE job SET value = '{'[' * 100_000}'"), "damaged: "),
    "a fact that is no text": (changed("UPDATE job SET value = x'ff'"), "damaged: "),
    "no facts": (changed("DELETE FROM job"), "identity is missing"),
    "bytes for a reason": (changed("INSERT INTO failure VALUES (1, 'id=1', x'ff')"), "not text"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_of_every_kind_is_said(journal: Journal, kind: str) -> None:
    """Every read gives a JournalError in one line; no other error comes through."""
    damage, told = DAMAGES[kind]
    journal.close()
    damage(journal.path)
    said = []
    reads: list[Callable[[], object]] = [
        journal.totals, journal.todo, lambda: list(journal.failures()), lambda: journal.fact("identity")
    ]  # fmt: skip
    for read in reads:
        try:
            read()
        except JournalError as error:
            said.append(str(error))
            journal = other(journal)
    assert any(told in line for line in said), said
    assert all(str(journal.path) in line for line in said)


def test_a_missing_file_is_not_made(tmp_path: Path) -> None:
    """Reading a journal that does not exist makes no file."""
    path = tmp_path / "journal.sqlite"
    with pytest.raises(JournalError, match="unable to open"):
        Journal(path).totals()
    assert not path.exists()


def test_a_half_made_journal_is_made_anew(tmp_path: Path) -> None:
    """A file that a killed `create` left is replaced, and a journal gets its name only when it is complete."""
    path = tmp_path / "journal.sqlite"
    path.with_suffix(".new").write_bytes(b"half")
    with pytest.raises(JournalError, match="NOT NULL"):
        Journal.create(path, {}, [PlannedRange(integer_range(0, 1), None)])  # type: ignore[arg-type]  # to fail in the middle
    assert not path.exists()
    assert len(Journal.create(path, {}, PLAN).todo()) == 3


def test_what_lies_on_a_read_only_file_system_can_be_read(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """It can be read, also by a user who may not write to the directory, and no file is made."""
    journal.finish(1, Counts(5, 5), 1, 1, Report([SetAside("id=1", "odd")]))
    journal.close()
    before = {path.name for path in journal.path.parent.iterdir()}
    assert before == {"journal.sqlite"}
    monkeypatch.setattr("shardload.jobdir.database._is_read_only", lambda path: path == journal.path.parent)
    reader = other(journal)
    assert reader.totals().ranges_done == 1
    assert [failure.key for failure in reader.failures()] == ["id=1"]
    assert {path.name for path in journal.path.parent.iterdir()} == before
    with pytest.raises(JournalError, match="readonly"):
        reader.reopen_failures()
    reader.close()
