"""MySQL's error codes become errors with the right kind and hint."""

from __future__ import annotations

import pytest

from shardload.errors import ShardloadError, SourceBusy, SourceDenied, SourceError, SourceFull, SourceLost, SpecError
from shardload.model.tasks import Outcome
from shardload.source.codes import raise_for_code
from shardload.source.connection import raise_error_packet
from shardload.worker.outcome import outcome_of


def error_of(code: int, text: str = "text", *, is_answer: bool = True) -> ShardloadError:
    """The error that is raised for a code."""
    with pytest.raises(ShardloadError) as caught:
        raise_for_code("reading", code, text, is_answer=is_answer)
    return caught.value


@pytest.mark.parametrize(
    "code",
    [
        1047, 1053, 1077, 1129, 1152, 1184, 1205, 1213, 1290, 1317, 1836, 1874, 1927, 3032, 3168,
        4031, 9001, 9002, 9005, 9501,
        2003, 2006, 2013,  # sent by a proxy that has lost its server
    ],
)  # fmt: skip
def test_a_servers_trouble_blames_nobody(code: int) -> None:
    """The job waits for the server, as for one that cannot be reached; the range gets no blame."""
    error = error_of(code)
    assert type(error) is SourceBusy
    assert error.hint
    assert outcome_of(error, is_connected=True) is Outcome.UNREACHABLE


@pytest.mark.parametrize("code", [1040, 1203, 1226])
def test_too_many_connections_are_an_error_of_their_own(code: int) -> None:
    """The range gets no blame, and the job may go on with fewer workers."""
    error = error_of(code)
    assert isinstance(error, SourceFull)
    assert "fewer --workers" in error.hint
    assert outcome_of(error, is_connected=True) is Outcome.TOO_MANY_CONNECTIONS


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (2006, SourceLost), (2013, SourceLost), (2027, SourceLost), (3024, SourceLost), (1969, SourceLost),
        (0, SourceLost),
        (1049, SpecError), (1054, SpecError), (1146, SpecError), (1176, SpecError),
        (1045, SourceDenied), (1130, SourceDenied), (1142, SourceDenied), (2059, SourceDenied), (3118, SourceDenied),
        (1064, SourceError), (1366, SourceError),
    ],
)  # fmt: skip
def test_all_other_codes(code: int, kind: type[ShardloadError]) -> None:
    """A lost connection, a wrong spec, or a missing right; a code in no list is an error of the range."""
    assert type(error_of(code, is_answer=False)) is kind


def test_a_long_text_is_cut() -> None:
    """Else a text of 15 MB would be in every report and log."""
    packet = b"\xff\x51\x04#HY000" + "é".encode() * 8_000_000
    with pytest.raises(SourceBusy) as caught:
        raise_error_packet("reading", packet)
    cut = " ... (7,999,500 characters left out) ... "
    assert caught.value.message == f"reading: {'é' * 375}{cut}{'é' * 125} [1105]"
