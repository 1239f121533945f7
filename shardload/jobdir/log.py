"""The job's log file: one line for each event, with time, level, process and, if it concerns one, the range.

Coordinator and workers append to it. Each of them checks before every line whether the file still has the log's name,
and opens a new one if not. So logrotate may rename the file; SIGUSR1 is not needed, but makes the coordinator check.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from shardload.errors import DirectoryLost, JobError
from shardload.files.ownfile import open_own
from shardload.model.printable import MOST_LOGGED, bounded, printable

_process = {"role": "coordinator"}


def set_process_role(role: str) -> None:
    """Set the name of this process in the log. Call it in a forked child."""
    _process["role"] = role


class _OneLine(logging.Formatter):
    """Formats an event as one line: escapes text from servers, and joins the lines of a traceback with a bar."""

    def format(self, record: logging.LogRecord) -> str:
        record.exc_text = None  # another handler may have formatted it its own way
        return " | ".join(line for line in super().format(record).split("\n") if line.strip())

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # the base class's name
        return printable(bounded(record.message, MOST_LOGGED))

    def formatException(self, ei: Any) -> str:  # noqa: N802  # the base class's name
        return "\n".join(map(printable, bounded(super().formatException(ei), MOST_LOGGED).split("\n")))


class _Line(_OneLine):
    """The text format of the log file."""

    def format(self, record: logging.LogRecord) -> str:
        subject = f" range {record.__dict__['range_id']}" if "range_id" in record.__dict__ else ""
        head = f"{_when(record)} {record.levelname} {_process['role']}[{record.process}]{subject}"
        return f"{head}: {super().format(record)}"


class _Json(logging.Formatter):
    """The JSON format of the log file."""

    def format(self, record: logging.LogRecord) -> str:
        event = {
            "time": _when(record),
            "level": record.levelname.lower(),
            "process": _process["role"],
            "pid": record.process,
            "message": bounded(super().format(record), MOST_LOGGED),
        }
        if "range_id" in record.__dict__:
            event["range"] = record.__dict__["range_id"]
        return json.dumps(event)


def open_log(path: Path, form: str = "text") -> logging.Handler:
    """Write everything that the logger `shardload` gets to this file, which is opened with mode 0600 and O_APPEND.

    O_APPEND keeps the lines of several processes whole. `form` is `text` or `json`. DirectoryLost if opening fails.
    """
    try:
        handler = _PrivateFile(path, encoding="utf-8")
    except OSError as error:
        raise DirectoryLost(
            f"cannot write the log {path}: {error.strerror}", "check that the disk has space and is writable"
        ) from None
    handler.setFormatter(_Json() if form == "json" else _Line())
    logger = logging.getLogger("shardload")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    return handler


def show_log(stream: TextIO) -> None:
    """Write every event to this stream too, without time and process."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_OneLine())
    logging.getLogger("shardload").addHandler(handler)


def close_log(handler: logging.Handler) -> None:
    """Stop writing to the log and close it."""
    logging.getLogger("shardload").removeHandler(handler)
    with suppress(OSError):  # the disk is full: the last lines are lost
        handler.close()


def open_log_file(path: Path) -> int:
    """Open the log to append. Returns the descriptor. OSError if that fails, JobForeign if it is another user's."""
    return open_own(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


class _PrivateFile(logging.handlers.WatchedFileHandler):
    """Opens a new file if the old one was renamed. Only this user can read it, whatever the umask is."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except (OSError, JobError):  # a new file cannot be opened, or another user's file is there
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # the base class's name
        """Drop the line. A full disk must not end the job, or print a traceback."""

    def _open(self):  # type: ignore[no-untyped-def]  # the class's own annotation differs between Pythons
        return os.fdopen(open_log_file(Path(self.baseFilename)), "a", encoding=self.encoding)


def _when(record: logging.LogRecord) -> str:
    zone = time.strftime("%z", time.localtime(record.created))
    return time.strftime(f"%Y-%m-%dT%H:%M:%S.{int(record.msecs):03d}", time.localtime(record.created)) + zone
