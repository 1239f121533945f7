"""What can stand in `run.json`, and what cannot."""

from __future__ import annotations

from typing import Any

import pytest

from shardload.jobdir.runfile import wrong_in_spec, wrong_names

RECORD = {
    "uid": 0,
    "board": {"id": 7},
    "queues": [{"key": -1, "id": 1, "changed": 5}, {"key": 2, "id": 2, "changed": 5}],
    "semaphore": {"key": 3, "id": 3},
}
ANNOUNCED = {"uid": 0, "pid": 4711, "since": 1795570000}
RUN: dict[str, Any] = {
    "pid": 4711, "start": 99, "run_id": 2**62, "started": "2026-11-24", "daemon": True, "encoder": "native",
    "ipc_namespace": "ipc:[1]", "troubles": ["a worker died"], "ipc": RECORD,
}  # fmt: skip


SPEC = {"mysql": "mysql://h/d", "redis": "redis://h/0", "job": "users", "passwords": {"mysql": True}}


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({}, []),
        ({"table": 5, "unknown": []}, []),  # the job's rules know these
        ({"redis": None, "mysql": 5}, ["mysql", "redis"]),
        ({"job": "another"}, ["job"]),
        ({"passwords": ["mysql"]}, ["passwords"]),
        ({"passwords": {"mysql": "secret"}}, ["passwords"]),
    ],
)
def test_a_stored_spec(change: dict[str, Any], wrong: list[str]) -> None:
    """What has to be right before anybody can say what the rest means."""
    assert wrong_in_spec({**SPEC, **change}, "users") == wrong


@pytest.mark.parametrize(
    "run",
    [
        {},
        RUN,
        {**RUN, "ipc": ANNOUNCED},
        {**RUN, "ipc": None, "outcome": {"status": "stopped", "workers": 2, "error": None}},
        {**RUN, "ipc": None, "outcome": {"status": "stopped", "exit_code": 130, "new": "in a later version"}},
        {"pid": 1},
    ],
)
def test_what_a_run_writes_is_right(run: dict[str, Any]) -> None:
    """At its beginning, at its end, and with more in it than is known."""
    assert wrong_names(run) == []


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"ipc": 1}, ["ipc"]),
        ({"ipc": {}}, ["ipc"]),
        ({"ipc": {**RECORD, "board": 7}}, ["ipc"]),
        ({"ipc": {**RECORD, "queues": [{"key": 1, "id": 1}]}}, ["ipc"]),
        ({"ipc": {**RECORD, "semaphore": {"key": 0, "id": 3}}}, ["ipc"]),
        ({"ipc": {**RECORD, "semaphore": {"key": 2**32, "id": 3}}}, ["ipc"]),
        ({"ipc": {**RECORD, "uid": 10**30}}, ["ipc"]),
        ({"ipc": {**RECORD, "uid": "root"}}, ["ipc"]),
        ({"ipc": {**ANNOUNCED, "uid": -1}}, ["ipc"]),
        ({"ipc": {**ANNOUNCED, "since": "today"}}, ["ipc"]),
        ({"pid": "4711"}, ["pid"]),
        ({"pid": None}, ["pid"]),
        ({"run_id": None, "start": None}, ["start", "run_id"]),
        ({"troubles": "many"}, ["troubles"]),
        ({"troubles": [1], "started": 5}, ["started", "troubles"]),
        ({"outcome": "complete"}, ["outcome"]),
        ({"outcome": {}}, ["outcome"]),
        ({"outcome": {"status": "stopped", "exit_code": "130"}}, ["outcome"]),
        ({"outcome": {"status": "stopped", "rows_unfinished": -1}}, ["outcome"]),
        ({"outcome": {"status": "stopped", "rows_unfinished_exact": "no"}}, ["outcome"]),
    ],
)
def test_what_cannot_be_right_is_named(change: dict[str, Any], wrong: list[str]) -> None:
    """A value of another type, an integer that the kernel would not take, a key that would make a new object; and a
    record of objects without the run they are of."""
    assert wrong_names({**RUN, **change}) == wrong
