"""A job whose table is no longer what it was is told what became of it."""

from __future__ import annotations

import pytest

from shardload.errors import SpecError
from shardload.jobs.unchanged import check_unchanged

WAS = {"columns": [["id", "int"], ["a", "text"], ["b", "text"]], "primary_key": ["id"]}


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ({"columns": [["id", "int"], ["a", "text"]]}, "column b is gone"),
        ({"columns": [["id", "int"], ["a", "text"], ["c", "text"]]}, "column b is gone, column c is new"),
        ({"columns": [["id", "int"], ["a", "blob"], ["b", "text"]]}, "column a was text, is blob"),
        ({"columns": [["id", "int"], ["b", "text"], ["a", "text"]]}, "columns was [['id', 'int'], ['a', 'text'], ["),
        (
            {"columns": [[f"c{number}", "int"] for number in range(9)]},
            "column id is gone, column a is gone, column b is gone, column c0 is new, column c1 is new, and 7 more",
        ),
        ({"primary_key": ["a"]}, "primary_key was ['id'], is ['a']"),
    ],
)
def test_what_changed_is_told(now: dict[str, object], told: str) -> None:
    """A few words for each of the first changes, and both ways to go on."""
    with pytest.raises(SpecError) as caught:
        check_unchanged("j", "table", WAS, WAS | now)
    assert caught.value.message.startswith(f"job j cannot go on: its table has changed: {told}")
    assert caught.value.hint == "put the table back as it was, or start a new job"
