"""When a result is too short to be believed, and when too much has vanished."""

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
    """Below half of the estimate MySQL has to count."""
    assert is_short(rows, estimated_rows) == short


def test_what_is_larger_than_all_that_came_whole_is_doubtful() -> None:
    """Results of 1000 rows each may be cut at 1000. Once MySQL has counted as many, no lower limit can be at work."""
    proven = Proven()
    assert proven.is_doubtful(1000, 9000, 5000)
    proven.add(1000, 9000)
    assert not proven.is_doubtful(1000, 9000, 5000)
    assert not proven.is_doubtful(900, 8000, 5000)
    assert proven.is_doubtful(1001, 8000, 5000)
    assert proven.is_doubtful(900, 9001, 5000)


def test_a_row_for_every_key_is_whole_and_proves_as_much() -> None:
    """There cannot be more; and a limit cannot be lower."""
    proven = Proven()
    assert not proven.is_doubtful(1000, 9000, 1000)
    proven.add(1000, 9000)
    assert not proven.is_doubtful(999, 8999, 1000)


@pytest.mark.parametrize(
    ("vanished", "planned", "much"), [(49, 100, False), (50, 100, True), (50, 1001, False), (51, 1001, True)]
)
def test_a_few_rows_of_a_large_plan_are_not_much(vanished: int, planned: int, much: bool) -> None:
    """A twentieth of the plan, and fifty rows at least."""
    assert is_large_loss(vanished, planned) == much
