"""The job's log file: one line an event, with time, level and process. Coordinator and loaders append to it."""

from __future__ import annotations

import logging
from pathlib import Path

_FORMAT = "%(asctime)s %(levelname)-7s %(process)d %(name)s: %(message)s"


def open_log(path: Path) -> logging.Handler:
    """Send everything under the logger `shardload` to this file. O_APPEND: lines of several processes stay whole."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter(_FORMAT))
    logger = logging.getLogger("shardload")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    path.chmod(0o600)
    return handler


def close_log(handler: logging.Handler) -> None:
    """Stop writing to it."""
    logging.getLogger("shardload").removeHandler(handler)
    handler.close()
