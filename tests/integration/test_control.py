"""The control FIFO: orders and answers, and what happens if other things are written to it or put in its place."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from shardload.errors import JobForeign
from shardload.process import ControlInbox, ControlRequest, NoListener
from tests.harness import wait_until


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[ControlInbox]:
    """A coordinator's end of the FIFO."""
    inbox = ControlInbox(tmp_path)
    yield inbox
    inbox.close()
    assert not list(tmp_path.iterdir())


def test_an_order_and_its_answer(inbox: ControlInbox, tmp_path: Path) -> None:
    """An order arrives; its sender reads a first answer and a final one."""
    with ControlRequest(tmp_path, "scale 3") as question:
        ((words, answer),) = inbox.drain()
        assert words == "scale 3"
        answer.wait("soon")
        answer.done("3\nworkers")
        assert question.answer(1) == ("wait", "soon")
        assert question.answer(1) == ("done", "3 workers")


def test_nobody_answers(inbox: ControlInbox, tmp_path: Path) -> None:
    """The wait for an answer ends after its time-out."""
    with ControlRequest(tmp_path, "pause") as question:
        assert question.answer(0.01) is None


def test_two_ask_at_once(inbox: ControlInbox, tmp_path: Path) -> None:
    """Each sender gets its own answer."""
    with ControlRequest(tmp_path, "pause") as one, ControlRequest(tmp_path, "rate off") as other:
        for words, answer in inbox.drain():
            answer.done(words)
        assert other.answer(1) == ("done", "rate off")
        assert one.answer(1) == ("done", "pause")


def test_the_sender_has_left(inbox: ControlInbox, tmp_path: Path) -> None:
    """Answering a sender that has gone away is no error."""
    with ControlRequest(tmp_path, "pause"):
        pass
    ((_, answer),) = inbox.drain()
    answer.done("nobody reads this")


def test_nobody_listens(tmp_path: Path) -> None:
    """A missing FIFO, or one without a reader, raises at once."""
    with pytest.raises(NoListener):
        ControlRequest(tmp_path, "pause")
    os.mkfifo(tmp_path / "control")
    with pytest.raises(NoListener):
        ControlRequest(tmp_path, "pause")
    assert [path.name for path in tmp_path.iterdir()] == ["control"]


@pytest.mark.parametrize(
    "noise",
    [
        b"pause\n",
        b"\n\n\n",
        b"answer.1.0123456789 pause\n",
        b"answer.1.01234567/../../x pause\n",
        b"../answer.1.01234567 pause\n",
        bytes(range(256)) + b"\n",
        b"x" * 60_000 + b"\n",
        b"x" * 60_000,
    ],
)
def test_noise_is_dropped(inbox: ControlInbox, tmp_path: Path, noise: bytes) -> None:
    """A line that is not an order is dropped; the next order is read."""
    writing = os.open(tmp_path / "control", os.O_WRONLY | os.O_NONBLOCK)
    os.write(writing, noise)
    assert inbox.drain() == []
    os.write(writing, b"\n")
    os.close(writing)
    inbox.drain()
    with ControlRequest(tmp_path, "pause"):
        assert [words for words, _ in inbox.drain()] == ["pause"]


def test_an_order_in_two_pieces(inbox: ControlInbox, tmp_path: Path) -> None:
    """An order is read when its line is complete."""
    writing = os.open(tmp_path / "control", os.O_WRONLY | os.O_NONBLOCK)
    os.write(writing, b"answer.1.01234567 unp")
    assert inbox.drain() == []
    os.write(writing, b"ause\n")
    os.close(writing)
    assert [words for words, _ in inbox.drain()] == ["unpause"]


def test_what_a_killed_coordinator_left_is_replaced(tmp_path: Path) -> None:
    """An old FIFO, or another file of that name, is replaced; the new one has mode 0600, whatever the umask."""
    (tmp_path / "control").write_text("a leftover")
    (tmp_path / "answer.77.01234567").touch()
    before = os.umask(0)
    try:
        inbox = ControlInbox(tmp_path)
    finally:
        os.umask(before)
    assert stat.filemode((tmp_path / "control").stat().st_mode) == "prw-------"
    inbox.close()
    assert not list(tmp_path.iterdir())


def test_the_coordinator_never_sees_an_end(inbox: ControlInbox, tmp_path: Path) -> None:
    """When the last writer closes, the inbox does not become readable."""
    import select

    os.close(os.open(tmp_path / "control", os.O_WRONLY | os.O_NONBLOCK))
    assert select.select([inbox], [], [], 0)[0] == []
    with ControlRequest(tmp_path, "pause"):
        wait_until(lambda: select.select([inbox], [], [], 0)[0], "an order wakes it")


@pytest.mark.parametrize("what", ["a file", "a link to a file", "a link to a FIFO", "a directory"])
def test_another_file_in_the_place_of_the_fifo(tmp_path: Path, what: str) -> None:
    """Nothing is written to a file in the FIFO's place: the directory may be another user's, and the sender root."""
    (tmp_path / "elsewhere").mkdir()
    precious = tmp_path / "elsewhere" / "precious"
    control = tmp_path / "control"
    if what == "a link to a FIFO":
        os.mkfifo(precious)
        reader = os.open(precious, os.O_RDWR | os.O_NONBLOCK)
    else:
        precious.write_text("precious")
    if what == "a file":
        control.write_text("precious")
    elif what == "a directory":
        control.mkdir()
    else:
        control.symlink_to(precious)
    with pytest.raises((NoListener, IsADirectoryError)):
        ControlRequest(tmp_path, "pause")
    if what == "a link to a FIFO":
        with pytest.raises(BlockingIOError):
            os.read(reader, 1)
        os.close(reader)
    else:
        assert (control if what == "a file" else precious).read_text() == "precious"
    assert {path.name for path in tmp_path.iterdir()} == {"control", "elsewhere"}


def test_an_answers_fifo_that_was_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a link replaced the answer's FIFO, its target is neither read nor written."""
    precious = tmp_path / "precious"
    precious.write_text("precious")
    job = tmp_path / "job"
    job.mkdir()
    monkeypatch.setattr(os, "mkfifo", lambda name, _mode, dir_fd: os.symlink(precious, name, dir_fd=dir_fd))
    with pytest.raises(JobForeign, match="symbolic link"):
        ControlRequest(job, "pause")
    assert precious.read_text() == "precious"
    assert not list(job.iterdir())


def test_a_coordinator_that_does_not_read(inbox: ControlInbox, tmp_path: Path) -> None:
    """If the FIFO is full because a stopped coordinator does not read, the sender gets an error and does not wait."""
    control = os.open(tmp_path / "control", os.O_WRONLY | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        while True:
            os.write(control, b"x" * 4096)
    os.close(control)
    with pytest.raises(BlockingIOError):
        ControlRequest(tmp_path, "pause")
