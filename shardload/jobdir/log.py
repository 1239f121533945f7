"""The job's log file: one line an event, with time, level, process and (where there is one) range.

Coordinator and workers append to it. Every line is written to the file that bears the log's name at that moment, so
logrotate may move it away; nobody has to be told (USR1 makes the coordinator look at once).
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


def name_process(role: str) -> None:
    """What the log calls this process from now on: a forked child says what it is."""
    _process["role"] = role


class _Flat(logging.Formatter):
    """One line an event: what a server said is escaped, and a traceback's lines are told apart by a bar."""

    def format(self, record: logging.LogRecord) -> str:
        record.exc_text = None  # another handler's form of it
        return " | ".join(line for line in super().format(record).split("\n") if line.strip())

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # the base class's name
        return printable(bounded(record.message, MOST_LOGGED))

    def formatException(self, ei: Any) -> str:  # noqa: N802  # the base class's name
        return "\n".join(map(printable, bounded(super().formatException(ei), MOST_LOGGED).split("\n")))


class _Line(_Flat):
    def format(self, record: logging.LogRecord) -> str:
        subject = f" range {record.__dict__['range_id']}" if "range_id" in record.__dict__ else ""
        head = f"{_when(record)} {record.levelname} {_process['role']}[{record.process}]{subject}"
        return f"{head}: {super().format(record)}"


class _Json(logging.Formatter):
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
    """Send everything under the logger `shardload` to this file, 0600. O_APPEND: lines of several processes stay whole.

    `form` is `text` or `json`. DirectoryLost if it cannot be opened.
    """
    try:
        handler = _PrivateFile(path, encoding="utf-8")
    except OSError as error:
        raise DirectoryLost(f"cannot write the log {path}: {error.strerror}", "is the disk full?") from None
    handler.setFormatter(_Json() if form == "json" else _Line())
    logger = logging.getLogger("shardload")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    return handler


def show_log(stream: TextIO) -> None:
    """Send every event there as well, without time and process."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Flat())
    logging.getLogger("shardload").addHandler(handler)


def close_log(handler: logging.Handler) -> None:
    """Stop writing to it."""
    logging.getLogger("shardload").removeHandler(handler)
    with suppress(OSError):  # the disk is full: the last lines are lost
        handler.close()


def open_log_file(path: Path) -> int:
    """A descriptor to append with. OSError if it cannot be opened, JobForeign if it is not this user's."""
    return open_own(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


class _PrivateFile(logging.handlers.WatchedFileHandler):
    """Opened anew when the name means another file; readable by this user alone, whatever the umask is."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except (OSError, JobError):  # the name cannot be opened anew, or somebody else has put something there
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # the base class's name
        """The line is lost: a full disk is no reason for a job to fail, nor for a traceback on a person's screen."""

    def _open(self):  # type: ignore[no-untyped-def]  # the class's own annotation differs between Pythons
        return os.fdopen(open_log_file(Path(self.baseFilename)), "a", encoding=self.encoding)


def _when(record: logging.LogRecord) -> str:
    zone = time.strftime("%z", time.localtime(record.created))
    return time.strftime(f"%Y-%m-%dT%H:%M:%S.{int(record.msecs):03d}", time.localtime(record.created)) + zone
