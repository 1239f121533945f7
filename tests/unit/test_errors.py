"""The tree of errors and its exit codes."""

from __future__ import annotations

import pytest

from shardload import errors
from shardload.errors import (
    DirectoryLost,
    GaveUp,
    IpcError,
    JobError,
    JournalError,
    MalformedPacket,
    MissingServer,
    ShardloadError,
    SourceBusy,
    SourceDenied,
    SourceError,
    SourceLost,
    SpecError,
    StoppedAsAsked,
    StoppedBySignal,
    TargetBusy,
    TargetDenied,
    TargetError,
    TargetLost,
    why_hopeless,
)


def test_the_exit_codes_are_an_interface() -> None:
    """Scripts test for them: 0, 1, 2, 3, 4 and 128 + signal."""
    codes = {name: value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    assert codes == {
        "EXIT_COMPLETE": 0, "EXIT_WITH_FAILURES": 1, "EXIT_BAD_SPEC": 2, "EXIT_CANNOT_START": 3,
        "EXIT_DIFFERENCES": 4, "EXIT_SIGNAL_BASE": 128,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (SpecError, 2), (JobError, 2),
        (SourceError, 3), (SourceLost, 3), (SourceBusy, 3), (SourceDenied, 3), (MalformedPacket, 3),
        (TargetError, 3), (TargetLost, 3), (TargetBusy, 3), (TargetDenied, 3),
        (DirectoryLost, 3), (IpcError, 3), (JournalError, 3), (GaveUp, 3), (MissingServer, 3),
    ],
)  # fmt: skip
def test_every_error_has_its_exit_code(kind: type[ShardloadError], code: int) -> None:
    """2 for what a person got wrong, 3 for what the world did."""
    assert kind("x").exit_code == code


@pytest.mark.parametrize(
    ("kind", "parent"),
    [
        (SourceLost, SourceError), (SourceBusy, SourceLost), (SourceDenied, SourceError), (MalformedPacket, SourceLost),
        (TargetLost, TargetError), (TargetBusy, TargetLost), (TargetDenied, TargetError),
    ],
)  # fmt: skip
def test_kinds_of_kinds(kind: type[ShardloadError], parent: type[ShardloadError]) -> None:
    """Whoever handles the general case handles the special one."""
    assert issubclass(kind, parent)


def test_a_denial_is_not_a_loss() -> None:
    """Trying again does not help where a right is missing."""
    assert not issubclass(TargetDenied, TargetLost)
    assert not issubclass(SourceDenied, SourceLost)


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (ShardloadError("cannot do it"), "cannot do it"),
        (ShardloadError("cannot do it", "do that first"), "cannot do it (do that first)"),
        (StoppedBySignal(15), "stopped by SIGTERM"),
        (StoppedBySignal(10), "stopped by signal 10"),
        (StoppedAsAsked(), "stopped as asked"),
    ],
)
def test_an_error_is_one_line(error: ShardloadError, shown: str) -> None:
    """Message, and the hint in brackets if there is one."""
    assert str(error) == shown


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            SpecError("no column", "see --columns"),
            "no column (the table is not what it was: put it back, then resume; ",
        ),
        (SourceDenied("refused", "GRANT SELECT"), "refused (GRANT SELECT; then resume)"),
        (TargetDenied("refused"), "refused (mend it; then resume)"),
    ],
)
def test_a_job_without_hope_gets_one_advice(error: ShardloadError, told: str) -> None:
    """The hint of a job that is about to begin is not the one of a job that has begun."""
    assert why_hopeless(error).startswith(told)
    assert why_hopeless(error).count("(") == 1


@pytest.mark.parametrize(("number", "code"), [(1, 129), (2, 130), (3, 131), (15, 143)])
def test_a_signal_makes_the_exit_code(number: int, code: int) -> None:
    """128 and the signal's number, as shells have it."""
    assert StoppedBySignal(number).exit_code == code


def test_every_error_says_when_it_is_raised() -> None:
    """One sentence a class."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ShardloadError)]
    assert len(kinds) > 10
    for kind in kinds:
        assert kind.__doc__, kind
