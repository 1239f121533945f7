"""What a job may be called: it is a directory's name, and part of process titles. Pure."""

from __future__ import annotations

import re

JOB_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
JOB_NAME_WORDS = "letters, digits, '.', '_' and '-', at most 64, and begin with one of the former"


def is_job_name(text: str) -> bool:
    """True if a job may be called that."""
    return re.fullmatch(JOB_NAME.removesuffix("$"), text) is not None
