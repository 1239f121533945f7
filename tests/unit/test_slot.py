"""A worker's place: what it may hold, and its patience after a loss."""

from __future__ import annotations

from shardload.coordinator.slot import Slot
from shardload.model.limits import CREDITS


def test_a_slot_without_a_worker_holds_nothing() -> None:
    """Nor does one whose worker is to leave."""
    assert Slot().most_ranges(0.0) == 0
    assert Slot(pid=1, is_leaving=True).most_ranges(0.0) == 0
    assert Slot(pid=1).most_ranges(0.0) == CREDITS


def test_after_a_loss_a_slot_waits_and_then_gets_one_range() -> None:
    """What is lost while it waits is the same loss; the next one prolongs its patience."""
    slot = Slot(pid=1)
    assert slot.note_loss(100.0)
    assert not slot.note_loss(100.0)
    assert (slot.losses, slot.most_ranges(100.0)) == (1, 0)
    later_s = slot.not_before_s
    assert later_s > 100.0
    assert slot.most_ranges(later_s) == 1
    assert slot.note_loss(later_s)
    assert slot.losses == 2
    slot.note_done()
    assert slot.most_ranges(slot.not_before_s) == CREDITS
