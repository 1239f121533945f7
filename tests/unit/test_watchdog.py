"""Is a worker hung? What the clock and the board say, to somebody who was there, and to somebody who was away."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from shardload.coordinator.slot import Slot
from shardload.coordinator.watchdog import LONGEST_NETWORK_WAIT_S, Watchdog
from shardload.ipc import Board, BoardHeader, Phase, WorkerView, create
from shardload.model.keys import RangeRecord, integer_range
from shardload.ranges.dispatch import Dispatcher

HUNG_AFTER_S = 10.0


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    """A board whose only worker, this process, was seen at second 0."""
    (tmp_path / "key").touch()
    ipc = create(tmp_path / "key", BoardHeader(1, 7, os.getpid(), 0))
    yield ipc.board
    ipc.remove()
    ipc.board.detach()


def watchdog_of(board: Board, phase: Phase) -> Watchdog:
    """An eye on a worker that holds a range, and showed this phase at second 0; it has looked then."""
    board.publish(0, 1, WorkerView(os.getpid(), 0, 0.0, (), phase))
    tracker: Any = Dispatcher([RangeRecord(1, integer_range(0, 10), 10, 0)], 1, 10)
    assert tracker.next_task(0)
    pool: Any = SimpleNamespace(slots=[Slot(pid=os.getpid(), heartbeat=(0.0, 0.0))])
    watchdog = Watchdog(pool, board, tracker, HUNG_AFTER_S)
    assert watchdog.hung(0.0) == []
    return watchdog


@pytest.mark.parametrize(
    ("phase", "after_s"), [(Phase.HELD_BACK, HUNG_AFTER_S), (Phase.WRITING, LONGEST_NETWORK_WAIT_S)]
)
def test_silence_is_told_when_it_has_lasted(board: Board, phase: Phase, after_s: float) -> None:
    """Of a worker that is busy with itself after --hung-after, of one that waits for a server after any time-out."""
    watchdog = watchdog_of(board, phase)
    now_s = 0.0
    while now_s + watchdog.every_s < after_s:
        now_s += watchdog.every_s
        assert watchdog.hung(now_s) == [], now_s
    ((slot, words),) = watchdog.hung(now_s + 2 * watchdog.every_s)
    assert slot == 0
    assert "no sign of life" in words


def test_who_was_away_has_seen_nothing(board: Board) -> None:
    """The coordinator was stopped together with its workers (Ctrl-Z, docker pause): their silence is its own."""
    watchdog = watchdog_of(board, Phase.HELD_BACK)
    assert watchdog.hung(3600.0) == []
    assert watchdog.hung(3600.0 + watchdog.every_s) == []
    assert watchdog.hung(3600.0 + 2 * watchdog.every_s) == []
