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
    """Scripts depend on 0, 1, 2, 3, 4 and 128 + signal."""
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
    """2 if the user made a mistake, 3 if a server or the system failed."""
    assert kind("x").exit_code == code


@pytest.mark.parametrize(
    ("kind", "parent"),
    [
        (SourceLost, SourceError), (SourceBusy, SourceLost), (SourceDenied, SourceError), (MalformedPacket, SourceLost),
        (TargetLost, TargetError), (TargetBusy, TargetLost), (TargetDenied, TargetError),
    ],
)  # fmt: skip
def test_a_special_error_is_a_general_one(kind: type[ShardloadError], parent: type[ShardloadError]) -> None:
    """Code that catches the general error also catches the special one."""
    assert issubclass(kind, parent)


def test_a_denial_is_not_a_loss() -> None:
    """A missing right is not a lost connection: trying again does not help."""
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
    """The message, then the hint in brackets if there is one."""
    assert str(error) == shown


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            SpecError("no column", "see --columns"),
            "no column (the table has changed: restore it, then run: shardload resume JOB; or start a new job)",
        ),
        (SourceDenied("refused", "GRANT SELECT"), "refused (GRANT SELECT; then run: shardload resume JOB)"),
        (TargetDenied("refused"), "refused (fix the cause; then run: shardload resume JOB)"),
    ],
)
def test_an_error_that_ends_a_running_job_says_how_to_resume(error: ShardloadError, told: str) -> None:
    """One hint in brackets. A SpecError's own hint is left out: the spec of a running job can no longer change."""
    assert why_hopeless(error) == told


@pytest.mark.parametrize(("number", "code"), [(1, 129), (2, 130), (3, 131), (15, 143)])
def test_a_signal_makes_the_exit_code(number: int, code: int) -> None:
    """128 plus the signal's number, as in shells."""
    assert StoppedBySignal(number).exit_code == code


def test_every_error_says_when_it_is_raised() -> None:
    """Each class has a docstring."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ShardloadError)]
    assert len(kinds) > 10
    for kind in kinds:
        assert kind.__doc__, kind
