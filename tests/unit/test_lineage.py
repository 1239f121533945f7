"""What of the confirmed keys survives a restart, a failover, and a cluster that changes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shardload.model.nodes import NO_ID, NodeFacts
from shardload.ranges.lineage import Checkpoint, Lineage

LEFT, RIGHT, ALL = ((0, 99),), ((100, 199),), ((0, 199),)


def node(
    run: str,
    history: str,
    offset: int = 0,
    *,
    before: str = NO_ID,
    end: int = 0,
    slots: tuple[tuple[int, int], ...] = ALL,
) -> NodeFacts:
    """A server process with a history, which came out of the history `before` at the offset `end`."""
    return NodeFacts("h:1", run, history, offset, before, end, slots=slots)


def replica(run: str, history: str, offset: int = 0) -> NodeFacts:
    """A server process that follows a master's history, and has no slots."""
    return NodeFacts("h:1", run, history, offset, NO_ID, 0, is_master=False, slots=())


def seen(*looks: tuple[NodeFacts, ...]) -> Lineage:
    """A lineage of these looks, numbered from 1."""
    return Lineage(Checkpoint(number, 7, nodes) for number, nodes in enumerate(looks, 1))


GROWING = tuple((node("a", "A", offset),) for offset in (100, 200, 300))


@pytest.mark.parametrize(
    ("now", "until"),
    [
        (node("a", "A", 900), None),
        (node("b", "B"), 0),  # restarted empty
        (node("b", "B", before="A", end=301), 3),  # promoted: it has byte 300
        (node("b", "B", before="A", end=300), 2),
        (node("b", "B", before="A", end=100), 0),
        (node("b", "B", before="X", end=900), 0),  # it followed another master
        (node("b", "A", 250), 2),  # it follows A, and is not promoted yet
        (node("a", "B", before="A", end=301), 3),  # the same process was a replica meanwhile
        (node("a", "B", before="X", end=301), 0),
        (node("a", "B"), None),  # its first replica came
        (NodeFacts("h:1"), 0),  # it tells nothing
    ],
)
def test_one_server(now: NodeFacts, until: int | None) -> None:
    """Up to the last look at an offset that it has."""
    assert seen(*GROWING).survives_until([now]) == until


@pytest.mark.parametrize(
    "old",
    [
        [],
        [NodeFacts("h:1", "a", "A", 300, is_master=False)],  # it is not synchronised yet
        [
            NodeFacts("h:1", "a", "B", 300, NO_ID, is_master=False)
        ],  # wholly, which it is if it had more than the new one
        [NodeFacts("h:1", "a", "A", 300)],  # it was asleep, and has not heard of it
    ],
)
@pytest.mark.parametrize("slots", [ALL, ()])
def test_an_old_master_that_is_back_decides_nothing(old: list[NodeFacts], slots: tuple[tuple[int, int], ...]) -> None:
    """The promoted replica does."""
    back = [replace(node, slots=slots) for node in old]
    promoted = node("b", "B", before="A", end=250)
    for now in ([promoted, *back], [*back, promoted]):
        assert seen(*GROWING).survives_until(now) == 2


def test_a_master_that_follows_another_one_has_lost_all() -> None:
    """One server, whose address stays; its data are the other one's."""
    for history in "AX":
        assert seen(*GROWING).survives_until([NodeFacts("h:1", "a", history, 500, is_master=False)]) == 0


def test_a_process_that_does_not_tell_its_id() -> None:
    """Its history counts."""
    lineage = seen((node("", "A", 100),))
    assert lineage.survives_until([node("", "A", 200)]) is None
    assert lineage.survives_until([node("", "B", 200)]) == 0


def test_nobody_has_looked() -> None:
    """Then nothing is sure."""
    assert Lineage().survives_until([node("a", "A")]) == 0


def test_a_gap_makes_a_new_history_doubtful() -> None:
    """An hour without replicas removes the trace of a promotion."""
    assert seen(*GROWING).survives_until([node("a", "B")], after_a_gap=True) == 0
    assert seen(*GROWING).survives_until([node("a", "A", 300)], after_a_gap=True) is None


def test_every_master_of_a_cluster_has_to_have_it() -> None:
    """The one that lost most decides; one that lost nothing does not count."""
    looks = [
        (node("a", "A", offset, slots=LEFT), node("b", "B", 10 * offset, slots=RIGHT)) for offset in (100, 200, 300)
    ]
    left, right = looks[-1]
    promoted_left = node("c", "C", before="A", end=250, slots=LEFT)
    promoted_right = node("d", "D", before="B", end=1500, slots=RIGHT)
    lineage = seen(*looks)
    assert lineage.survives_until([left, right]) is None
    assert lineage.survives_until([promoted_left, right]) == 2
    assert lineage.survives_until([left, promoted_right]) == 1
    assert lineage.survives_until([promoted_left, promoted_right]) == 1
    assert lineage.survives_until([left]) == 0  # the other one is gone
    whole = node("a", "A", 400, slots=ALL)
    assert lineage.survives_until([whole, node("b", "B", 5000, slots=())]) is None  # or has given its slots away
    assert lineage.survives_until([whole, replica("b", "A", 400)]) is None  # and follows the one that has them
    assert (
        lineage.survives_until([left, node("e", "E", slots=RIGHT), replica("b", "E")]) is None
    )  # that may be a new one
    assert lineage.survives_until([whole]) == 0  # but if it is gone, they may have been given away without their keys
    twice = node("e", "E", before="D", end=7000, slots=RIGHT)  # two failovers since the last look
    assert lineage.survives_until([left, twice, replica("b", "E")]) == 0
    assert lineage.survives_until([left, twice, node("b", "B", 3000, slots=())]) == 0
    assert lineage.survives_until([left, right, node("e", "E", slots=())]) is None  # one came


def test_slots_that_came_later_may_be_lost_whole() -> None:
    """Keys that moved to a master after the last look that counts may be older than that look."""
    lineage = seen((node("a", "A", 100, slots=LEFT),), (node("a", "A", 200, slots=ALL),))
    assert lineage.survives_until([node("b", "B", before="A", end=201, slots=ALL)]) == 2
    assert lineage.survives_until([node("b", "B", before="A", end=150, slots=ALL)]) == 0
    assert lineage.survives_until([node("b", "B", before="A", end=150, slots=LEFT)]) == 1


def test_old_looks_are_dropped() -> None:
    """There are never very many, and the newest are there."""
    lineage = Lineage()
    dropped = [
        one for number in range(1, 1001) for one in lineage.add(Checkpoint(number, 7, (node("a", "A", number),)))
    ]
    assert dropped == list(range(1, 745))
    assert [lineage.survives_until([node("b", "B", before="A", end=end)]) for end in (1001, 746, 745)] == [1000, 745, 0]
