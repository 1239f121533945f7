"""All errors that a user may see: each has a message, a hint and an exit code. No I/O.

The command line prints `message` and `hint` as one line and exits with `exit_code`.
"""

from __future__ import annotations

from shardload.model.printable import bounded

EXIT_COMPLETE = 0
EXIT_WITH_FAILURES = 1
EXIT_BAD_SPEC = 2
EXIT_CANNOT_START = 3
EXIT_DIFFERENCES = 4
EXIT_SIGNAL_BASE = 128


class ShardloadError(Exception):
    """The base class. `message` names the operation, the subject and the cause; `hint` is the next step.

    Neither contains a password. Both are cut if they are long, because a server's text may be.
    """

    exit_code = EXIT_CANNOT_START

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = bounded(message)
        self.hint = bounded(hint)

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class SpecError(ShardloadError):
    """A setting is wrong: a flag, a key in a file, a URL, a table, a column, or a template."""

    exit_code = EXIT_BAD_SPEC


class JobError(ShardloadError):
    """A job directory is missing, exists already, is in use by another process, or is of another version."""

    exit_code = EXIT_BAD_SPEC


class JobForeign(JobError):
    """A job directory or a file in it belongs to another user, or another user may have put it there."""

    def __init__(
        self,
        path: object,
        why: str = "belongs to another user",
        hint: str = "run the command as that user or as root",
    ) -> None:
        super().__init__(f"{path} {why}", hint)


class SourceError(ShardloadError):
    """MySQL sent an error that trying again will not fix."""


class SourceLost(SourceError):
    """MySQL could not be reached, or the connection broke. Trying again may help."""


class SourceBusy(SourceLost):
    """MySQL answered that it cannot do this now (too many connections, a lock ...). Trying again may help."""


class SourceFull(SourceBusy):
    """MySQL allows no more connections, in all or for this user. Fewer workers, or trying again, may help."""


class SourceDoubtful(SourceLost):
    """Bytes came after the end of a result, so the rows that were read may be incomplete. The range is read again."""


class SourceDenied(SourceError):
    """MySQL does not let this user log in or read the table. Trying again will not help, and no row is at fault."""


class TargetError(ShardloadError):
    """Redis sent an error that trying again will not fix."""

    is_reply = True
    """True if Redis sent this error as the reply to a command."""
    word = ""
    """The first word of that reply, such as NOAUTH."""


class TargetLost(TargetError):
    """Redis could not be reached, or the connection broke. Trying again may help."""

    is_reply = False


class TargetBusy(TargetLost):
    """Redis answered that it cannot do this now (-LOADING, -OOM, -READONLY ...). Trying again may help."""

    is_reply = True


class TargetFull(TargetBusy):
    """Redis allows no more connections. Fewer workers, or trying again, may help."""


class TargetDenied(TargetError):
    """Redis does not let this user log in or use the command. Trying again will not help, and no row is at fault."""


class TargetMoved(TargetDenied):
    """A node of a Redis Cluster answered that another one has the key's slot: for good (MOVED), or, with `asks`, for
    this command only (ASK). `host` is empty if it is the same as that of the node that was asked."""

    def __init__(self, message: str, hint: str, *, slot: int, host: str, port: int, asks: bool) -> None:
        super().__init__(message, hint)
        self.slot = slot
        self.host = host
        self.port = port
        self.asks = asks


class MalformedPacket(SourceLost):
    """Bytes from MySQL do not follow its protocol; the message has their offset in the buffer. A new connection may
    help."""


class MalformedAnswer(TargetLost):
    """Bytes from Redis do not follow its protocol. A new connection may help."""


class IpcError(ShardloadError):
    """A SysV object could not be created, or another program removed it."""


class NoProcess(ShardloadError):
    """The system cannot start another process."""

    def __init__(self, error: OSError) -> None:
        super().__init__(
            f"cannot start another process: {error.strerror}",
            "raise ulimit -u, or the container's limit of processes",
        )


class DirectoryLost(JobError):
    """A file in the job's directory cannot be written (for example: the disk is full, or no longer mounted)."""

    exit_code = EXIT_CANNOT_START


class JournalError(ShardloadError):
    """The job's journal cannot be read or written (the disk is full, or the file is damaged or not a journal)."""


class NotAnswered(ShardloadError):
    """A running coordinator did not answer an order in time, because it is busy or stopped by a signal."""


class GaveUp(ShardloadError):
    """The job stopped and can be resumed: no range succeeded for as long as --give-up-after allows."""


class Hopeless(GaveUp):
    """The job stopped because a server refuses it as a whole. The message includes the next step (`why_hopeless`)."""


class DoesNotFit(ShardloadError):
    """The target has too little memory for what the job would write. Nothing was written."""


class FleetLost(ShardloadError):
    """A machine of a fleet, or its scheduler, does not answer. Trying again may help."""


class FleetMissing(ShardloadError):
    """There is no fleet: Dask is not installed, or no machine has joined."""


class MissingServer(ShardloadError):
    """A server program that the sandbox starts is not installed."""


_RESUME = "shardload resume JOB"
_SIGNALS = {1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 15: "SIGTERM"}


class StoppedBySignal(ShardloadError):
    """A signal asked the command to end."""

    def __init__(self, signal_number: int, hint: str = "") -> None:
        super().__init__(f"stopped by {_SIGNALS.get(signal_number, f'signal {signal_number}')}", hint)
        self.signal_number = signal_number
        self.exit_code = EXIT_SIGNAL_BASE + signal_number


class StoppedAsAsked(StoppedBySignal):
    """The order `shardload stop` asked the job to end. The exit code is that of SIGTERM, which does the same."""

    def __init__(self) -> None:
        super().__init__(15)
        self.message = "stopped as asked"


def why_hopeless(error: BaseException) -> str:
    """The text of an error that ends a running job, with the next step.

    The hint of a SpecError is left out: the spec of a running job can no longer change.
    """
    if isinstance(error, SpecError):
        fix = f"the table has changed: restore it, then run: {_RESUME}; or start a new job"
        return f"{error.message} ({fix})"
    if isinstance(error, ShardloadError):
        return f"{error.message} ({error.hint or 'fix the cause'}; then run: {_RESUME})"
    return str(error)


class Translation:
    """A context manager that turns a library's errors into errors of this module, which begin with `operation`.

    One object may be entered many times. The fast path enters it for every read and write; a manager of contextlib
    would have to be made again each time.
    """

    def __init__(self, operation: str) -> None:
        self.operation = operation

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is not None:
            self.raise_ours(error)

    def raise_ours(self, error: BaseException) -> None:
        """Raise the matching error of this module; return if the error is not the library's."""
        raise NotImplementedError
