"""What rows become for a projection, and which scratch keys try it."""

from __future__ import annotations

import pytest

from shardload.encoding import Form, Payload, Shape
from shardload.jobs import trials
from shardload.jobs.trials import Item, trials_of
from shardload.model.memory import Family
from shardload.target import MOST_TRIAL_BYTES

LARGE = b"x" * (MOST_TRIAL_BYTES + 1)


@pytest.mark.parametrize(
    ("form", "large"),
    [
        (Form(Payload.LISTPACK), Item(b"k", [(b"a", LARGE)])),
        (Form(None), Item(b"k", [(b"a", LARGE)])),
        (Form(None, shape=Shape.STRING), Item(b"k", [], LARGE)),
    ],
)
def test_nothing_is_made_of_a_large_row(monkeypatch: pytest.MonkeyPatch, form: Form, large: Item) -> None:
    """Its checksum alone takes seconds; those before it are tried."""
    made = []

    def trial_of(item: Item, *more: object) -> object:
        made.append(item)
        return genuine(item, *more)  # type: ignore[arg-type]

    genuine = trials.trial_of
    monkeypatch.setattr(trials, "trial_of", trial_of)
    small = Item(b"k", [(b"a", b"1")] if large.fields else [], None if large.fields else b"1")
    assert len(trials_of([small, small, large, small], form, Family.CLASSIC, b"")) == len(made) == 2
