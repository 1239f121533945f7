"""What a finished job says of itself."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from shardload.reporting.summary import Summary

SUMMARY = Summary("users", "incomplete", 1_234_567, 1_234_500, 60, 7, 25, 24, 3, 12.34, 100_046.0, "reference", 4)


def test_the_names_of_the_json_are_an_interface() -> None:
    """Scripts read them: these names, in this order, and plain JSON types."""
    assert json.dumps(SUMMARY.as_json()) == (
        '{"job": "users", "status": "incomplete", "rows_read": 1234567, "keys_written": 1234500, "rows_skipped": 60, '
        '"rows_failed": 7, "ranges": 25, "ranges_done": 24, "ranges_retried": 3, "seconds": 12.34, '
        '"rows_per_second": 100046.0, "encoder": "reference", "workers": 4, "rows_lost": 0, "rows_unfinished": 0, '
        '"rows_unfinished_exact": true}'
    )


def test_the_text_for_a_person() -> None:
    """The sum that must add up stands in one line, with thousands separated."""
    assert SUMMARY.as_text("as asked") == (
        "job users: incomplete\n"
        "  1,234,567 rows read = 1,234,500 keys written + 60 skipped + 7 failed\n"
        "  24 of 25 ranges done, 3 needed more than one try\n"
        "  12.3 s, 100,046 rows/s, 4 workers\n"
        "  encoder: reference (as asked)"
    )


@pytest.mark.parametrize(
    ("rows", "is_exact", "told"),
    [
        (12_345, True, "12,345 more rows were written in ranges that are not done; resume loads these ranges again"),
        (
            12_345,
            False,
            "at least 12,345 more rows were written in ranges that are not done; resume loads these ranges",
        ),
        (1, True, "1 more row was written in ranges"),
    ],
)
def test_what_unfinished_ranges_hold_is_told(rows: int, is_exact: bool, told: str) -> None:
    """To a person and in the log; nothing if there is nothing."""
    stopped = replace(SUMMARY, rows_unfinished=rows, rows_unfinished_exact=is_exact)
    assert f"\n  {told}" in stopped.as_text("as asked")
    assert f"; {told}" in stopped.as_line()
    assert "more row" not in SUMMARY.as_text("as asked") + SUMMARY.as_line()


def test_one_worker_is_singular() -> None:
    """`1 worker`, not `1 workers`."""
    one = Summary("j", "complete", 0, 0, 0, 0, 0, 0, 0, 0.0, 0.0, "reference", 1)
    assert "0.0 s, 0 rows/s, 1 worker\n" in one.as_text("as asked")
