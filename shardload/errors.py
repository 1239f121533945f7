"""Every error that a person may see: one message, one hint, one exit code.

Nothing here does I/O. The command line prints `message` and `hint` as one line and leaves with `exit_code`.
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
    """The root. `message` names operation and subject, `hint` the next step; neither holds a password, nor more of a
    server's text than a person reads."""

    exit_code = EXIT_CANNOT_START

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = bounded(message)
        self.hint = bounded(hint)

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class SpecError(ShardloadError):
    """What a person asked for is wrong: a flag, a file's key, a URL, a table, a column, a template."""

    exit_code = EXIT_BAD_SPEC


class JobError(ShardloadError):
    """A job directory is missing, taken, held by another process, or of another version."""

    exit_code = EXIT_BAD_SPEC


class JobForeign(JobError):
    """A job directory, or a file of it, is another user's, or another user may have put it there."""

    def __init__(
        self,
        path: object,
        why: str = "belongs to another user",
        hint: str = "a job is its user's alone: ask that user, or root",
    ) -> None:
        super().__init__(f"{path} {why}", hint)


class SourceError(ShardloadError):
    """MySQL refused or said something that trying again will not mend."""


class SourceLost(SourceError):
    """MySQL could not be reached, or went away: trying again may help."""


class SourceBusy(SourceLost):
    """MySQL answered, but asked for patience (too many connections, a shutdown, a lock ...): trying again may help."""


class SourceFull(SourceBusy):
    """MySQL, or this user's quota, has no room for another connection: fewer workers, or trying again, may help."""


class SourceDoubtful(SourceLost):
    """More came behind the end of a result: what was read of it before may not be all."""


class SourceDenied(SourceError):
    """MySQL does not let this user in, or not read the table: no row's fault, and trying again will not help."""


class TargetError(ShardloadError):
    """Redis refused or said something that trying again will not mend."""

    is_reply = True
    """True if the error is Redis's own reply to a command."""


class TargetLost(TargetError):
    """Redis could not be reached, or went away: trying again may help."""

    is_reply = False


class TargetBusy(TargetLost):
    """Redis answered, but asked for patience (-LOADING, -OOM, -READONLY ...): trying again may help."""

    is_reply = True


class TargetFull(TargetBusy):
    """Redis has no room for another connection: fewer workers, or trying again, may help."""


class TargetDenied(TargetError):
    """Redis does not let this user in, or not use the command: no row's fault, and trying again will not help."""


class MalformedPacket(SourceLost):
    """Bytes from MySQL that are not what its protocol says, with their offset in the stream's buffer: whoever sent them
    is out of step, and a new connection may help."""


class IpcError(ShardloadError):
    """A SysV object could not be made, or was removed by somebody else."""


class NoProcess(ShardloadError):
    """The system refuses to make another process."""

    def __init__(self, error: OSError) -> None:
        super().__init__(
            f"the system refuses another process: {error.strerror}",
            "see ulimit -u, or the container's limit of processes",
        )


class DirectoryLost(JobError):
    """The job's directory is no longer what it was: something in it cannot be written (a full disk, a lost mount)."""

    exit_code = EXIT_CANNOT_START


class JournalError(ShardloadError):
    """The job's journal could not be read or written (disk full, damaged, foreign)."""


class NotAnswered(ShardloadError):
    """A running coordinator did not answer an order in time: it is busy, or stopped by a signal."""


class GaveUp(ShardloadError):
    """The job stopped, resumable: nothing has succeeded for as long as --give-up-after allows."""


class Hopeless(GaveUp):
    """The job stopped: a server said no to the job itself. The message holds the one next step (`why_hopeless`)."""


class MissingServer(ShardloadError):
    """A server program that the sandbox needs is not installed."""


_SIGNALS = {1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 15: "SIGTERM"}


class StoppedBySignal(ShardloadError):
    """A signal asked the command to end, before or in the work."""

    def __init__(self, signal_number: int, hint: str = "") -> None:
        super().__init__(f"stopped by {_SIGNALS.get(signal_number, f'signal {signal_number}')}", hint)
        self.signal_number = signal_number
        self.exit_code = EXIT_SIGNAL_BASE + signal_number


class StoppedAsAsked(StoppedBySignal):
    """An order (`shardload stop`) asked the job to end. It leaves as after TERM, which asks for the same."""

    def __init__(self) -> None:
        super().__init__(15)
        self.message = "stopped as asked"


def why_hopeless(error: BaseException) -> str:
    """An error that ends a running job, with the one next step that is right then: its spec can no longer change."""
    if isinstance(error, SpecError):
        return f"{error.message} (the table is not what it was: put it back, then resume; or start a new job)"
    if isinstance(error, ShardloadError):
        return f"{error.message} ({error.hint or 'mend it'}; then resume)"
    return str(error)


class Translation:
    """A context manager that turns a library's errors into ours, which begin with `operation`. One serves many times:
    the fast path enters it at every read and write, and contextlib's are made anew for each."""

    def __init__(self, operation: str) -> None:
        self.operation = operation

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is not None:
            self.raise_ours(error)

    def raise_ours(self, error: BaseException) -> None:
        """Raise what this error means to us; return if it means nothing."""
        raise NotImplementedError
