"""What a finished job says of itself, in words and in JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from shardload.model.counts import Counts
from shardload.reporting.facts import JobFacts
from shardload.reporting.text import counts_text, summary_line, summary_lines

FACTS = JobFacts(
    job="users",
    state="incomplete",
    counts=Counts(1_234_567, 1_234_500, 60, 7),
    ranges=25,
    ranges_done=24,
    ranges_retried=3,
    seconds=12.34,
    rows_per_second=100_046.0,
    encoder="reference",
    target="redis 7.2.4",
    workers=4,
)


def text(facts: JobFacts) -> str:
    """What a person is told at the end."""
    return "\n".join(summary_lines(facts, "as asked"))


def test_the_names_of_the_json_are_an_interface() -> None:
    """Scripts read them: these names, in this order, and plain JSON types."""
    assert json.dumps(FACTS.summary_json()) == (
        '{"job": "users", "status": "incomplete", "rows_read": 1234567, "keys_written": 1234500, "keys_kept": 0, '
        '"rows_skipped": 60, "rows_failed": 7, "lookups_written": 0, '
        '"ranges": 25, "ranges_done": 24, "ranges_retried": 3, "seconds": 12.34, '
        '"rows_per_second": 100046.0, "encoder": "reference", "target": "redis 7.2.4", "workers": 4, '
        '"rows_lost": 0, "rows_unfinished": 0, "rows_unfinished_exact": true, "keys_shared": 0, "kind": "load"}'
    )


def test_the_text_for_a_person() -> None:
    """The sum that must add up stands in one line, with thousands separated."""
    assert text(FACTS) == (
        "job users: incomplete\n"
        "  1,234,567 rows read = 1,234,500 keys written + 60 skipped + 7 failed\n"
        "  24 of 25 ranges done, 3 needed more than one try\n"
        "  12.3 s, 100,046 rows/s, 4 workers\n"
        "  encoder: reference (as asked)\n"
        "  target: redis 7.2.4"
    )


def test_kept_keys_and_lookups_are_told_if_there_are_any() -> None:
    """Kept keys are part of the sum, lookups are not."""
    assert counts_text(Counts(10, 5, 1, 1, keys_kept=3, lookups_written=12)) == (
        "10 rows read = 5 keys written + 3 kept + 1 skipped + 1 failed; 12 lookups written"
    )
    assert counts_text(Counts(1, 1, lookups_written=1)).endswith("; 1 lookup written")


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
    stopped = replace(FACTS, rows_unfinished=rows, rows_unfinished_exact=is_exact)
    assert f"\n  {told}" in text(stopped)
    assert f"; {told}" in summary_line(stopped)
    assert "more row" not in text(FACTS) + summary_line(FACTS)


def test_one_worker_is_singular() -> None:
    """`1 worker`, not `1 workers`."""
    one = JobFacts("j", "complete", workers=1)
    assert "0.0 s, 0 rows/s, 1 worker\n" in text(one)
