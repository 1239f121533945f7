"""The files of fingerprints, and how they are counted in bounded memory."""

from __future__ import annotations

import os
import random
import stat
from array import array
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from shardload.encoding import make_tally
from shardload.encoding.fingerprints import END, most_of
from shardload.errors import DirectoryLost
from shardload.jobdir.fingerprints import FingerprintWriter, Record, Try, records, remove_fingerprints
from shardload.jobs.sharing import count
from shardload.model.shared import Shared

SEED = int(os.environ.get("SHARDLOAD_TEST_SEED", "0")) or random.randrange(1, 2**31)


def numbers(record: Record) -> list[int]:
    """The record's fingerprints."""
    return list(array("Q", record.fingerprints))


def packed(wanted: list[int]) -> bytes:
    """Fingerprints, as a batch has them."""
    return array("Q", wanted).tobytes()


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Records in order, of several processes; only the user may read them."""
    tmp_path.chmod(0o700)
    large = list(range(40_000))
    for slot in (0, 0, 1):
        writer = FingerprintWriter(tmp_path, slot)
        one = Try(7, 2, 99 + slot)
        writer.begin()
        writer.add(one, packed([1, 2]))
        writer.begin()  # the range was interrupted
        writer.add(one, packed(large))
        writer.add(one, packed([5]))
        writer.end(one)
        writer.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["fingerprints.0.0", "fingerprints.0.1", "fingerprints.1.0"]
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in names} == {0o600}
    found = list(records(tmp_path))
    assert [(record.of, record.is_last, numbers(record)) for record in found] == [
        (Try(7, 2, begun), is_last, wanted)
        for begun in (99, 99, 100)
        for is_last, wanted in ((False, large), (True, [5]))
    ]
    (tmp_path / "other").touch()
    remove_fingerprints(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_half_a_record_is_none(tmp_path: Path) -> None:
    """Wherever a kill cut the file, what is whole is read; so it is before a damaged record."""
    tmp_path.chmod(0o700)
    writer = FingerprintWriter(tmp_path, 0)
    for range_id in (1, 2):
        writer.begin()
        writer.add(Try(range_id, 1, 5), packed([range_id] * 3))
        writer.end(Try(range_id, 1, 5))
    file = tmp_path / "fingerprints.0.0"
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        assert len(list(records(tmp_path))) == length // (len(whole) // 2)
    file.write_bytes(whole[: len(whole) // 2] + b"x" * len(whole))
    assert [numbers(record) for record in records(tmp_path)] == [[1, 1, 1]]


def test_a_full_disk_is_an_error_in_one_line(tmp_path: Path) -> None:
    """The job cannot go on without them; nothing is written behind the half record."""
    tmp_path.chmod(0o700)
    writer = FingerprintWriter(tmp_path, 0)
    writer.end(Try(1, 1, 1))
    os.close(writer._descriptor)
    writer._descriptor = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(DirectoryLost, match=r"cannot write the fingerprints of keys into .*: No space left on device"):
        writer.end(Try(1, 1, 2))
    writer.end(Try(1, 1, 3))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fingerprints.0.0", "fingerprints.0.1"]


def counted(wanted: list[int], slots: int) -> tuple[int, list[int], int]:
    """How many of these are shared, the examples, and how often all of them were read, with so many slots."""
    reads = 0

    def valid() -> Iterator[Record]:
        nonlocal reads
        reads += 1
        for at in range(0, len(wanted), 100):
            yield Record(Try(1, 1, 1), False, packed(wanted[at : at + 100]))

    found = count(make_tally(slots, 4, native=False), valid, len(wanted), most_of(slots))
    return found.keys, found.examples, reads


def test_several_passes_count_what_one_does() -> None:
    """Less memory means more passes, and the same result."""
    print("seed", SEED)
    rng = random.Random(SEED)
    wanted = [rng.randrange(END) for _ in range(3000)]
    wanted += rng.sample(wanted, 300) + wanted[:5] * 4
    shared = {number for number, times in Counter(wanted).items() if times > 1}
    for slots, passes in ((10_000, 1), (1000, 5), (100, 40)):
        keys, examples, reads = counted(wanted, slots)
        assert keys == len(shared)
        assert len(examples) == 4
        assert set(examples) <= shared
        assert reads >= passes


def test_unevenly_spread_fingerprints_take_more_passes() -> None:
    """Nearly all in one corner: memory stays bounded; and one key of every row needs one pass."""
    wanted = [END - 1 - n for n in range(200)] * 2 + [5, 5, 6]
    assert counted(wanted, 20)[0] == 201
    assert counted([7] * 1000, 2000) == (1, [7], 1)
    assert counted([], 2) == (0, [], 1)


def test_the_journal_may_say_anything() -> None:
    """What makes no sense is nothing."""
    assert Shared.from_json(Shared(3, "told").as_json(is_final=True)) == Shared(3, "told")
    assert Shared.from_json({"keys": "3", "told": 7}) == Shared.from_json({}) == Shared()
