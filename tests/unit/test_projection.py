"""Will it fit: what an import adds to a node's memory, against its limit."""

from __future__ import annotations

import pytest

from shardload.model.memory import Family, table_bytes
from shardload.model.projection import NodeMemory, Projection, fullest, told

MIB = 2**20
NODE = NodeMemory("h:1", 10 * MIB, 100 * MIB, "maxmemory", keys=1000)


def test_what_is_added() -> None:
    """The keys, and how much the key table grows."""
    added = Projection(NODE, 100_000, 200.0).added_bytes
    assert added == 20_000_000 + table_bytes(Family.CLASSIC, 101_000) - table_bytes(Family.CLASSIC, 1000)


def test_keys_that_expire_have_a_table_more() -> None:
    """Half of them: one for 50,000."""
    without, half = (Projection(NODE, 100_000, 200.0, share).added_bytes for share in (0.0, 0.5))
    assert half - without == table_bytes(Family.CLASSIC, 50_000)


def test_a_table_that_grows_is_there_twice() -> None:
    """A job that ends just behind a doubling needs the old table, too; one that ends later does not."""
    at, later = (Projection(NODE, keys - 1000, 10.0) for keys in (65_537, 131_000))
    assert at.peak_bytes - at.node.used_bytes - at.added_bytes == table_bytes(Family.CLASSIC, 65_536)
    assert later.peak_bytes == later.node.used_bytes + later.added_bytes


@pytest.mark.parametrize(
    ("limit", "fits", "close"), [(100, True, False), (32, True, True), (25, False, False), (None, True, False)]
)
def test_the_limit(limit: int | None, fits: bool, close: bool) -> None:
    """It fits, with less than a tenth left, or not; without a limit nobody knows, and nothing is refused."""
    node = NodeMemory("h:1", 10 * MIB, limit and limit * MIB, "maxmemory")
    one = Projection(node, 100_000, 200.0)
    assert (one.fits, one.is_close) == (fits, close)
    assert (one.missing_bytes > 0) is not fits


def test_nothing_new_always_fits() -> None:
    """Whatever is used: the keys are there already."""
    assert Projection(NodeMemory("h:1", 10 * MIB, 1 * MIB, "maxmemory"), 0, 200.0, margin_bytes=MIB).fits


def test_the_fullest_node_decides() -> None:
    """Not the one with most keys."""
    small = Projection(NodeMemory("h:2", 10 * MIB, 20 * MIB, "maxmemory"), 100_000, 200.0)
    assert fullest([Projection(NODE, 200_000, 200.0), small]) is small
    assert told(small, 2).startswith("h:2: 10.0 MiB used, about 20.1 MiB more for 100,000 keys, of 20.0 MiB")


def test_it_learns_from_what_is_used() -> None:
    """Enough keys tell what a key takes; few do not. Tables are not counted twice."""
    one = Projection(NODE, 1_000_000, 200.0)
    real = Projection(NODE, 1_000_000, 250.0)
    used = NODE.used_bytes + Projection(NODE, 400_000, 250.0).added_bytes
    assert one.recalibrated(used, 400_000).added_bytes == pytest.approx(real.added_bytes, rel=0.001)
    assert one.recalibrated(used, 400) == one


def test_it_learns_that_there_are_more_keys() -> None:
    """The rows were an estimate."""
    one = Projection(NODE, 1_000_000, 200.0)
    used = NODE.used_bytes + Projection(NODE, 1_200_000, 200.0).added_bytes
    assert one.recalibrated(used, 1_200_000).new_keys == 1_200_000


def test_its_json() -> None:
    """An unknown limit is null, and so is whether it fits."""
    told_ = Projection(NodeMemory("h:1"), 10, 5.0).as_json()
    assert (told_["limit_bytes"], told_["fits"]) == (None, None)
    assert Projection(NODE, 10, 5.0).as_json()["fits"] is True
