"""When a result has too few rows, and when too many rows have vanished."""

from __future__ import annotations

import pytest

from shardload.model.shortfall import Proven, is_large_loss, is_short


@pytest.mark.parametrize(
    ("rows", "estimated_rows", "short"),
    [
        (0, 20, True),
        (0, 19, False),  # gaps are estimated as a few rows
        (499, 1000, True),
        (500, 1000, False),  # InnoDB counts a long range up to twice
        (2000, 1000, False),
    ],
)
def test_far_fewer_rows_than_estimated(rows: int, estimated_rows: int, short: bool) -> None:
    """MySQL has to count if there are fewer than half of the estimated rows."""
    assert is_short(rows, estimated_rows) == short


def test_what_is_larger_than_all_that_came_whole_is_doubtful() -> None:
    """Results of 1000 rows may all be cut at 1000. Once MySQL has counted as many, no lower limit can exist."""
    proven = Proven()
    assert proven.is_doubtful(1000, 9000, 5000)
    proven.add(1000, 9000)
    assert not proven.is_doubtful(1000, 9000, 5000)
    assert not proven.is_doubtful(900, 8000, 5000)
    assert proven.is_doubtful(1001, 8000, 5000)
    assert proven.is_doubtful(900, 9001, 5000)


def test_a_row_for_every_key_is_whole_and_proves_as_much() -> None:
    """It cannot have more rows; so no limit can be lower."""
    proven = Proven()
    assert not proven.is_doubtful(1000, 9000, 1000)
    proven.add(1000, 9000)
    assert not proven.is_doubtful(999, 8999, 1000)


@pytest.mark.parametrize(
    ("vanished", "planned", "much"), [(49, 100, False), (50, 100, True), (50, 1001, False), (51, 1001, True)]
)
def test_a_few_rows_of_a_large_plan_are_not_much(vanished: int, planned: int, much: bool) -> None:
    """A loss is large from a twentieth of the plan on, and at least fifty rows."""
    assert is_large_loss(vanished, planned) == much
