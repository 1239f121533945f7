"""Is a loader hung? What the clock and the board say, to somebody who was there, and to somebody who was away."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from shardload.coordinator.pool import Slot
from shardload.coordinator.watchdog import LONGEST_NETWORK_WAIT_S, Watch
from shardload.ipc import Board, BoardHeader, LoaderView, Phase, create
from shardload.model.keys import KeyRange, RangeRecord
from shardload.ranges.dispatch import Dispatcher

HUNG_AFTER_S = 10.0


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    """A board whose only loader, this process, was seen at second 0."""
    (tmp_path / "key").touch()
    ipc = create(tmp_path / "key", BoardHeader(1, 7, os.getpid(), 0))
    yield ipc.board
    ipc.remove()
    ipc.board.detach()


def watch_of(board: Board, phase: Phase) -> Watch:
    """An eye on a loader that holds a range, and showed this phase at second 0; it has looked then."""
    board.publish(0, 1, LoaderView(os.getpid(), 0, 0.0, (), phase))
    dispatcher = Dispatcher([RangeRecord(1, KeyRange(0, 10), 10, 0)], 1)
    assert dispatcher.next_task(0)
    crew: Any = SimpleNamespace(slots=[Slot(pid=os.getpid(), heartbeat=(0.0, 0.0))])
    watch = Watch(crew, board, dispatcher, HUNG_AFTER_S)
    assert watch.hung(0.0) == []
    return watch


@pytest.mark.parametrize(
    ("phase", "after_s"), [(Phase.HELD_BACK, HUNG_AFTER_S), (Phase.WRITING, LONGEST_NETWORK_WAIT_S)]
)
def test_silence_is_told_when_it_has_lasted(board: Board, phase: Phase, after_s: float) -> None:
    """Of a loader that is busy with itself after --hung-after, of one that waits for a server after any time-out."""
    watch = watch_of(board, phase)
    now_s = 0.0
    while now_s + watch.every_s < after_s:
        now_s += watch.every_s
        assert watch.hung(now_s) == [], now_s
    ((slot, words),) = watch.hung(now_s + 2 * watch.every_s)
    assert slot == 0
    assert "no life" in words


def test_who_was_away_has_seen_nothing(board: Board) -> None:
    """The coordinator was stopped together with its loaders (Ctrl-Z, docker pause): their silence is its own."""
    watch = watch_of(board, Phase.HELD_BACK)
    assert watch.hung(3600.0) == []
    assert watch.hung(3600.0 + watch.every_s) == []
    assert watch.hung(3600.0 + 2 * watch.every_s) == []
